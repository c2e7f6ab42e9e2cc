"""Rates: a bottleneck kept full, and the wire behind it counted over a known time."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import ExitStack

from testbed.measure.expected import Finding, held, rate_bounds
from testbed.measure.path import FrameCount, Path, wait_until_quiet
from testbed.measure.traffic import Flood, UdpPath, promptly
from testbed.topology import DIRECTIONS, Direction

OVERLOAD = 1.2
NOT_KEPT_FULL = "its queue is too short to be kept full from here"
"""Said of a rate that was too low and may be right. It was not shown, and does not count as shown."""


def rate_groups(paths: Sequence[Path], budget_bps: float) -> list[list[tuple[Path, Direction]]]:
    """Directions whose rates are measured at the same time: together within the budget, or alone."""
    limited = [
        (rate, path, direction)
        for path in paths
        for direction in DIRECTIONS
        if (rate := path.shape(direction).rate_bps) is not None
    ]
    groups: list[tuple[float, list[tuple[Path, Direction]]]] = []
    for rate, path, direction in sorted(limited, key=lambda one: -one[0]):
        for index, (total, members) in enumerate(groups):
            if total + rate <= budget_bps:
                groups[index] = (total + rate, [*members, (path, direction)])
                break
        else:
            groups.append((rate, [(path, direction)]))
    return [members for _, members in groups]


def unlimited(paths: Sequence[Path]) -> list[Finding]:
    """What is said of directions without a rate: there is nothing to hold a measurement against."""
    return [
        Finding(path.name, direction, "rate", "bit/s", None, None, None, None, 0, None, "it is unlimited")
        for path in paths
        for direction in DIRECTIONS
        if path.shape(direction).rate_bps is None
    ]


def measure_rates(group: Sequence[tuple[Path, Direction]], seconds: float) -> list[Finding]:
    """Rates of some directions, flooded at the same time.

    One that comes out low is taken once more by itself: a sender that the host kept waiting looks like a
    slow link the first time, a slow link does so every time.
    """
    findings = _flood(group, seconds)
    for index, (one, finding) in enumerate(zip(group, findings, strict=True)):
        if finding.measured is not None and finding.low is not None and finding.measured < finding.low:
            findings[index] = _flood([one], seconds)[0]
    return findings


def _flood(group: Sequence[tuple[Path, Direction]], seconds: float) -> list[Finding]:
    with promptly(), ExitStack() as stack:
        floods = []
        for path, direction in group:
            shape = path.shape(direction)
            assert shape.rate_bps is not None, "only limited directions are flooded"
            udp = stack.enter_context(UdpPath(*path.ends(direction)))
            floods.append(Flood(udp, shape.rate_bps, OVERLOAD, shape.queue_frames))
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
        _rate_finding(path, direction, empty_s, *one, *other)
        for (path, direction), empty_s, one, other in zip(group, starved_s, before, after, strict=True)
    ]


def _keep_up(floods: Sequence[Flood], seconds: float) -> None:
    period_s = min(flood.period_s for flood in floods)
    end_s = time.monotonic() + seconds
    while (left_s := end_s - time.monotonic()) > 0:
        for flood in floods:
            flood.keep_up()
        time.sleep(min(period_s, left_s))


def _counted(path: Path, direction: Direction) -> tuple[float, int, int]:
    """Time, frames and bytes of the wire, read close together: again if the reader was interrupted."""
    best: tuple[float, float, FrameCount] | None = None
    for _ in range(5):
        before_s = time.monotonic()
        count = path.counters()[direction]
        took_s = time.monotonic() - before_s
        if best is None or took_s < best[0]:
            best = (took_s, before_s + took_s / 2, count)
        if took_s < 0.001:
            break
    assert best is not None
    return best[1], best[2].frames, best[2].bytes


def _rate_finding(
    path: Path,
    direction: Direction,
    starved_s: float,
    t0: float,
    frames0: int,
    bytes0: int,
    t1: float,
    frames1: int,
    bytes1: int,
) -> Finding:
    rate = path.shape(direction).rate_bps
    assert rate is not None
    measured = (bytes1 - bytes0) * 8 / (t1 - t0)
    frames, bounds, note = frames1 - frames0, rate_bounds(rate, t1 - t0), ""
    if measured < bounds[0] <= measured * (t1 - t0) / max(1e-9, t1 - t0 - starved_s):
        note = NOT_KEPT_FULL
    return held(path.name, direction, "rate", "bit/s", rate, measured, bounds, frames, note)
