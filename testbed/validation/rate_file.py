"""Checks that a link which follows a mahimahi rate file sends each frame when the file says, and no other."""

from __future__ import annotations

import statistics
import struct
import time
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from testbed.host.facts import REPOSITORY
from testbed.host.processes.priority import promptly
from testbed.network.measure.paths import wait_until_quiet
from testbed.network.measure.traffic import Flood, UdpPath
from testbed.scenario.reading.rate_file import RateTrace, read_rate_trace
from testbed.scenario.topology import Shape
from testbed.validation.bench import Bench
from testbed.validation.check import Check
from testbed.validation.figures import Figure, exactly
from testbed.wire.pcap import RECORD_HEADER_BYTES, read_frames

FILE = REPOSITORY / "traces" / "up-and-down.mahi"
QUEUE_FRAMES = 400
"""Long enough to keep the link busy while the sender waits for a CPU."""
OVERLOAD = 1.2
BIN_MS = 1000
LATE_MS = 1.0
BETWEEN_MS = 0.5
"""Opportunities come at whole milliseconds. A frame that leaves up to 0.5 ms after one belongs to it."""
STANDING_BPS = 8
"""A rate so low that no frame leaves before the file begins."""


@dataclass(frozen=True)
class Played:
    """When frames were put on the wire, in order, and when the file was asked for and confirmed, in ns."""

    sent_ns: Sequence[int]
    asked_ns: int
    answered_ns: int


def due_ms(trace: RateTrace, turns: int) -> list[int]:
    """When full frames must leave, in ms from the file's start: one at each opportunity."""
    return [turn * trace.period_ms + at_ms for turn in range(turns) for at_ms in trace.opportunities_ms]


def rate_file(bench: Bench) -> Iterator[Figure]:
    """Overload the bottleneck while it follows the file, and capture the wire."""
    trace = read_rate_trace(FILE)
    turns = 1 if bench.short else 4
    yield from judge(play(bench, trace, turns * trace.period_ms / 1000), due_ms(trace, turns))


def judge(played: Played, due: Sequence[int]) -> Iterator[Figure]:
    """Compare frames with the file's times. Time 0 is where the frame that came earliest was on time."""
    first = [sent_ns - 1e6 * at_ms for sent_ns, at_ms in zip(played.sent_ns, due, strict=False)]
    began_ns = min(first, default=0.0)
    left_ms = [(sent_ns - began_ns) / 1e6 for sent_ns in played.sent_ns]
    took_ms = (played.answered_ns - played.asked_ns) / 1e6
    yield Figure(
        "the file's start after it was asked for", "ms", 0.0, (began_ns - played.asked_ns) / 1e6, -0.01,
        took_ms + LATE_MS, "before the answer, and 1 ms",
    )  # fmt: skip
    for edge_ms in range(BIN_MS, due[-1] + 1, BIN_MS):
        expected, counted = (
            bisect_right(times, edge_ms + BETWEEN_MS) - bisect_right(times, edge_ms - BIN_MS + BETWEEN_MS)
            for times in (due, left_ms)
        )
        yield exactly(f"{FILE.name}: second {edge_ms // BIN_MS}", "frames", expected, counted)
    until_ms = due[-1] + BETWEEN_MS
    yield exactly(f"{FILE.name}: all of it", "frames", len(due), bisect_right(left_ms, until_ms))
    late_ms = [(start_ns - began_ns) / 1e6 for start_ns in first]
    p99_ms = statistics.quantiles(late_ms, n=100)[98] if len(late_ms) > 1 else None
    yield Figure(
        f"{FILE.name}: each frame behind its own time, 99th percentile", "ms", 0.0, p99_ms, 0.0, LATE_MS,
        f"never before, less than {LATE_MS:g} ms after", samples=tuple(late_ms),
    )  # fmt: skip


def play(bench: Bench, trace: RateTrace, duration_s: float) -> Played:
    """Let an overloaded link follow the file for ``duration_s``, and return when frames left."""
    path = bench.path(Shape(STANDING_BPS, queue_frames=QUEUE_FRAMES), Shape(None))
    with bench.capture("rate-file", trace.peak_bps) as tap, UdpPath(path.child, path.parent) as udp:
        with promptly():
            flood = Flood(udp, trace.peak_bps, OVERLOAD, QUEUE_FRAMES)
            flood.keep_up(ahead=QUEUE_FRAMES)
            asked_ns = time.time_ns()
            bench.link.follow("up", trace.opportunities_ms)
            answered_ns = time.time_ns()
            end_s = time.monotonic() + duration_s + LATE_MS / 1000
            while (left_s := end_s - time.monotonic()) > 0:
                flood.keep_up()
                time.sleep(min(flood.period_s, left_s))
        bench.reshape(Shape(None), Shape(None))  # first, since a frame that is being sent keeps its moment
        bench.link.unfollow("up")
        wait_until_quiet([path])
        tap.stop()
    return Played(list(_stamps_ns(tap.pcap)), asked_ns, answered_ns)


def _stamps_ns(pcap: Path) -> Iterator[int]:
    """When each frame of a capture was sent, by the kernel's stamp."""
    for buffer, offset, _ in read_frames(pcap):
        seconds, microseconds = struct.unpack_from("=II", buffer, offset - RECORD_HEADER_BYTES)
        yield seconds * 10**9 + microseconds * 1000


CHECKS = (
    Check(
        "rate-file", "a link sends when a mahimahi rate file says", "the file's own opportunities", rate_file,
    ),
)  # fmt: skip
