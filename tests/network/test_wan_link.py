"""A WAN link: bottleneck, wire and way do what the scenario says, and only that."""

from __future__ import annotations

import itertools
import math
import statistics
import time
from collections.abc import Iterator

import pytest

from testbed.netns import run_in
from testbed.network import Network
from testbed.topology import Shape
from tests.network.lab import FULL_PAYLOAD, HEADER_BYTES, Way, flood, lower_quartile, path, settle, tree, up

pytestmark = pytest.mark.root
LINK = "device1-edge1"


@pytest.fixture(scope="module")
def network() -> Iterator[Network]:
    with up(tree(devices=1)) as network:
        yield network


@pytest.fixture
def way(network: Network) -> Iterator[Way]:
    with path(network, "device1", "edge1") as way:
        yield way
    network.link(LINK).reshape(Shape(None), Shape(None))


@pytest.fixture(autouse=True)
def drained(network: Network) -> Iterator[None]:
    """What one test left in the queue is not the next one's."""
    yield
    settle(network.link(LINK).held_frames)
    assert network.link(LINK).held_frames() == 0


def serialisation_ms(payload_bytes: int, rate_bps: int) -> float:
    return (HEADER_BYTES + payload_bytes) * 8 / rate_bps * 1000


def reshape(network: Network, up: Shape) -> None:
    network.link(LINK).reshape(up, Shape(None))


def counted(network: Network) -> tuple[int, int, int]:
    """Frames on the wire, dropped before it, lost after it; upwards."""
    link = network.link(LINK)
    drops = link.drops()["up"]
    assert drops.emulator_dropped_frames == 0
    return link.counters()["up"].frames, drops.queue_dropped_frames, drops.lost_frames


def since(network: Network, before: tuple[int, int, int]) -> tuple[int, int, int]:
    sent, dropped, lost = (now - then for now, then in zip(counted(network), before, strict=True))
    return sent, dropped, lost


@pytest.mark.parametrize("delay_ms", [0.0, 20.0])
@pytest.mark.parametrize("payload_bytes", [FULL_PAYLOAD, 758])
def test_a_lone_frame_takes_its_serialisation_more_than_the_delay(
    network: Network, way: Way, delay_ms: float, payload_bytes: int
) -> None:
    reshape(network, Shape(10**6, delay_ms=delay_ms))
    delays = way.delays_ms(20, payload_bytes, gap_s=0.06)
    assert len(delays) == 20
    expected = serialisation_ms(payload_bytes, 10**6)
    if payload_bytes == FULL_PAYLOAD:
        assert expected == pytest.approx(12.1, abs=0.02)
    # What else runs on this machine can make a frame later, never earlier.
    assert lower_quartile(delays) - delay_ms == pytest.approx(expected, abs=0.05 * 12.112)


@pytest.mark.parametrize("delay_ms", [1, 10, 50])
def test_the_round_trip_is_within_1_ms_or_2_percent(network: Network, delay_ms: float) -> None:
    shape = Shape(20 * 10**6, delay_ms=delay_ms)
    network.link(LINK).reshape(shape, shape)
    printed = run_in(
        network.net["device1"].netns_path, ["ping", "-c", "50", "-i", "0.05", network.net["edge1"].IP()]
    )
    times = [float(line.split("time=")[1].split()[0]) for line in printed.splitlines() if "time=" in line]
    assert len(times) == 50
    theory = 2 * delay_ms + 2 * serialisation_ms(56, 20 * 10**6)
    assert abs(lower_quartile(times) - theory) <= max(1.0, 0.02 * theory)


@pytest.mark.parametrize("queue_frames", [5, 20])
def test_a_queue_of_q_frames_drops_at_q(network: Network, way: Way, queue_frames: int) -> None:
    reshape(network, Shape(200_000, delay_ms=30, queue_frames=queue_frames))
    before = counted(network)
    way.burst(queue_frames + 10)
    settle(lambda: len(way.receiver.arrivals), quiet_s=1.0)
    assert [arrival.number for arrival in way.receiver.arrivals] == list(range(queue_frames))
    assert since(network, before) == (queue_frames, 10, 0)


@pytest.mark.parametrize("rate_bps", [10**6, 5 * 10**6, 20 * 10**6])
def test_the_rate_by_frames_is_within_1_percent(network: Network, rate_bps: int) -> None:
    frame_s = serialisation_ms(FULL_PAYLOAD, rate_bps) / 1000
    second_frames = int(1 / frame_s)  # so long may the machine be busy with something else
    reshape(network, Shape(rate_bps, queue_frames=second_frames))
    link, (_, dropped, _) = network.link(LINK), counted(network)
    with flood(network, "device1", "edge1", frame_s / 2):
        while link.drops()["up"].queue_dropped_frames == dropped:  # from here on the queue is never empty
            time.sleep(0.01)
        first, start = link.counters()["up"].frames, time.monotonic()
        time.sleep(3)
        last, end = link.counters()["up"].frames, time.monotonic()
    assert (last - first) / (end - start) == pytest.approx(1 / frame_s, rel=0.01)


