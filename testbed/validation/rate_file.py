"""Does a link that plays a mahimahi rate file deliver what the file says, second by second."""

from __future__ import annotations

import itertools
import time
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import replace

from testbed.host import REPOSITORY
from testbed.measure.path import wait_until_quiet
from testbed.measure.traffic import Flood, UdpPath, promptly
from testbed.rate_trace import BIN_MS, RatePlayer, RateTrace, read_rate_trace
from testbed.topology import FRAME_BYTES, Shape
from testbed.traffic_control import standing_by
from testbed.validation.bench import Bench
from testbed.validation.figures import Figure, within
from testbed.validation.registry import Check

FILE = REPOSITORY / "traces" / "up-and-down.mahi"
QUEUE_FRAMES = 400
"""Full from the start, it bridges two thirds of a second in which the sender is not given a CPU."""
BIN_S = 1.0
TOLERANCE = 0.05
LATE_S = BIN_MS / 1000
"""By how much a step may be off in time: what the player makes of a file has no finer grain."""
_SHIFTS = 11
SETTLE_S = 0.5
"""For the tc that stands by to be there: in a run it is long before an event is due."""
OVERLOAD = 1.2


def expected_bytes(trace: RateTrace, edges_s: Sequence[float]) -> list[int]:
    """Bytes of full frames that the file lets out between neighbouring moments, repeats of it included.

    Raises:
        ValueError: a moment before the file's start.
    """
    if edges_s and edges_s[0] < 0:
        raise ValueError("a rate file begins at 0")
    counts = [_opportunities_until(trace, edge_s * 1000) for edge_s in edges_s]
    return [(after - before) * FRAME_BYTES for before, after in itertools.pairwise(counts)]


def _opportunities_until(trace: RateTrace, at_ms: float) -> int:
    turns, rest_ms = divmod(at_ms, trace.period_ms)
    return int(turns) * len(trace.opportunities_ms) + bisect_right(trace.opportunities_ms, rest_ms)


def rate_file(bench: Bench) -> Iterator[Figure]:
    """The bottleneck overloaded while its rate follows the file; the wire counted in bins of a second."""
    trace = read_rate_trace(FILE)
    turns = 1 if bench.short else 4
    edges_s, counted = play(bench, trace, turns * trace.period_ms / 1000)
    expected = expected_bytes(trace, edges_s)
    delivered = [after - before for before, after in itertools.pairwise(counted)]
    for number, (got, one) in enumerate(zip(delivered, bounds(trace, edges_s), strict=True), 1):
        low, asked, high = one
        yield Figure(
            f"{FILE.name}: second {number}", "bytes", asked, got, low, high,
            f"± {TOLERANCE * 100:g} %, {BIN_MS} ms early or late",
        )  # fmt: skip
    yield within(f"{FILE.name}: all of it", "bytes", sum(expected), sum(delivered), TOLERANCE)


def bounds(trace: RateTrace, edges_s: Sequence[float]) -> list[tuple[float, int, float]]:
    """For each bin the least, the exact and the most bytes, if the file were up to a step early or late."""
    shifts = (LATE_S * (2 * number / (_SHIFTS - 1) - 1) for number in range(_SHIFTS))
    shifted = [expected_bytes(trace, [max(0.0, edge_s + by_s) for edge_s in edges_s]) for by_s in shifts]
    exact = expected_bytes(trace, edges_s)
    return [
        (min(some) * (1 - TOLERANCE) - FRAME_BYTES, one, max(some) * (1 + TOLERANCE) + FRAME_BYTES)
        for one, some in zip(exact, zip(*shifted, strict=True), strict=True)
    ]


def play(bench: Bench, trace: RateTrace, duration_s: float) -> tuple[list[float], list[int]]:
    """Play the file to an overloaded link; moments about a bin apart, and bytes on the wire until each."""
    timeline = list(trace.timeline(duration_s))
    first = Shape(timeline[0].rate_bps, queue_frames=QUEUE_FRAMES)
    path = bench.path(first, Shape(None))
    bench.link.pace(["up"])  # as a run paces a direction that follows a file
    fastest_bps = max(step.rate_bps for step in timeline)

    def apply(rate_bps: int) -> None:
        bench.reshape(replace(first, rate_bps=rate_bps), Shape(None))

    try:
        with standing_by([bench.link]), UdpPath(path.child, path.parent) as udp, promptly():
            time.sleep(SETTLE_S)
            flood = Flood(udp, fastest_bps, OVERLOAD, QUEUE_FRAMES)
            flood.keep_up(ahead=QUEUE_FRAMES)
            start_s = time.monotonic()
            with RatePlayer(timeline, apply, start_s):
                found = list(_count(bench, flood, start_s, round(duration_s / BIN_S)))
            wait_until_quiet([path])
    finally:
        bench.path(Shape(None))
        bench.link.pace([])
    return [at_s for at_s, _ in found], [count for _, count in found]


def _count(bench: Bench, flood: Flood, start_s: float, bins: int) -> Iterator[tuple[float, int]]:
    """Keep the flood up; at each bin's edge the time since the start, and the bytes on the wire by then."""
    for edge in range(bins + 1):
        while (left_s := start_s + edge * BIN_S - time.monotonic()) > 0:
            flood.keep_up()
            time.sleep(min(flood.period_s, left_s))
        yield time.monotonic() - start_s, bench.link.counters()["up"].bytes


CHECKS = (
    Check(
        "rate-file", "a link follows a mahimahi rate file", "the file's own opportunities", rate_file,
    ),
)  # fmt: skip
