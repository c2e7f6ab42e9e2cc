"""Checks that a link is what its shape says: rate, queue, loss, jitter."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator
from dataclasses import replace

from testbed.network.link_process.fates import Fates, Way, WayFigures
from testbed.network.measure.loss import count_fates
from testbed.network.measure.paths import Effort, wait_until_quiet
from testbed.network.measure.rate import measure_rates
from testbed.network.measure.traffic import FULL_PAYLOAD_BYTES, Burst, UdpPath
from testbed.network.measure.trains import one_way_train
from testbed.scenario.expected import CHANCE
from testbed.scenario.topology import FRAME_BYTES, Bursts, JitterDistribution, Shape
from testbed.validation.bench import SEED, Bench, awake_ms, send_alone
from testbed.validation.check import Check
from testbed.validation.figures import Figure, exactly

RATE_TOLERANCE = 0.001
RATES_MBIT, SHORT_RATES_MBIT = (1, 20, 100, 300), (1, 20, 300)
BOTH_WAYS_MBIT = 100
"""Faster links are measured one direction after the other, since one process carries both."""
WAYS = (
    Shape(None, delay_ms=5, queue_frames=5000),
    Shape(None, delay_ms=5, loss=0.005, queue_frames=5000),
    Shape(None, delay_ms=5, loss=0.02, queue_frames=5000),
    Shape(None, delay_ms=5, loss=0.3, queue_frames=5000),
    Shape(None, delay_ms=5, loss=Bursts(0.01, 0.3).mean, bursts=Bursts(0.01, 0.3), queue_frames=5000),
    Shape(None, delay_ms=5, loss=0.1, duplicate=0.1, queue_frames=5000),
)
DISTRIBUTIONS: tuple[JitterDistribution, ...] = ("normal", "uniform", "pareto")
TOLERANCE_MS = 0.3


def rate(bench: Bench) -> Iterator[Figure]:
    """Keep a bottleneck full with 1.2 times its rate, and take each frame's stamp on the wire behind it."""
    seconds = 2.0 if bench.short else 4.0
    for rate_mbit in SHORT_RATES_MBIT if bench.short else RATES_MBIT:
        rate_bps = rate_mbit * 10**6
        path = bench.path(Shape(rate_bps, queue_frames=max(100, rate_bps // 100_000)))
        together = rate_mbit <= BOTH_WAYS_MBIT
        for group in [[(path, "up"), (path, "down")]] if together else [[(path, "up")], [(path, "down")]]:
            for finding in measure_rates(group, seconds):  # type: ignore[arg-type]
                slack = RATE_TOLERANCE * rate_bps + 8 * FRAME_BYTES / seconds
                yield Figure(
                    f"{rate_mbit} Mbit/s {finding.direction}", "bit/s", rate_bps, finding.measured,
                    rate_bps - slack, rate_bps + slack, "± 0.1 % and a frame", finding.note,
                )  # fmt: skip


def queue(bench: Bench) -> Iterator[Figure]:
    """Send Q + 10 frames at once into a queue of Q: Q cross, ten are refused, none is lost."""
    for frames in (5, 20) if bench.short else (5, 20, 100):
        path = bench.path(Shape(1_000_000, queue_frames=frames))
        sent = frames + 10
        with UdpPath(path.child, path.parent, sink_buffer_bytes=1 << 20) as udp:
            before, refused_before = bench.link.counters()["up"], bench.link.counts()["up"].refused_frames
            taken = Burst([bytes(FULL_PAYLOAD_BYTES)] * sent).send(udp.sender)
            wait_until_quiet([path])
            after, refused = bench.link.counters()["up"], bench.link.counts()["up"].refused_frames
        crossed = after.frames - before.frames
        yield exactly(f"queue of {frames}: frames that cross of {taken} at once", "frames", frames, crossed)
        yield exactly(
            f"queue of {frames}: refused and crossed together", "frames", sent,
            crossed + refused - refused_before,
        )  # fmt: skip


def loss(bench: Bench) -> Iterator[Figure]:
    """Send numbered datagrams, and compare the fate of each with the seed's for that frame."""
    for way in WAYS:
        path = bench.path(way)
        least = 500 if bench.short else 5000
        method = f"loss-{_words(way)}"
        tallies = count_fates([path], bench.network.link_process, SEED, method, Effort(), least)
        seen = [copies for tally in tallies for copies in tally.seen]
        due = [copies for tally in tallies for copies in tally.due]
        what = f"{_words(way)}, of {len(seen):,} frames"
        yield exactly(f"{what}: lost", "frames", due.count(0), seen.count(0))
        otherwise = sum(tally.otherwise for tally in tallies)
        yield exactly(f"{what}: fared otherwise than by the seed", "frames", 0, otherwise)


def _words(way: Shape) -> str:
    share = f"loss of {way.loss * 100:.3g} %"
    bursts = " in bursts" if way.bursts is not None else ""
    return share + bursts + (f", doubled {way.duplicate * 100:g} %" if way.duplicate else "")


def jitter(bench: Bench) -> Iterator[Figure]:
    """Compare one-way times with the distribution and the seed; and see that no frame overtakes another."""
    shape = Shape(None, delay_ms=40, jitter_ms=6, queue_frames=5000)
    wake_ups_ms = bench.wake_ups_ms() / 2
    for distribution in DISTRIBUTIONS:
        yield from _spread(bench, replace(shape, jitter_distribution=distribution), wake_ups_ms)
    path = bench.path(shape)
    with UdpPath(path.child, path.parent, sink_buffer_bytes=1 << 20) as udp:
        close = one_way_train(udp, 400 if bench.short else 2000, 0.0005)
        arrived = len(send_alone(close))
    yield exactly("datagrams 0.5 ms apart that arrived", "datagrams", close.count, arrived)
    yield exactly("of those, overtaken by a later one", "datagrams", 0, close.out_of_order)


def _spread(bench: Bench, shape: Shape, wake_ups_ms: float) -> Iterator[Figure]:
    kind, count = shape.jitter_distribution, 100 if bench.short else 300
    path, method = bench.path(shape), f"jitter-{kind}"
    with UdpPath(path.child, path.parent, sink_buffer_bytes=1 << 19) as udp:
        bench.network.link_process.begin(SEED, method)
        # So far apart that keeping the order seldom has to move a datagram.
        train = one_way_train(udp, count, 4 * shape.jitter_ms / 1000)
        times_ms = awake_ms(send_alone(train), wake_ups_ms)
    standard = [(time_ms - shape.delay_ms) / shape.jitter_ms for time_ms in times_ms]
    yield Figure(
        f"{kind}: p of Kolmogorov and Smirnov", "", 1.0, _p_of(standard, kind), CHANCE, 1.0,
        f"at least {CHANCE:g}", samples=tuple(times_ms),
    )  # fmt: skip
    figures = WayFigures(round(shape.delay_ms * 1e6), round(shape.jitter_ms * 1e6), kind)
    way = Way(figures, Fates(SEED, method, path.name, "up"))
    due_ms = [(way.enter(at_ns)[0] - at_ns) / 1e6 for at_ns in train.sent_ns.values()]
    off_ms = (
        [abs(time_ms - due) for time_ms, due in zip(times_ms, due_ms, strict=True)]
        if len(times_ms) == count
        else []
    )
    yield Figure(
        f"{kind}: the seed's own time, median of the deviation", "ms", 0.0,
        statistics.median(off_ms) if off_ms else None, 0.0, TOLERANCE_MS, f"± {TOLERANCE_MS:g} ms",
    )  # fmt: skip


def _p_of(standard: list[float], kind: JitterDistribution) -> float:
    """The p-value of Kolmogorov and Smirnov's test, for a distribution of mean 0 and standard deviation 1."""
    from scipy import stats

    distributions = {
        "normal": stats.norm(),
        "uniform": stats.uniform(-math.sqrt(3), 2 * math.sqrt(3)),
        "pareto": stats.pareto(3, -math.sqrt(3), math.sqrt(4 / 3)),  # of shape 3: mean 3/2, variance 3/4
    }
    return float(stats.kstest(standard, distributions[kind].cdf).pvalue)


CHECKS = (
    Check("rate", "a full bottleneck sends at its rate", "rate / (8 × 1,514) frames a second", rate),
    Check("queue", "a queue of Q frames drops at Q", "Q", queue, exact=True),
    Check(
        "loss", "the frames that are lost are the seed's", "the seed's numbers, by netem's rules", loss,
        exact=True,
    ),
    Check("jitter", "the delay spreads as asked, in order", "the distribution, and the seed", jitter),
)  # fmt: skip
