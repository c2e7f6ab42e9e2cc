"""Checks that a lone frame takes what size, rate and delay say, on a quiet machine and on a busy one.

The host needs time to wake up, and adds it to every measurement. It is measured on a link without a rate,
reported as a figure and taken off; the rest is compared with the closed form. A host that stays awake between
closer frames adds less than was taken off: times may then come out shorter, by no more than that.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

from testbed.host.facts import usable_cpus
from testbed.network.measure.paths import LinkPath
from testbed.network.measure.traffic import PING_FRAME_BYTES, PING_PAYLOAD_BYTES, UDP_HEADERS_BYTES, UdpPath
from testbed.network.measure.trains import Train, one_way_train, ping_socket, ping_train
from testbed.scenario.expected import round_trip_ms, serialisation_ms
from testbed.scenario.topology import FRAME_BYTES, Shape
from testbed.validation.bench import MOST_WAKE_UPS_MS, Bench, awake_ms, send_alone
from testbed.validation.check import Check
from testbed.validation.figures import Figure

FRAME_SIZES = (PING_FRAME_BYTES, FRAME_BYTES)
RATES_MBIT, SHORT_RATES_MBIT = (1, 2, 20, 100), (1, 100)
DELAYS_MS, SHORT_DELAYS_MS = (1, 10, 20, 100), (1, 100)
TOLERANCE, TOLERANCE_MS = 0.01, 0.3
TOLD = "the larger of 1 % and 0.3 ms, wake-ups taken off; less by the wake-ups at most"
PINGS, SHORT_PINGS = 50, 20
LEAST_ANSWERS = 8
LOADED_TOLERANCE_MS = 0.5


def round_trip(bench: Bench) -> Iterator[Figure]:
    """Send lone pings of two sizes at each rate and delay. None may come back before its time."""
    wake_ups_ms = bench.wake_ups_ms()
    yield Figure(
        "the host's wake-ups in a round trip", "ms", 0.0, wake_ups_ms, 0.0, MOST_WAKE_UPS_MS,
        f"at most {MOST_WAKE_UPS_MS:g} ms",
    )  # fmt: skip
    earliest_ms = []
    for rate_mbit in SHORT_RATES_MBIT if bench.short else RATES_MBIT:
        for delay_ms in SHORT_DELAYS_MS if bench.short else DELAYS_MS:
            shape = Shape(rate_mbit * 10**6, delay_ms=delay_ms)
            path = bench.path(shape)
            for size, times_ms in _pings(path, SHORT_PINGS if bench.short else PINGS):
                expected = round_trip_ms(shape, shape, size)
                earliest_ms += [min(times_ms, default=expected) - expected]
                what = f"ping of {size:,} bytes, {rate_mbit} Mbit/s, {delay_ms} ms"
                yield _median(what, expected, times_ms, wake_ups_ms)
    yield Figure(
        "the earliest answer of all, against its closed form", "ms", 0.0, min(earliest_ms), 0.0,
        MOST_WAKE_UPS_MS, "never early",
    )  # fmt: skip


def _pings(path: LinkPath, count: int) -> Iterator[tuple[int, list[float]]]:
    """Send pings of each size, so far apart that no two meet on the link; the times in ms by size."""
    interval_s = max(0.02, 4.4 * serialisation_ms(FRAME_BYTES, path.up.rate_bps) / 1000)
    with ExitStack() as stack:
        trains: list[Train] = []
        for number, size in enumerate(FRAME_SIZES):
            pinger = stack.enter_context(ping_socket(path.child, path.parent))
            payload_bytes = size - PING_FRAME_BYTES + PING_PAYLOAD_BYTES
            trains.append(ping_train(pinger, 0x7D00 + number, count, interval_s, payload_bytes))
        send_alone(*trains)
        yield from ((size, train.times_ms) for size, train in zip(FRAME_SIZES, trains, strict=True))


def serialisation(bench: Bench) -> Iterator[Figure]:
    """Send lone frames one way at each rate, and take the delay off."""
    delay_ms, wake_ups_ms = 10.0, bench.wake_ups_ms() / 2
    for rate_mbit in SHORT_RATES_MBIT if bench.short else RATES_MBIT:
        path = bench.path(Shape(rate_mbit * 10**6, delay_ms=delay_ms))
        for size in FRAME_SIZES:
            expected = serialisation_ms(size, path.up.rate_bps)
            interval_s = max(0.02, 1.5 * expected / 1000)
            with UdpPath(path.child, path.parent, sink_buffer_bytes=1 << 19) as udp:
                count = SHORT_PINGS if bench.short else PINGS
                times_ms = send_alone(one_way_train(udp, count, interval_s, size - UDP_HEADERS_BYTES))
            alone_ms = [time_ms - delay_ms for time_ms in times_ms]
            yield _median(f"{size:,} bytes at {rate_mbit} Mbit/s", expected, alone_ms, wake_ups_ms)


def load(bench: Bench) -> Iterator[Figure]:
    """Compare round trips over an idle link before and after, and while every CPU is busy.

    Under load they may come out shorter, down to the delay itself: an idle host's CPUs can take longer to
    wake up than busy ones to switch.
    """
    shape = Shape(None, delay_ms=20)
    path = bench.path(shape)
    count = 200 if bench.short else 1000

    def p99_ms() -> tuple[float, list[float]]:
        with ping_socket(path.child, path.parent) as pinger:
            times_ms = send_alone(ping_train(pinger, 0x7E00, count, 0.01, PING_PAYLOAD_BYTES))
        return statistics.quantiles(times_ms, n=100)[98], times_ms

    loops = usable_cpus() + 1
    before_ms, _ = p99_ms()
    with _busy(loops):
        loaded_ms, times_ms = p99_ms()
    after_ms, _ = p99_ms()
    quiet_ms = min(before_ms, after_ms)
    wake_ups_ms = quiet_ms - 2 * shape.delay_ms
    yield Figure(
        f"99th percentile of a round trip of 40 ms, moved by {loops} busy loops", "ms", 0.0,
        loaded_ms - quiet_ms, -max(LOADED_TOLERANCE_MS, wake_ups_ms), LOADED_TOLERANCE_MS,
        f"{LOADED_TOLERANCE_MS:g} ms more; less only down to the delay",
        f"{before_ms:.2f} ms before, {loaded_ms:.2f} ms beside them, {after_ms:.2f} ms after",
        tuple(times_ms),
    )  # fmt: skip


@contextmanager
def _busy(loops: int) -> Iterator[None]:
    """Keep so many processes computing for as long as the context lasts."""
    running: list[subprocess.Popen[bytes]] = []
    try:
        for _ in range(loops):
            running.append(subprocess.Popen([sys.executable, "-I", "-S", "-c", "while True: pass"]))
        yield
    finally:
        for process in running:
            process.kill()
            process.wait()


def _median(quantity: str, expected_ms: float, times_ms: Sequence[float], wake_ups_ms: float) -> Figure:
    slack_ms = max(TOLERANCE_MS, TOLERANCE * expected_ms)
    awake = awake_ms(times_ms, wake_ups_ms)
    middle = statistics.median(awake) if len(awake) >= LEAST_ANSWERS else None
    low = expected_ms - max(slack_ms, min(wake_ups_ms, MOST_WAKE_UPS_MS))
    return Figure(
        quantity, "ms", expected_ms, middle, low, expected_ms + slack_ms, TOLD, samples=tuple(awake)
    )


CHECKS = (
    Check(
        "round-trip", "a lone frame's round trip", "2 × delay + 2 × size / rate", round_trip,
    ),
    Check("serialisation", "a lone frame feels the rate", "size / rate", serialisation),
    Check("load", "busy CPUs do not move an idle link's times", "the same link on a quiet host", load),
)  # fmt: skip
