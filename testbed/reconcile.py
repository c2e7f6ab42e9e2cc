"""What a link's capture accounts for, held against what the kernel counted: rows and evidence of a method."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from testbed.capture import CaptureReport
from testbed.counters import Counters
from testbed.evidence import LinkAccount
from testbed.link import QueueDrops
from testbed.parts import RequestBytes
from testbed.results import BYTE_PARTS
from testbed.topology import DIRECTIONS, Direction
from testbed.wire import LinkAccount as CaptureAccount


@dataclass(frozen=True)
class Reading:
    """All counters of all links at one quiet moment."""

    wire: Mapping[str, Mapping[Direction, Counters]]
    drops: Mapping[str, Mapping[Direction, QueueDrops]]
    quiet: bool
    cut: Mapping[str, Mapping[Direction, int]] = field(default_factory=dict)
    """Frames that links lost while they were down."""


@dataclass(frozen=True)
class Reconciled:
    """A link under one method: rows and accounts, the way up first, and what its capture says of requests."""

    rows: list[dict[str, Any]]
    accounts: list[LinkAccount]
    requests: Mapping[str, RequestBytes]
    findings: list[str]


def frames_between(before: Reading, after: Reading, link: str) -> int:
    """Frames that crossed a link's wire, both directions."""
    return sum(after.wire[link][one].frames - before.wire[link][one].frames for one in DIRECTIONS)


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
        start, end = before.wire[link][direction], after.wire[link][direction]
        was, now = before.drops[link][direction], after.drops[link][direction]
        counted = {"frames": end.frames - start.frames, "frame_bytes": end.bytes - start.bytes}
        gone = {
            "queue_dropped_frames": now.queue_dropped_frames - was.queue_dropped_frames,
            "lost_frames": now.lost_frames - was.lost_frames,
        }
        unaccounted_bytes = counted["frame_bytes"] - parts.accounted_bytes
        no_room = now.emulator_dropped_frames - was.emulator_dropped_frames
        refused = (f"the kernel had no room for {no_room} frames {direction}",) if no_room else ()
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
                "down_lost_frames": _cut(after, link, direction) - _cut(before, link, direction),
                "flow_frames": parts.flow_frames,
                "flow_bytes": parts.flow_bytes,
            }
        )
        accounts.append(
            LinkAccount(
                method,
                link,
                direction,
                **counted,
                unaccounted_bytes=unaccounted_bytes,
                unaccounted_frames=counted["frames"] - parts.accounted_frames,
                capture_dropped_frames=report.dropped_by_kernel if report and direction == "up" else 0,
                **gone,
                quiet=before.quiet and after.quiet,
                faults=(*(of_capture if direction == "up" else ()), *refused),
            )
        )
    return Reconciled(rows, accounts, found.requests, [f"{link}: {text}" for text in found.findings])


def _cut(reading: Reading, link: str, direction: Direction) -> int:
    return reading.cut[link][direction] if link in reading.cut else 0
