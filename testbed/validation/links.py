"""Is a link what its shape says: times, rate, queue, loss, jitter (measured by :mod:`testbed.measure`)."""

from __future__ import annotations

import statistics
from collections.abc import Iterator

from testbed.measure.expected import (
    jitter_bounds,
    one_way_ms,
    round_trip_ms,
    serialisation_ms,
    spread_ms,
    time_bounds,
)
from testbed.measure.loss import measure_loss
from testbed.measure.path import Effort, wait_until_quiet
from testbed.measure.rate import measure_rates
from testbed.measure.traffic import (
    FULL_PAYLOAD_BYTES,
    PING_FRAME_BYTES,
    PING_PAYLOAD_BYTES,
    SMALL_FRAME_BYTES,
    Burst,
    UdpPath,
    promptly,
)
from testbed.measure.trains import Train, one_way_train, ping_socket, ping_train, run_trains
from testbed.topology import FRAME_BYTES, Shape
from testbed.validation.bench import Bench
from testbed.validation.figures import Figure, exactly, from_finding
from testbed.validation.registry import Check

FRAME_SIZES = (PING_FRAME_BYTES, 512, 1024, FRAME_BYTES)
SERIALISATION_TOLERANCE = 0.05
"""Of a lone frame's time on a slow link; its delay comes off before."""
LEAST_ANSWERS = 8


def round_trip(bench: Bench) -> Iterator[Figure]:
    """Pings of several sizes: both delays, and both serialisations of the size."""
    shape = Shape(2_000_000, delay_ms=20)
    path = bench.path(shape)
    for number, size in enumerate(FRAME_SIZES):
        payload = size - PING_FRAME_BYTES + PING_PAYLOAD_BYTES
        with ping_socket(path.child, path.parent) as pinger:
            train = ping_train(pinger, 0x7D00 + number, 20 if bench.short else 50, 0.04, payload)
            times_ms = _run(train)
        expected = round_trip_ms(shape, shape, size)
        yield _median(f"ping of {size:,} bytes", expected, times_ms)


def serialisation(bench: Bench) -> Iterator[Figure]:
    """A lone full frame one way, at 1 Mbit/s, without a delay and with one; the delay comes off."""
    for delay_ms in (0.0, 20.0):
        shape = Shape(1_000_000, delay_ms=delay_ms)
        path = bench.path(shape)
        expected = serialisation_ms(FRAME_BYTES, shape.rate_bps)
        with UdpPath(path.child, path.parent, sink_buffer_bytes=1 << 19) as udp:
            train = one_way_train(udp, 12 if bench.short else 40, 0.05, FULL_PAYLOAD_BYTES)
            times_ms = [one - delay_ms for one in _run(train)]
        slack = SERIALISATION_TOLERANCE * expected
        yield Figure(
            f"{FRAME_BYTES:,} bytes at 1 Mbit/s, {delay_ms:g} ms of delay taken off", "ms", expected,
            _middle(times_ms), expected - slack, expected + slack, "± 5 %", samples=tuple(times_ms),
        )  # fmt: skip


