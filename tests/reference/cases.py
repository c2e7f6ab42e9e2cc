"""What is measured of each link, case by case. Standard library alone: it also runs in user-mode Linux."""

from __future__ import annotations

import json
import math
import os
import statistics
import sys
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from testbed.scenario.topology import DIRECTIONS, Bursts, Shape, queue_frames
from tests.reference.measure import FULL_BYTES, Ends, round_trips_ms, send_train, transfer

RETRANSMISSIONS_APART = {"cubic": 12, "bbr": 25}
"""Allowed by congestion control. Through either link, cubic sends 1 or about 11 again by whether it leaves
slow start in time (HyStart), bbr 14 to 30 behind the longer queue and about 146 behind the shorter one."""
Samples = list[list[float]]
"""What a case saw: one list for each of its figures, empty where this kernel cannot give it."""

MBIT = 10**6
PINGS = 25
SMALL_BYTES = 98
SCATTERED_FRAMES, SCATTERED_GAP_S = 6000, 0.0003
FEW_FRAMES = 1000
JITTERED_FRAMES, JITTERED_GAP_S = 300, 0.013
TRANSFERS, TRANSFER_BYTES = 3, 4_000_000
TCP_RATE_BPS, TCP_DELAY_MS = 20 * MBIT, 20.0
QUEUE_OVERRUN_FRAMES = 10
ONE_WAY_BOUND_MS = 0.4
"""Allowed between two links, for each way: user-mode Linux wakes up as late as that, and a process here."""


@dataclass(frozen=True)
class Figure:
    """One number of a case, reduced from its samples; ``allowed`` is how far two links may be apart.

    ``asked`` is what it would be on paper, where that can be said.
    """

    name: str
    allowed: float
    asked: float | None = None
    reduce: Callable[[Sequence[float]], float] = statistics.median
    digits: int = 2


@dataclass(frozen=True)
class Case:
    """A link's shape, the same in both directions but for ``down``, and what is to be seen of it."""

    name: str
    shape: Shape
    figures: tuple[Figure, ...]
    measure: Callable[[Ends], Samples]
    down: Shape | None = None


def all_cases() -> list[Case]:
    return [*_times(), *_rates(), *_queues(), *_fates(), *_jitters(), *_transfers()]


def measure_all(ends: Ends, report: Callable[[str], None], names: Collection[str] = ()) -> dict[str, Samples]:
    """Samples by the name of the case, of all cases or of those named."""
    found = {}
    for case in all_cases():
        if names and case.name not in names:
            continue
        ends.reshape(case.shape, case.down or case.shape)
        found[case.name] = case.measure(ends)
        seen = zip(case.figures, found[case.name], strict=True)
        said = (f"{figure.name} {figure.reduce(some):.3f}" for figure, some in seen if some)
        report(f"{case.name}: {', '.join(said)}")
    return found


def _milliseconds(frame_bytes: int, shape: Shape) -> float:
    """One way of a lone frame."""
    return shape.delay_ms + frame_bytes * 8 / (shape.rate_bps or math.inf) * 1000


def _times() -> Iterator[Case]:
    for rate_mbit, delay_ms in ((1, 1.0), (1, 20.0), (2, 10.0), (20, 20.0), (100, 1.0), (100, 100.0)):
        shape = Shape(rate_mbit * MBIT, delay_ms)
        for frame_bytes in (SMALL_BYTES, FULL_BYTES):
            asked = 2 * _milliseconds(frame_bytes, shape)
            figure = Figure("round trip, ms", max(2 * ONE_WAY_BOUND_MS, 0.01 * asked), asked)
            name = f"{frame_bytes:,} bytes at {rate_mbit} Mbit/s, {delay_ms:g} ms each way"

            def measure(ends: Ends, frame_bytes: int = frame_bytes) -> Samples:
                return [round_trips_ms(ends, frame_bytes, PINGS)]

            yield Case(name, shape, (figure,), measure)
    up, down = Shape(5 * MBIT, 5.0), Shape(50 * MBIT, 40.0)
    figures = tuple(
        Figure(f"one way {direction}, ms", ONE_WAY_BOUND_MS, _milliseconds(FULL_BYTES, shape))
        for direction, shape in (("up", up), ("down", down))
    )
    yield Case("1,514 bytes, 5 Mbit/s and 5 ms up, 50 Mbit/s and 40 ms down", up, figures, _one_way, down)


