"""What a link's capture, the link process and the kernel counted, held against each other: rows and evidence
of a method.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any

from testbed.network.kernel.counters import Counters
from testbed.network.readings import DirectionReading, LinkCounts
from testbed.results.columns import BYTE_PARTS
from testbed.results.evidence import BacklogReport, LinkAccount
from testbed.scenario.topology import DIRECTIONS, Direction, Topology
from testbed.wire.account import LinkAccount as CaptureAccount
from testbed.wire.capture import CaptureReport
from testbed.wire.parts import RequestBytes

_STEPS = (
    "the link process took {1} of {0} frames that its port had received",
    "of {0} frames that the link process took, {1} were refused, crossed or wait",
    "the link process put {0} frames on the wire, and the kernel counted {1}",
    "{0} frames crossed and were not lost, and the link process handed on {1}",
    "the link process handed on {0} frames, and the far port was given {1}",
)
"""From port to port: what is to be said where a count differs from the one before."""


@dataclass(frozen=True)
class Reading:
    """All counters of all links at one moment; ``quiet`` says that none of them moved."""

    links: Mapping[str, Mapping[Direction, DirectionReading]]
    quiet: bool


@dataclass(frozen=True)
class Reconciled:
    """A link under one method: rows and accounts, the way up first, and what its capture says of requests."""

    rows: list[dict[str, Any]]
    accounts: list[LinkAccount]
    requests: Mapping[str, RequestBytes]
    findings: list[str]


def frames_between(before: Reading, after: Reading, link: str) -> int:
    """Frames that crossed a link's wire, both directions."""
    return sum(
        after.links[link][direction].wire.frames - before.links[link][direction].wire.frames
        for direction in DIRECTIONS
    )


def reconcile(
    method: str,
    link: str,
    before: Reading,
    after: Reading,
    found: CaptureAccount,
    report: CaptureReport | None,
) -> Reconciled:
    """Both directions of ``link`` under ``method``; ``report`` is ``None`` where nothing captured.

    The capture's own faults, and the frames that it lost, are the link's, and are told once, with the way up.
    """
    of_capture = tuple(dict.fromkeys([*(report.faults if report else ()), *found.doubts]))
    rows, accounts = [], []
    for direction in DIRECTIONS:
        parts = found.parts(direction)
        change = _between(before.links[link][direction], after.links[link][direction])
        counted = {"frames": change.wire.frames, "frame_bytes": change.wire.bytes}
        gone = {
            "queue_dropped_frames": change.process.refused_frames,
            "lost_frames": change.process.lost_frames,
        }
        unaccounted_bytes = change.wire.bytes - parts.accounted_bytes
        rows.append(
            {
                "link": link,
                "direction": direction,
                "method": method,
                **counted,
                "ip_bytes": parts.ip_bytes,
                **{name: getattr(parts, name) for name in BYTE_PARTS},
                "unaccounted_bytes": unaccounted_bytes,
                "retried_prompt_bytes": parts.retried_prompt_bytes,
                **gone,
                "down_lost_frames": change.process.cut_frames,
                "flow_frames": parts.flow_frames,
                "flow_bytes": parts.flow_bytes,
                "duplicated_frames": change.process.duplicated_frames,
                "held_frames": after.links[link][direction].process.held_frames,
            }
        )
        accounts.append(
            LinkAccount(
                method,
                link,
                direction,
                **counted,
                unaccounted_bytes=unaccounted_bytes,
                unaccounted_frames=change.wire.frames - parts.accounted_frames,
                capture_dropped_frames=report.dropped_by_kernel if report and direction == "up" else 0,
                **gone,
                dropped_frames=change.dropped_frames,
                process_dropped_frames=change.process.dropped_frames,
                quiet=before.quiet and after.quiet,
                faults=of_capture if direction == "up" else (),
                contradictions=tuple(contradictions(change)),
            )
        )
    return Reconciled(rows, accounts, found.requests, [f"{link}: {text}" for text in found.findings])


def contradictions(change: DirectionReading) -> Iterator[str]:
    """Where the link process's counts and the kernel's do not add up, as changes over a method.

    On its way from port to port a frame is counted several times, and each count is that of the one before,
    less what became of frames between them. What the link process says that it dropped may be missing
    anywhere.
    """
    counts, wire = change.process, change.wire
    lost = counts.lost_frames + counts.cut_frames
    pairs = (
        (change.port_in.frames, counts.came_in_frames),
        (counts.came_in_frames, counts.refused_frames + counts.crossed_frames + counts.waiting_frames),
        (counts.crossed_frames, wire.frames),
        (
            counts.crossed_frames - lost + counts.duplicated_frames - counts.held_frames,
            counts.handed_on_frames,
        ),
        (counts.handed_on_frames, change.port_out.frames),
    )
    missing = [earlier - later for earlier, later in pairs]
    if min(missing) < 0 or sum(missing) != counts.dropped_frames:
        if not any(missing):
            yield f"the link process says that it dropped {counts.dropped_frames} frames, and none is missing"
        for words, (earlier, later) in zip(_STEPS, pairs, strict=True):
            if earlier != later:
                yield words.format(earlier, later)
    if counts.crossed_frames == wire.frames and counts.crossed_bytes != wire.bytes:
        yield (
            f"the link process put {counts.crossed_bytes} bytes on the wire, and the kernel counted "
            f"{wire.bytes}"
        )


def backlogs(after: Reading, topology: Topology) -> list[BacklogReport]:
    """How full each bottleneck's queue was at most under the method that ``after`` was read at the end of."""
    return [
        BacklogReport(
            link.name,
            direction,
            link.shape(direction).queue_frames,
            after.links[link.name][direction].process.most_waiting_frames,
            after.links[link.name][direction].process.most_waiting_bytes,
        )
        for link in topology.links
        for direction in DIRECTIONS
    ]


def _between(before: DirectionReading, after: DirectionReading) -> DirectionReading:
    """The change of every counter; of what waits or is held now too, so that the sums hold in any case."""
    return DirectionReading(
        _counted(before.wire, after.wire),
        _counted(before.port_in, after.port_in),
        _counted(before.port_out, after.port_out),
        LinkCounts(
            **{
                one.name: getattr(after.process, one.name) - getattr(before.process, one.name)
                for one in fields(LinkCounts)
            }
        ),
        after.dropped_frames - before.dropped_frames,
    )


def _counted(before: Counters, after: Counters) -> Counters:
    return Counters(after.frames - before.frames, after.bytes - before.bytes)