def test_a_queue_counts_nothing_that_is_in_flight(network: Network, way: Way) -> None:
    rate_bps = 5 * 10**6
    reshape(network, Shape(rate_bps, delay_ms=1000, queue_frames=100))  # 413 frames fit into the delay
    before = counted(network)
    way.burst(700, gap_s=serialisation_ms(FULL_PAYLOAD, rate_bps) / 1000 / 0.9)
    settle(lambda: len(way.receiver.arrivals), quiet_s=1.2)
    assert since(network, before) == (700, 0, 0)
    assert len(way.receiver.arrivals) == 700


@pytest.mark.parametrize("loss", [0.01, 0.1, 0.5])
def test_loss_is_within_its_binomial_interval_and_lost_frames_were_on_the_wire(
    network: Network, way: Way, loss: float
) -> None:
    frames = 3000
    reshape(network, Shape(None, delay_ms=5, loss=loss, queue_frames=5000))
    before = counted(network)
    way.burst(frames, payload_bytes=100)
    settle(lambda: len(way.receiver.arrivals))
    sent, dropped, lost = since(network, before)
    assert (sent, dropped) == (frames, 0)
    assert len(way.receiver.arrivals) == frames - lost
    assert abs(lost - frames * loss) <= 4 * math.sqrt(frames * loss * (1 - loss))


def test_duplicates_arise_on_the_way_and_are_not_counted_on_the_wire(network: Network, way: Way) -> None:
    reshape(network, Shape(None, delay_ms=5, duplicate=0.2, queue_frames=5000))
    before = counted(network)
    way.burst(2000, payload_bytes=100)
    settle(lambda: len(way.receiver.arrivals))
    assert since(network, before) == (2000, 0, 0)
    assert len(way.receiver.arrivals) - 2000 == pytest.approx(400, abs=4 * math.sqrt(2000 * 0.2 * 0.8))


def test_jitter_spreads_the_delay_as_asked_and_never_reorders(network: Network, way: Way) -> None:
    reshape(network, Shape(None, delay_ms=20, jitter_ms=3, queue_frames=5000))
    spaced = way.delays_ms(400, 100, gap_s=0.02)
    first, median, third = statistics.quantiles(spaced)
    assert median == pytest.approx(20, abs=1)
    assert third - first == pytest.approx(2 * 0.6745 * 3, rel=0.2)  # a normal distribution's quartiles
    way.receiver.arrivals.clear()
    way.burst(1000, payload_bytes=100, gap_s=0.0005)
    settle(lambda: len(way.receiver.arrivals))
    numbers = [arrival.number for arrival in way.receiver.arrivals]
    assert len(numbers) == 1000
    assert numbers == sorted(numbers)


def test_frames_are_reordered_on_request(network: Network, way: Way) -> None:
    reshape(network, Shape(None, delay_ms=10, reorder=0.25))
    way.burst(1000, payload_bytes=100, gap_s=0.001)
    settle(lambda: len(way.receiver.arrivals))
    numbers = [arrival.number for arrival in way.receiver.arrivals]
    assert len(numbers) == 1000
    early = sum(number > later for number, later in itertools.pairwise(numbers))
    assert early > 50


def test_values_that_go_back_to_0_do(network: Network, way: Way) -> None:
    everything = Shape(
        10**6, delay_ms=30, jitter_ms=5, loss=0.3, duplicate=0.3, reorder=0.2, queue_frames=500
    )
    reshape(network, everything)
    way.burst(50, payload_bytes=100)
    settle(lambda: len(way.receiver.arrivals))
    way.receiver.arrivals.clear()
    reshape(network, Shape(None))
    before = counted(network)
    delays = way.delays_ms(500, FULL_PAYLOAD, gap_s=0.002)
    assert since(network, before) == (500, 0, 0)
    assert [arrival.number for arrival in way.receiver.arrivals] == list(range(500))
    assert lower_quartile(delays) < 1


def test_reshaping_keeps_what_is_in_flight_and_what_was_counted(network: Network, way: Way) -> None:
    reshape(network, Shape(10**7, delay_ms=400, queue_frames=10))
    before = counted(network)
    way.burst(12)
    assert network.link(LINK).held_frames() >= 10
    reshape(network, Shape(10**7, delay_ms=10, queue_frames=100))
    settle(lambda: len(way.receiver.arrivals), quiet_s=1.0)
    sent, dropped, _ = since(network, before)
    assert sent == len(way.receiver.arrivals)
    assert sent + dropped == 12
    assert dropped > 0
    assert network.link(LINK).held_frames() == 0


def test_each_direction_has_its_own_shape() -> None:
    topology = tree(devices=1, up=Shape(10**6, delay_ms=5), down=Shape(None, delay_ms=40))
    with up(topology) as network:
        for sender, receiver, expected in (
            ("device1", "edge1", 5 + serialisation_ms(FULL_PAYLOAD, 10**6)),
            ("edge1", "device1", 40.0),
        ):
            with path(network, sender, receiver) as way:
                assert lower_quartile(way.delays_ms(10, FULL_PAYLOAD, gap_s=0.05)) == pytest.approx(
                    expected, abs=1
                )