def rate(bench: Bench) -> Iterator[Figure]:
    """A bottleneck kept full by 1.2 times its rate, and the wire behind it counted."""
    for rate_bps in (
        (1_000_000, 20_000_000) if bench.short else (1_000_000, 5_000_000, 20_000_000, 100_000_000)
    ):
        path = bench.path(Shape(rate_bps, queue_frames=max(100, rate_bps // 100_000)))
        for finding in measure_rates([(path, "up"), (path, "down")], 1.0 if bench.short else 3.0):
            yield from_finding(
                finding, f"{rate_bps // 10**6} Mbit/s {finding.direction}", "± 1 % and a frame"
            )


def queue(bench: Bench) -> Iterator[Figure]:
    """Q and ten more frames at once into a queue of Q: Q cross, ten are refused, none is lost."""
    for frames in (5, 20) if bench.short else (5, 20, 100):
        path = bench.path(Shape(500_000, queue_frames=frames))
        sent = frames + 10
        with UdpPath(path.child, path.parent, sink_buffer_bytes=1 << 20) as udp:
            before, refused_before = bench.link.counters()["up"], bench.link.drops()["up"]
            taken = Burst([bytes(FULL_PAYLOAD_BYTES)] * sent).send(udp.sender)
            wait_until_quiet([path])
            after, refused = bench.link.counters()["up"], bench.link.drops()["up"]
        crossed = after.frames - before.frames
        dropped = refused.queue_dropped_frames - refused_before.queue_dropped_frames
        yield Figure(
            f"queue of {frames}: frames that cross of {taken} at once", "frames", frames, crossed,
            frames, frames, "exact",
        )  # fmt: skip
        yield exactly(f"queue of {frames}: refused and crossed together", "frames", sent, crossed + dropped)


def loss(bench: Bench) -> Iterator[Figure]:
    """Numbered datagrams counted at the other end; none may be lost where no loss is asked for.

    Exact, though chance has its share: what falls outside is sent again and judged with what was sent before
    (:func:`testbed.measure.loss.measure_loss`). To begin anew would throw away what shows a wrong loss.
    """
    for share in (0.0, 0.02, 0.2) if bench.short else (0.0, 0.005, 0.02, 0.1, 0.3):
        path = bench.path(Shape(None, delay_ms=5, loss=share, queue_frames=5000))
        for finding in measure_loss([path], Effort()):
            if finding.quantity == "loss":
                what = f"loss of {share * 100:g} % {finding.direction}, of {finding.samples:,} datagrams"
                yield from_finding(finding, what, "binomial, 99.8 %")


def jitter(bench: Bench) -> Iterator[Figure]:
    """One-way times spread with the standard deviation asked for, and no frame overtakes another."""
    shape = Shape(None, delay_ms=20, jitter_ms=3, queue_frames=5000)
    path = bench.path(shape)
    spaced_s = 4 * shape.jitter_ms / 1000  # so that keeping the order seldom has to move a datagram
    with UdpPath(path.child, path.parent, sink_buffer_bytes=1 << 19) as udp:
        times_ms = _run(one_way_train(udp, 150 if bench.short else 400, spaced_s))
    low, high = jitter_bounds(shape.jitter_ms, len(times_ms))
    yield Figure(
        "standard deviation of one-way times", "ms", shape.jitter_ms, spread_ms(times_ms, shape.jitter_ms),
        low, high, "chance, 5 % for netem's tables and 0.5 ms", samples=tuple(times_ms),
    )  # fmt: skip
    yield _median("median of one-way times", one_way_ms(shape, SMALL_FRAME_BYTES), times_ms, shape.jitter_ms)
    with UdpPath(path.child, path.parent, sink_buffer_bytes=1 << 20) as udp:
        close = one_way_train(udp, 400 if bench.short else 2000, 0.0005)
        arrived = len(_run(close))
    yield exactly("datagrams 0.5 ms apart that arrived", "datagrams", close.count, arrived)
    yield exactly("of those, overtaken by a later one", "datagrams", 0, close.out_of_order)


def _run(train: Train) -> list[float]:
    """Send one train by itself; the time of each datagram that came, in ms."""
    with promptly():
        run_trains([train], last_wait_s=1.0)
    return train.times_ms


def _middle(times_ms: list[float]) -> float | None:
    return statistics.median(times_ms) if len(times_ms) >= LEAST_ANSWERS else None


def _median(quantity: str, expected_ms: float, times_ms: list[float], jitter_ms: float = 0.0) -> Figure:
    low, high = time_bounds(expected_ms, jitter_ms, len(times_ms))
    chance = " and chance" if jitter_ms else ""
    return Figure(
        quantity, "ms", expected_ms, _middle(times_ms), low, high, f"the larger of 2 % and 1 ms{chance}",
        samples=tuple(times_ms),
    )  # fmt: skip


CHECKS = (
    Check(
        "round-trip", "the round trip of a ping, by its size", "2 × delay + 2 × size / rate", round_trip,
    ),
    Check("serialisation", "a lone frame feels the rate", "size / rate", serialisation),
    Check("rate", "a full bottleneck sends at its rate", "rate / (8 × 1,514) frames a second", rate),
    Check("queue", "a queue of Q frames drops at Q", "Q", queue),
    Check(
        "loss", "frames are lost with the probability asked for", "binomial distribution", loss,
        exact=True,
    ),
    Check("jitter", "the delay spreads as asked, in order", "normal distribution", jitter),
)  # fmt: skip