def _one_way(ends: Ends) -> Samples:
    return [
        send_train(ends, PINGS, gap_s=0.013, last_s=0.1, direction=direction).delays_ms
        for direction in DIRECTIONS
    ]


def _rates() -> Iterator[Case]:
    """No more than 50 Mbit/s: above it, the one CPU of user-mode Linux is what is measured."""
    for rate_mbit, frames in ((1, 100), (20, 1000), (50, 2000)):
        shape = Shape(rate_mbit * MBIT, 10.0, queue_frames=frames)
        figure = Figure("rate by frames, Mbit/s", 0.002 * rate_mbit, rate_mbit, digits=3)

        def measure(ends: Ends, frames: int = frames) -> Samples:
            """The slope of the frames' numbers over their times, of frames that were sent at once."""
            train = send_train(ends, frames, last_s=0.2)
            times_s = [(at_ns - train.sent_ns[0]) / 1e9 for _, at_ns in train.arrived]
            slope = statistics.linear_regression(times_s, train.numbers).slope
            return [[slope * FULL_BYTES * 8 / MBIT]]

        yield Case(f"{rate_mbit} Mbit/s", shape, (figure,), measure)


def _queues() -> Iterator[Case]:
    for length, rate_bps in ((5, 200_000), (20, 200_000), (100, MBIT)):
        shape = Shape(rate_bps, 30.0, queue_frames=length)
        figure = Figure("the first frames that came", 0, length, digits=0)

        def measure(ends: Ends, frames: int = length + QUEUE_OVERRUN_FRAMES) -> Samples:
            numbers = send_train(ends, frames, last_s=1.3).numbers
            return [[len(numbers) if numbers == list(range(len(numbers))) else math.nan]]

        yield Case(f"{QUEUE_OVERRUN_FRAMES} more at once than a queue of {length}", shape, (figure,), measure)


def _fates() -> Iterator[Case]:
    """Allowed are four standard deviations of the difference, which is random."""
    for loss in (0.02, 0.1):
        figure = Figure("lost, %", _allowed_percent(loss), 100 * loss)
        yield Case(f"loss of {loss:.0%}", _unlimited(5, loss=loss), (figure,), _loss)
    bursts = Bursts(p=0.05, r=0.3)
    correlated = (1 + (1 - bursts.p - bursts.r)) / (bursts.p + bursts.r)  # successive states of the chain
    figure = Figure("lost, %", _allowed_percent(bursts.mean, correlated), 100 * bursts.mean)
    rows = SCATTERED_FRAMES * bursts.mean * bursts.r
    row = Figure("lost in a row", 4 * math.sqrt(2 * (1 - bursts.r) / bursts.r**2 / rows), 1 / bursts.r)
    shape = _unlimited(5, loss=bursts.mean, bursts=bursts)
    yield Case("loss in bursts, p 5 %, r 30 %", shape, (figure, row), _bursts)
    figure = Figure("came twice, %", _allowed_percent(0.05), 5)
    yield Case("duplication of 5 %", _unlimited(5, duplicate=0.05), (figure,), _duplicates)
    figure = Figure("sent ahead, %", _allowed_percent(0.25, SCATTERED_FRAMES / FEW_FRAMES), 25)
    yield Case("reordering of 25 % at 10 ms", _unlimited(10, reorder=0.25), (figure,), _reordered)


def _unlimited(delay_ms: float, **figures: Any) -> Shape:
    return Shape(None, delay_ms, queue_frames=2 * SCATTERED_FRAMES, **figures)


def _allowed_percent(share: float, variance: float = 1.0) -> float:
    return 400 * math.sqrt(2 * variance * share * (1 - share) / SCATTERED_FRAMES)


