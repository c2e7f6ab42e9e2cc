"""A run's sites and WAN links as a Mininet topology."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from testbed.network.cables import CableLink, SiteLink
from testbed.network.link import WanLink
from testbed.network.mininet_compat import Topo
from testbed.scenario.topology import Link, Node


class SiteTopo(Topo):
    """A host and a switch for each node, and a WAN link between the switches of a child and its parent.

    Children that share a link have one more switch before it, to which their switches are cabled.
    """

    def build(
        self,
        *,
        nodes: Sequence[Node],
        links: Sequence[Link],
        prefix: str,
        first_number: int,
        host: Callable[[Node], Mapping[str, Any]],
        switch: Mapping[str, Any],
    ) -> None:
        """Mininet's hook: describe the network; nothing is made yet.

        Args:
            first_number: from which on switches and links are numbered, for their names in the kernel.
            host: class and options of a node's host.
            switch: class and options of every switch.
        """
        named = {node.name: node for node in nodes}
        for number, node in enumerate(nodes, first_number):
            ends = [(child, link.parent) for link in links for child in link.children]
            neighbours = [
                named[parent if child == node.name else child]
                for child, parent in ends
                if node.name in (child, parent)
            ]
            self.addHost(node.name, tier_node=node, neighbours=neighbours, **host(node))
            self.addSwitch(switch_name(node.name), interface=f"{prefix}s{number}", number=number, **switch)
            self.addLink(node.name, switch_name(node.name), cls=SiteLink, port_name=f"{prefix}h{number}")
        extra = itertools.count(first_number + len(nodes))
        for number, link in enumerate(links, first_number):
            below, parent_mac = switch_name(link.child), named[link.parent].mac
            if link.shared:
                below = f"Shared_{link.parent}"  # no node's name has a capital
                at = next(extra)  # with no gap: the next part is numbered on from the count of switches
                self.addSwitch(below, interface=f"{prefix}s{at}", number=at, **switch)
                for child in link.children:
                    cable = {"macs": (named[child].mac, parent_mac), "number": named[child].number}
                    self.addLink(switch_name(child), below, cls=CableLink, **cable)
            macs = ([named[child].mac for child in link.children], parent_mac)
            sites = below, switch_name(link.parent)
            self.addLink(*sites, cls=WanLink, spec=link, macs=macs, number=number)


def switch_name(node: str) -> str:
    """Mininet's name of the switch at a node's site; its command line takes no hyphens."""
    return f"s_{node}"
