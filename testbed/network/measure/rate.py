"""Measures rates: keeps a bottleneck full, and counts frames on the wire behind it over a known time."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from testbed.host.processes.priority import promptly
from testbed.network.kernel.counters import Counters
from testbed.network.measure.paths import LinkPath, wait_until_quiet
from testbed.network.measure.traffic import Flood, UdpPath
from testbed.scenario.expected import RATE_TOLERANCE, held, rate_bounds, rate_window_s
from testbed.scenario.reports import Finding
from testbed.scenario.topology import DIRECTIONS, FRAME_BYTES, Direction

OVERLOAD = 1.2
COARSE = "a frame is {:.1%} of what crosses meanwhile"
NOT_KEPT_FULL = "its queue is too short to be kept full from here"
"""A note on a rate that came out low while the queue may have been empty; it counts as not shown."""


def rate_groups(
    paths: Sequence[LinkPath], budget_bps: float, least_s: float
) -> list[list[tuple[LinkPath, Direction]]]:
    """Groups of directions whose rates are measured at the same time: together within the budget, or alone.

    Slow ones, which are measured for longer than ``least_s``, are not grouped with fast ones, which would be
    flooded for as long.
    """
    limited = [
        (rate, path, direction)
        for path in paths
        for direction in DIRECTIONS
        if (rate := path.shape(direction).rate_bps) is not None
    ]
    groups: list[tuple[bool, float, list[tuple[LinkPath, Direction]]]] = []
    for rate, path, direction in sorted(limited, key=lambda entry: -entry[0]):
        slow = rate_window_s(rate, least_s) > least_s
        for index, (slow_too, total, members) in enumerate(groups):
            if slow == slow_too and total + rate <= budget_bps:
                groups[index] = (slow, total + rate, [*members, (path, direction)])
                break
        else:
            groups.append((slow, rate, [(path, direction)]))
    return [members for _, _, members in groups]


def unlimited(paths: Sequence[LinkPath]) -> list[Finding]:
    """A finding for each direction without a rate, which there is nothing to compare with."""
    return [
        Finding(path.name, direction, "rate", "bit/s", None, None, None, None, 0, None, "it is unlimited")
        for path in paths
        for direction in DIRECTIONS
        if path.shape(direction).rate_bps is None
    ]


def measure_rates(group: Sequence[tuple[LinkPath, Direction]], least_s: float) -> list[Finding]:
    """Measure the rates of some directions at the same time, for as long as the slowest needs.

    A rate that comes out low is measured once more by itself: a sender that the host kept waiting looks like
    a slow link once, a slow link does so every time.
    """
    seconds = max(rate_window_s(_rate_bps(path, direction), least_s) for path, direction in group)
    findings = _flood(group, seconds)
    for index, finding in enumerate(findings):
        if finding.measured is not None and finding.low is not None and finding.measured < finding.low:
            findings[index] = _flood([group[index]], seconds)[0]
    return findings


def _rate_bps(path: LinkPath, direction: Direction) -> int:
    rate = path.shape(direction).rate_bps
    assert rate is not None, "only limited directions are flooded"
    return rate


def _flood(group: Sequence[tuple[LinkPath, Direction]], seconds: float) -> list[Finding]:
    with promptly(), ExitStack() as stack:
        floods = []
        for path, direction in group:
            rate_bps, queue_frames = _rate_bps(path, direction), path.shape(direction).queue_frames
            udp = stack.enter_context(UdpPath(*path.ends(direction)))
            floods.append(Flood(udp, rate_bps, OVERLOAD, queue_frames))
        for (path, direction), flood in zip(group, floods, strict=True):
            # Enough to bridge a late sender, little enough to be gone soon.
            flood.keep_up(
                ahead=min(path.shape(direction).queue_frames, max(4, int(flood.frames_per_s * 0.03)))
            )
        _keep_up(floods, 0.15)
        before = [_counted(path, direction) for path, direction in group]
        starved_s = [flood.starved_s for flood in floods]
        _keep_up(floods, seconds)
        starved_s = [flood.starved_s - earlier_s for flood, earlier_s in zip(floods, starved_s, strict=True)]
        after = [_counted(path, direction) for path, direction in group]
        wait_until_quiet([path for path, _ in group])
    return [
        _rate_finding(path, direction, empty_s, first, last)
        for (path, direction), empty_s, first, last in zip(group, starved_s, before, after, strict=True)
    ]


def _keep_up(floods: Sequence[Flood], seconds: float) -> None:
    period_s = min(flood.period_s for flood in floods)
    end_s = time.monotonic() + seconds
    while (left_s := end_s - time.monotonic()) > 0:
        for flood in floods:
            flood.keep_up()
        time.sleep(min(period_s, left_s))


@dataclass(frozen=True)
class _Count:
    """The wire's counters, the moment at which they were read, and how long that took."""

    count: Counters
    at_s: float
    took_s: float


def _count(path: LinkPath, direction: Direction) -> _Count:
    before_s = time.monotonic()
    count = path.counters()[direction]
    took_s = time.monotonic() - before_s
    return _Count(count, before_s + took_s / 2, took_s)


def _counted(path: LinkPath, direction: Direction) -> _Count:
    """Read the wire's counters and the time close together: again if the reader was interrupted."""
    best = _count(path, direction)
    for _ in range(4):
        if best.took_s < 0.001:
            break
        best = min(best, _count(path, direction), key=lambda count: count.took_s)
    return best


def _rate_finding(
    path: LinkPath,
    direction: Direction,
    starved_s: float,
    first: _Count,
    last: _Count,
) -> Finding:
    rate, seconds = _rate_bps(path, direction), last.at_s - first.at_s
    frames = last.count.frames - first.count.frames
    share = FRAME_BYTES * 8 / (rate * seconds)
    # The window is never exactly as long as it should be.
    notes = [COARSE.format(share)] if share > RATE_TOLERANCE * 1.02 else []
    measured = (last.count.bytes - first.count.bytes) * 8 / seconds
    bounds = rate_bounds(rate, seconds)
    if measured < bounds[0] <= measured * seconds / max(1e-9, seconds - starved_s):
        notes.append(NOT_KEPT_FULL)
    note = "; ".join(notes)
    return held(path.name, direction, "rate", "bit/s", rate, measured, bounds, frames, note)