def _scattered(ends: Ends) -> list[int]:
    """Numbers of the frames that came."""
    return send_train(ends, SCATTERED_FRAMES, 100, SCATTERED_GAP_S, last_s=0.1).numbers


def _loss(ends: Ends) -> Samples:
    return _bursts(ends)[:1]


def _bursts(ends: Ends) -> Samples:
    gone = set(range(SCATTERED_FRAMES)) - set(_scattered(ends))
    rows = sum(number - 1 not in gone for number in gone)
    return [[100 * len(gone) / SCATTERED_FRAMES], [len(gone) / rows]]


def _duplicates(ends: Ends) -> Samples:
    numbers = _scattered(ends)
    return [[100 * (len(numbers) - len(set(numbers))) / SCATTERED_FRAMES]]


def _reordered(ends: Ends) -> Samples:
    """A frame that is sent ahead has none of the delay."""
    delays_ms = send_train(ends, FEW_FRAMES, 100, gap_s=0.001, last_s=0.1).delays_ms
    return [[100 * sum(delay_ms < 5 for delay_ms in delays_ms) / FEW_FRAMES]]


def _jitters() -> Iterator[Case]:
    """That of a sample has itself a deviation of 3 ms / √(2n); less if the distribution is uniform."""
    allowed_ms = 4 * math.sqrt(2) * 3 / math.sqrt(2 * JITTERED_FRAMES)
    figures = (
        Figure("sd, ms", allowed_ms, 3, statistics.stdev),
        Figure("overtaken", 0, 0, digits=0),
    )
    for distribution in ("normal", "uniform"):
        shape = _unlimited(20, jitter_ms=3.0, jitter_distribution=distribution)
        yield Case(f"jitter of 3 ms on 20 ms, {distribution}", shape, figures, _jitter)


def _jitter(ends: Ends) -> Samples:
    spaced_ms = send_train(ends, JITTERED_FRAMES, 100, JITTERED_GAP_S, last_s=0.1).delays_ms
    numbers = send_train(ends, FEW_FRAMES, 100, gap_s=0.0005, last_s=0.1).numbers
    return [spaced_ms, [float(sum(later < earlier for earlier, later in pairwise(numbers)))]]


def _transfers() -> Iterator[Case]:
    for queue in ("1bdp", "2bdp"):
        frames = queue_frames(queue, TCP_RATE_BPS, 2 * TCP_DELAY_MS)
        shape = Shape(TCP_RATE_BPS, TCP_DELAY_MS, queue_frames=frames)
        for congestion in RETRANSMISSIONS_APART:
            figures = (
                Figure("4 MB in s", 0.1, digits=3),
                Figure("throughput, Mbit/s", 1.0),
                Figure("retransmissions", RETRANSMISSIONS_APART[congestion], digits=0),
            )

            def measure(ends: Ends, congestion: str = congestion) -> Samples:
                return _transfer(ends, congestion)

            yield Case(
                f"{congestion}, 20 Mbit/s, 20 ms each way, queue of {queue} ({frames})",
                shape,
                figures,
                measure,
            )


def _transfer(ends: Ends, congestion: str) -> Samples:
    try:
        done = [transfer(ends, congestion, TRANSFER_BYTES) for _ in range(TRANSFERS)]
    except FileNotFoundError:  # this kernel has no such congestion control
        done = []
    rates = [TRANSFER_BYTES * 8 / transfer.seconds / MBIT for transfer in done]
    retransmissions = [float(transfer.retransmissions) for transfer in done]
    return [[transfer.seconds for transfer in done], rates, retransmissions]


def main() -> None:
    """Measure netem in this kernel and print the samples as JSON; what is seen on the way goes to stderr.

    The arguments are the names of cases; without any it is all of them.
    """
    from tests.reference.netem import netem_link

    with netem_link() as ends:
        found = measure_all(ends, lambda line: print(line, file=sys.stderr, flush=True), sys.argv[1:])
    json.dump({"kernel": os.uname().release, "cases": found}, sys.stdout)
