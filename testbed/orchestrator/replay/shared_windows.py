"""Carries what enters a window that all nodes of a tier share to each of them, between two requests.

A deployment would need messages between the nodes of a tier for that, and the emulated network has no link
for them. So it goes the way of control, through each node's own namespace, and crosses no WAN link.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence

from testbed.orchestrator.nodes.control import NodeControl
from testbed.scenario.topology import Topology


class SharedWindows:
    """What entered the window of each tier that has one for all its nodes, in the order of requests.

    Tiers of one node need none, and the top tier decides nothing.
    """

    def __init__(self, topology: Topology, nodes: Sequence[NodeControl], relay: Collection[str] = ()) -> None:
        by_tier: defaultdict[str, list[str]] = defaultdict(list)
        for node in topology.nodes:
            if node.parent is not None and node.tier not in relay:
                by_tier[node.tier].append(node.name)
        tiers = {name: tier for tier, names in by_tier.items() for name in names if len(names) > 1}
        self._topology, self._tiers = topology, tiers
        self._nodes = {node.name: node for node in nodes if node.name in tiers}
        self._entered: defaultdict[str, list[float]] = defaultdict(list)
        self._known = dict.fromkeys(tiers, 0)

    def exchange(self, device: str) -> None:
        """Tell the nodes between a device and the top what entered elsewhere, and learn what entered there.

        Called before a request, so that its nodes know all that came before it, and after it.

        Raises:
            TestbedError: a node does not answer.
        """
        for name in self._topology.way_up(device):
            if (tier := self._tiers.get(name)) is not None:
                entered = self._entered[tier]
                entered += self._nodes[name].share(entered[self._known[name] :])
                self._known[name] = len(entered)
