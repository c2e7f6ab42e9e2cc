"""Compares what a link's capture, the link process and the kernel counted.

From this come a method's rows of ``links.parquet`` and the evidence for the verdict on bytes.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from testbed.network.readings import DirectionReading
from testbed.orchestrator.rows.requests import text_bytes
from testbed.results.columns import LinkRow, RequestRow
from testbed.results.evidence import BacklogReport, LinkAccount
from testbed.scenario.topology import DIRECTIONS, Direction, Topology
from testbed.wire.capture import CaptureReport
from testbed.wire.parts import CaptureAccount, Parts

_STEPS = (
    "the link process took {1} of {0} frames that its port had received",
    "of {0} frames that the link process took, {1} were refused, crossed or wait",
    "the link process put {0} frames on the wire, and the kernel counted {1}",
    "{0} frames crossed and were not lost, and the link process handed on {1}",
    "the link process handed on {0} frames, and the far port was given {1}",
)
"""From port to port: the sentence for a count that differs from the count before."""
_ROW = {column.name for column in fields(LinkRow)}
_FROM_PARTS = _ROW & {part.name for part in fields(Parts)} - {"frames", "frame_bytes"}
"""Columns that are the capture's; frames and their bytes are the kernel's."""
_SHARED = _ROW & {figure.name for figure in fields(LinkAccount)}
"""Columns that the verdict on bytes is judged by too."""


@dataclass(frozen=True)
class Reading:
    """All counters of all links at one moment; ``quiet`` says that none of them moved."""

    links: Mapping[str, Mapping[Direction, DirectionReading]]
    quiet: bool


@dataclass(frozen=True)
class Reconciled:
    """All links under one method: rows and accounts, by link, the way up before the way down."""

    rows: list[LinkRow]
    accounts: list[LinkAccount]


def frames_between(before: Reading, after: Reading, link: str) -> int:
    """Frames that crossed a link's wire, both directions."""
    return sum(
        after.links[link][direction].wire.frames - before.links[link][direction].wire.frames
        for direction in DIRECTIONS
    )


def reconcile(
    method: str,
    before: Reading,
    after: Reading,
    captured: Mapping[str, CaptureAccount],
    reports: Mapping[str, CaptureReport],
    requests: Sequence[RequestRow],
) -> Reconciled:
    """Account for all links under ``method``.

    Args:
        captured: by link, what its capture holds.
        reports: by link, what became of its capture; a link that nothing captured is not there.
        requests: all the method's requests.
    """
    attributed_bytes = text_bytes(requests)
    reconciled = Reconciled([], [])
    for link, capture in captured.items():
        for direction in DIRECTIONS:
            start, end = before.links[link][direction], after.links[link][direction]
            change: DirectionReading = _between(start, end)
            parts = capture.parts(direction)
            captured_bytes = parts.prompt_bytes + parts.answer_bytes
            row = LinkRow(
                link=link,
                direction=direction,
                method=method,
                **_counted(change),
                held_frames=end.process.held_frames,
                unaccounted_bytes=change.wire.bytes - parts.accounted_bytes,
                unattributed_bytes=captured_bytes - attributed_bytes[link, direction],
                **{name: getattr(parts, name) for name in _FROM_PARTS},
            )
            reconciled.rows.append(row)
            reconciled.accounts.append(
                LinkAccount(
                    **{name: getattr(row, name) for name in _SHARED},
                    unaccounted_frames=change.wire.frames - parts.accounted_frames,
                    dropped_frames=change.dropped_frames,
                    process_dropped_frames=change.process.dropped_frames,
                    quiet=before.quiet and after.quiet,
                    contradictions=tuple(contradictions(change)),
                    **(_of_capture(capture, reports.get(link)) if direction == "up" else {}),
                )
            )
    return reconciled


def _counted(change: DirectionReading) -> dict[str, int]:
    """The columns that the kernel and the link process counted."""
    return {
        "frames": change.wire.frames,
        "frame_bytes": change.wire.bytes,
        "queue_dropped_frames": change.process.refused_frames,
        "lost_frames": change.process.lost_frames,
        "down_lost_frames": change.process.cut_frames,
        "duplicated_frames": change.process.duplicated_frames,
    }


def _of_capture(capture: CaptureAccount, report: CaptureReport | None) -> dict[str, Any]:
    """What speaks against a capture. It holds both directions, so it is said of one of them: the way up."""
    return {
        "capture_dropped_frames": report.dropped_by_kernel if report else 0,
        "faults": tuple(dict.fromkeys([*(report.faults if report else ()), *capture.doubts])),
    }


def contradictions(change: DirectionReading) -> Iterator[str]:
    """Where the link process's counts and the kernel's do not add up, as changes over a method.

    From port to port a frame is counted several times, and each count is the count before, less what became
    of frames in between. What the link process says that it dropped may be missing anywhere.
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
    reports = []
    for link, direction in itertools.product(topology.links, DIRECTIONS):
        queue_frames = link.shape(direction).queue_frames
        counts = after.links[link.name][direction].process
        most = counts.most_waiting_frames, counts.most_waiting_bytes
        reports.append(BacklogReport(link.name, direction, queue_frames, *most))
    return reports


def _between(before: Any, after: Any) -> Any:
    """The change of a number, or of every number in a reading of counters.

    What waits or is held now is such a number too, so that the sums hold in any case.
    """
    if isinstance(after, int):
        return after - before
    names = [counter.name for counter in fields(after)]
    return type(after)(**{name: _between(getattr(before, name), getattr(after, name)) for name in names})
