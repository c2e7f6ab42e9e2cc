"""A run's sites and WAN links as a Mininet topology."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from testbed.network.backend import BackendLink, ends
from testbed.network.cables import CableLink, SiteLink
from testbed.network.kernel.counters import CounterReader
from testbed.network.link import WanLink
from testbed.network.mininet_compat import Mininet, Topo
from testbed.network.wiring import HOST_INTERFACE
from testbed.scenario.topology import Direction, Node, Topology


class SiteNet(Mininet):
    """Mininet that leaves the host's settings alone."""

    @classmethod
    def init(cls) -> None:
        """Do nothing: Mininet would raise limits of the whole system here, and leave them so."""


class SiteTopo(Topo):
    """A host and a switch for each node, and a WAN link between the switches of a child and its parent.

    Children that share a link have one more switch before it, to which their switches are cabled. What is
    behind a node is a further host, which the node alone reaches.
    """

    def build(
        self,
        *,
        topology: Topology,
        prefix: str,
        first_number: int,
        host: Callable[[Node], Mapping[str, Any]],
        switch: Mapping[str, Any],
        backends: Collection[str],
    ) -> None:
        """Mininet's hook: describe the network; nothing is made yet.

        Args:
            first_number: from which on switches and links are numbered, for their names in the kernel.
            host: class and options of the host of a node, and of one behind a node.
            switch: class and options of every switch.
            backends: the nodes that have a host behind them.
        """
        nodes = topology.nodes
        for number, node in enumerate(nodes, first_number):
            neighbours = topology.neighbours(node.name)
            self.addHost(node.name, tier_node=node, neighbours=neighbours, **host(node))
            self.addSwitch(switch_name(node.name), interface=f"{prefix}s{number}", number=number, **switch)
            self.addLink(node.name, switch_name(node.name), cls=SiteLink, port_name=f"{prefix}h{number}")
            if node.name in backends:
                near, far = ends(nodes, node.name)
                self.addHost(far.name, tier_node=far, neighbours=[near], **host(far))
                self.addLink(node.name, far.name, cls=BackendLink)
        extra = itertools.count(first_number + len(nodes))
        for number, link in enumerate(topology.links, first_number):
            below, above_macs = switch_name(link.child), _macs(topology.above(link))
            if link.shared:
                below = f"Shared_{link.parent}"  # no node's name has a capital
                at = next(extra)  # with no gap: the next part is numbered on from the count of switches
                self.addSwitch(below, interface=f"{prefix}s{at}", number=at, **switch)
                for child in link.children:
                    self.addLink(
                        switch_name(child),
                        below,
                        cls=CableLink,
                        macs=(_macs(topology.below([child])), above_macs),
                        number=topology.node(child).number,
                        passed=topology.is_passed(child),
                    )
            self.addLink(
                below,
                switch_name(link.parent),
                cls=WanLink,
                spec=link,
                macs=(_macs(topology.below(link.children)), above_macs),
                number=number,
                passed=topology.is_passed(link.child),
            )


def passages(
    links: Sequence[Any], readers: Mapping[str, CounterReader], home: CounterReader
) -> dict[str, dict[Direction, list[tuple[CounterReader, str]]]]:
    """By WAN link and direction, the interfaces that lie between the link and its hosts, with their readers.

    Args:
        links: all that were made together, of every kind.
        readers: by host. ``home`` reads where switches are.
    """
    ports = {link.intf1.node.name: link.intf2.name for link in links if isinstance(link, SiteLink)}
    cables = {link.intf1.node.name: link for link in links if isinstance(link, CableLink)}
    found: dict[str, dict[Direction, list[tuple[CounterReader, str]]]] = {}
    for link in links:
        if not isinstance(link, WanLink):
            continue
        up, down = [], []
        for child in link.spec.children:
            up.append((readers[child], HOST_INTERFACE))
            down.append((home, ports[child]))
            if (cable := cables.get(switch_name(child))) is not None:
                up.append((home, cable.intf1.name))
                down.append((home, cable.intf2.name))
        up.append((home, ports[link.spec.parent]))
        down.append((readers[link.spec.parent], HOST_INTERFACE))
        found[link.name] = {"up": up, "down": down}
    return found


def _macs(nodes: Sequence[Node]) -> list[str]:
    return [node.mac for node in nodes]


def switch_name(node: str) -> str:
    """Mininet's name of the switch at a node's site; its command line takes no hyphens."""
    return f"s_{node}"
