"""What a network's links carry now, and whether anything is still under way on them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from testbed.network.kernel.connections import unsettled
from testbed.network.network import Network
from testbed.scenario.topology import DIRECTIONS, Topology

Carried = Mapping[str, tuple[int, int]]
"""By link, the bytes of the frames that crossed its wire since it was made: up, and down."""


@dataclass(frozen=True)
class Stillness:
    """A moment at which nothing was under way; two of them with the same counts have had nothing between."""

    counts: Sequence[Any]
    carried: Carried


class Wires(Protocol):
    """The links of a network, as counters show them."""

    topology: Topology

    def carried(self) -> Carried: ...

    def waiting(self) -> Mapping[str, tuple[int, int]]:
        """By link, the frames that wait for its bottleneck, up and down."""

    def still(self) -> Stillness | None:
        """This moment, if no frame is in a link and no node has anything left to send; else ``None``."""


class NetworkWires:
    """The WAN links of a network that is up. Bytes are the kernel's counts, as in a run."""

    def __init__(self, network: Network) -> None:
        self.topology = network.topology
        self._links = network.links
        self._namespaces = [host.netns_path for host in network.hosts]

    def carried(self) -> Carried:
        counters = {link.name: link.counters() for link in self._links}
        return {name: (of["up"].bytes, of["down"].bytes) for name, of in counters.items()}

    def waiting(self) -> Mapping[str, tuple[int, int]]:
        counts = {link.name: link.counts() for link in self._links}
        return {name: (of["up"].waiting_frames, of["down"].waiting_frames) for name, of in counts.items()}

    def still(self) -> Stillness | None:
        counts = [link.counts()[direction] for link in self._links for direction in DIRECTIONS]
        if any(count.waiting_frames or count.held_frames for count in counts):
            return None
        if any(map(unsettled, self._namespaces)):
            return None
        return Stillness(counts, self.carried())
