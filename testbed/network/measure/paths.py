"""A WAN link as something that can be measured: what it should be, its two ends, the counters of its wire."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from testbed.network.measure.traffic import End
from testbed.network.readings import LinkCounts
from testbed.scenario.topology import DIRECTIONS, Direction, Shape

DRAIN_TIMEOUT_S = 60.0
STILL_S = 0.05
"""For so long nothing may have come in before a link is called quiet: TCP acknowledges within 40 ms."""


class FrameCount(Protocol):
    """Frames and their bytes, as the kernel counts them."""

    @property
    def frames(self) -> int: ...
    @property
    def bytes(self) -> int: ...


@dataclass(frozen=True)
class Path:
    """A WAN link as it can be measured: its shapes, its two ends, the counters of its wire, and what the link
    process counts."""

    name: str
    up: Shape
    down: Shape
    child: End
    parent: End
    counters: Callable[[], Mapping[Direction, FrameCount]]
    counts: Callable[[], Mapping[Direction, LinkCounts]]

    def shape(self, direction: Direction) -> Shape:
        return self.up if direction == "up" else self.down

    def ends(self, direction: Direction) -> tuple[End, End]:
        """Source and sink."""
        return (self.child, self.parent) if direction == "up" else (self.parent, self.child)

    @property
    def jitter_ms(self) -> float:
        """Of the round trip: variances add."""
        return float((self.up.jitter_ms**2 + self.down.jitter_ms**2) ** 0.5)


@dataclass(frozen=True)
class Effort:
    """How much the host can do at once, and how long a rate is watched at least."""

    rate_seconds: float = 2.0
    rate_budget_bps: float = 300e6
    """What the link process carries (docs/LINK.md); late or not, its rates are exact."""
    timed_together: int = 24
    datagrams_per_s: float = 4000


def paths_of(network: Any) -> list[Path]:
    """The links of a :class:`testbed.network.network.Network` that is up, in its order."""
    return [
        Path(
            link.spec.name, link.spec.up, link.spec.down,
            child=End(network.node(link.spec.child).netns_path, network.topology.node(link.spec.child).ip),
            parent=End(network.node(link.spec.parent).netns_path, network.topology.node(link.spec.parent).ip),
            counters=link.counters,
            counts=link.counts,
        )
        for link in network.links
    ]  # fmt: skip


def wait_until_quiet(
    paths: Sequence[Path], timeout_s: float = DRAIN_TIMEOUT_S, still_s: float = STILL_S
) -> bool:
    """Wait until no frame is in a link and none has come in for ``still_s``; ``False`` if it never came to
    that.
    """
    end_s = time.monotonic() + timeout_s
    last = None
    while time.monotonic() < end_s:
        counts = [path.counts()[direction] for path in paths for direction in DIRECTIONS]
        if counts == last and not any(one.waiting_frames or one.held_frames for one in counts):
            return True
        last = counts
        time.sleep(still_s)
    return False


def probe_path(probe: Any) -> Path:
    """A :class:`testbed.network.network.ProbeLink` as a path, to be pinged while a run goes on."""
    link = probe.link
    return Path(
        link.spec.name, link.spec.up, link.spec.down,
        child=End(probe.near_netns, probe.near_ip),
        parent=End(probe.far_netns, probe.far_ip),
        counters=link.counters,
        counts=link.counts,
    )  # fmt: skip
