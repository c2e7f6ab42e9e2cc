"""A WAN link as it is measured: its shapes, its two ends, and its counters."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from testbed.host.processes.waiting import wait_until
from testbed.network.endpoint import Endpoint, Wire
from testbed.network.kernel.counters import Counters
from testbed.network.readings import LinkCounts
from testbed.scenario.patience import longest_s
from testbed.scenario.reports import Finding
from testbed.scenario.topology import DIRECTIONS, Direction, Shape

if TYPE_CHECKING:  # they take long to import, and a duration is estimated without them
    from testbed.network.link import WanLink
    from testbed.network.network import Network, ProbeLink

NOWHERE = Wire("", "")
"""The wire of a link that is not up."""
DRAIN_TIMEOUT_S = 60.0
STILL_S = 0.05
"""A link is quiet after so long without a frame: TCP acknowledges within 40 ms."""


@dataclass(frozen=True)
class LinkPath:
    """A WAN link: its shapes, its ends, the kernel's counters of its wire, and the link process's counts.

    ``wire`` is where frames are seen as they are sent.
    """

    name: str
    up: Shape
    down: Shape
    child: Endpoint
    parent: Endpoint
    counters: Callable[[], Mapping[Direction, Counters]]
    counts: Callable[[], Mapping[Direction, LinkCounts]]
    wire: Wire = NOWHERE

    def shape(self, direction: Direction) -> Shape:
        return self.up if direction == "up" else self.down

    def ends(self, direction: Direction) -> tuple[Endpoint, Endpoint]:
        """The source and the sink of a direction."""
        return (self.child, self.parent) if direction == "up" else (self.parent, self.child)

    @property
    def jitter_ms(self) -> float:
        """The jitter of the round trip: variances add up."""
        return float((self.up.jitter_ms**2 + self.down.jitter_ms**2) ** 0.5)


@dataclass(frozen=True)
class Effort:
    """How much the host can do at once, and for how long a rate is measured at least."""

    rate_seconds: float = 0.1
    rate_budget_bps: float = 300e6
    """The link process carries that much (docs/LINK.md)."""
    timed_frames_per_s: float = 8000
    """Of lone frames, so that each finds the link process idle."""
    datagrams_per_s: float = 15_000
    """In bursts, and whatever they wait for: which of them arrive is counted, and not when."""


def paths_of(network: Network) -> list[LinkPath]:
    """The links of a network that is up, in its order."""
    return [
        _path(link, network.net[link.spec.child].endpoint, network.net[link.spec.parent].endpoint)
        for link in network.links
    ]


def probe_path(probe: ProbeLink) -> LinkPath:
    """A link that nothing else uses, to be pinged while a run goes on."""
    return _path(probe.link, probe.near, probe.far)


def _path(link: WanLink, child: Endpoint, parent: Endpoint) -> LinkPath:
    spec = link.spec
    wire = Wire(link.netns_path, link.capture_interface)
    return LinkPath(spec.name, spec.up, spec.down, child, parent, link.counters, link.counts, wire)


def second_attempt(finding: Finding) -> Finding:
    """The finding, with a note that the link was measured once more."""
    return replace(finding, note=f"{finding.note}; at the second attempt".removeprefix("; "))


def wait_until_quiet(
    paths: Sequence[LinkPath], timeout_s: float | None = None, still_s: float = STILL_S
) -> bool:
    """Wait until no frame is in a link and none has come in for ``still_s``; return whether that was so.

    Args:
        timeout_s: how long; by default DRAIN_TIMEOUT_S more than a frame may be in the slowest link.
        still_s: less than STILL_S is enough where nothing answers.
    """
    if timeout_s is None:
        shapes = (path.shape(direction) for path in paths for direction in DIRECTIONS)
        timeout_s = DRAIN_TIMEOUT_S + max(map(longest_s, shapes), default=0.0)
    last: list[LinkCounts] = []

    def are_still() -> bool:
        nonlocal last
        before, last = last, [path.counts()[direction] for path in paths for direction in DIRECTIONS]
        return last == before and not any(counts.waiting_frames or counts.held_frames for counts in last)

    return wait_until(are_still, timeout_s, still_s)
