"""Measures rates: keeps a bottleneck full, and takes the kernel's stamp of each frame on the wire behind it.

The rate is the slope of the bits that crossed over the frames' stamps, by least squares. So a short time is
enough, and no single frame decides: one that is late, even the first or the last, is one among many.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from itertools import accumulate
from statistics import linear_regression

from testbed.host.processes.priority import promptly
from testbed.network.endpoint import Wire
from testbed.network.measure.paths import LinkPath, second_attempt, wait_until_quiet
from testbed.network.measure.traffic import Flood, UdpPath
from testbed.network.measure.wire_tap import Sent, WireTap, tapped
from testbed.scenario.expected import held, rate_bounds, rate_window_s
from testbed.scenario.reports import Finding
from testbed.scenario.topology import DIRECTIONS, FRAME_BYTES, Direction

OVERLOAD = 1.2
AGAIN_S = 2.0
"""For how long at least a rate that came out wrong is measured once more."""
FILLING_S = 0.05
DRAINED_S = 0.01
TAPPED_FRAME_BYTES = 2560
"""What a frame takes up of a tap's buffer."""
TAP_S = 0.5
"""For so much time a tap's buffer has room, if nobody takes what is there."""
NOT_KEPT_FULL = "its queue is too short to be kept full from here"
"""A note on a rate that came out low while the queue may have been empty; it counts as not shown."""
UNSEEN = "{} frames on the wire were not seen"


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

    Those that come out wrong are measured once more, for longer, and their notes say so: a host that paused
    looks like another rate once, a link that has another rate shows it every time.
    """
    findings = _flood(group, least_s)
    wrong = [index for index, finding in enumerate(findings) if finding.ok is False]
    if wrong:
        second = _flood([group[index] for index in wrong], max(least_s, AGAIN_S))
        for index, finding in zip(wrong, second, strict=True):
            findings[index] = second_attempt(finding)
    return findings


def _rate_bps(path: LinkPath, direction: Direction) -> int:
    rate = path.shape(direction).rate_bps
    assert rate is not None, "only limited directions are flooded"
    return rate


def _flood(group: Sequence[tuple[LinkPath, Direction]], least_s: float) -> list[Finding]:
    seconds = max(rate_window_s(_rate_bps(path, direction), least_s) for path, direction in group)
    with promptly(), ExitStack() as stack:
        taps = stack.enter_context(tapped({path.wire: _tap_bytes(path) for path, _ in group}))
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
        _keep_up(floods, taps, FILLING_S)
        starved_s = [flood.starved_s for flood in floods]
        began_ns = time.time_ns()
        _keep_up(floods, taps, seconds)
        ended_ns = time.time_ns()
        starved_s = [flood.starved_s - earlier_s for flood, earlier_s in zip(floods, starved_s, strict=True)]
        for tap in taps.values():
            tap.take()
        unseen = {wire: tap.dropped_frames() for wire, tap in taps.items()}
        wait_until_quiet([path for path, _ in group], still_s=DRAINED_S)
    findings = []
    for (path, direction), empty_s in zip(group, starved_s, strict=True):
        sent = [one for one in taps[path.wire].sent[direction] if began_ns <= one.at_ns <= ended_ns]
        findings.append(_rate_finding(path, direction, sent, empty_s, unseen[path.wire]))
    return findings


def _tap_bytes(path: LinkPath) -> int:
    """Room for what both directions send in :data:`TAP_S`."""
    frames = sum((path.shape(way).rate_bps or 0) * TAP_S / (8 * FRAME_BYTES) for way in DIRECTIONS)
    return TAPPED_FRAME_BYTES * (100 + int(frames))


def _keep_up(floods: Sequence[Flood], taps: Mapping[Wire, WireTap], seconds: float) -> None:
    period_s = min(flood.period_s for flood in floods)
    end_s = time.monotonic() + seconds
    while (left_s := end_s - time.monotonic()) > 0:
        for flood in floods:
            flood.keep_up()
        for tap in taps.values():
            tap.take()
        time.sleep(min(period_s, left_s))


def _rate_finding(
    path: LinkPath, direction: Direction, sent: Sequence[Sent], starved_s: float, unseen: int
) -> Finding:
    rate, bounds = _rate_bps(path, direction), rate_bounds(_rate_bps(path, direction))
    seconds = (sent[-1].at_ns - sent[0].at_ns) / 1e9 if sent else 0.0
    if unseen or seconds <= 0:
        note = UNSEEN.format(unseen) if unseen else f"{len(sent)} frames crossed"
        return held(path.name, direction, "rate", "bit/s", rate, None, bounds, len(sent), note)
    measured = slope_bps(sent)
    full_bps = 8 * sum(one.frame_bytes for one in sent[1:]) / max(1e-9, seconds - starved_s)
    starved = measured < bounds[0] <= full_bps
    note = NOT_KEPT_FULL if starved else ""
    return held(path.name, direction, "rate", "bit/s", rate, measured, bounds, len(sent), note)


def slope_bps(sent: Sequence[Sent]) -> float:
    """How fast the bits of two frames or more crossed, by least squares."""
    seconds = [(one.at_ns - sent[0].at_ns) / 1e9 for one in sent]
    bits = accumulate(8 * one.frame_bytes for one in sent)
    return linear_regression(seconds, list(bits)).slope
