"""A WAN link: bottleneck, wire and way do what the scenario says, and only that."""

from __future__ import annotations

import itertools
import statistics
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from testbed.network.kernel.netns import run_in
from testbed.network.link_process.fates import Fates, Way, WayFigures
from testbed.network.live_link import LiveLink
from testbed.network.network import Network
from testbed.scenario.topology import Bursts, Shape
from tests.network import lab
from tests.network.lab import (
    FULL_PAYLOAD,
    HEADER_BYTES,
    flood,
    in_flight,
    lower_quartile,
    measured_bps,
    path,
    settle,
    tree,
    up,
)

pytestmark = pytest.mark.root
LINK = "device1-edge1"


@pytest.fixture(scope="module")
def network() -> Iterator[Network]:
    with up(tree(devices=1)) as network:
        yield network


@pytest.fixture
def way(network: Network) -> Iterator[lab.Way]:
    with path(network, "device1", "edge1") as way:
        yield way
    network.link(LINK).reshape(Shape(None), Shape(None))


@pytest.fixture(autouse=True)
def drained(network: Network) -> Iterator[None]:
    """What one test left in the queue is not the next one's; and all that came in has a whereabouts."""
    yield
    settle(lambda: in_flight(network.link(LINK)))
    for reading in network.link(LINK).read().values():
        counts = reading.process
        assert counts.waiting_frames == counts.held_frames == counts.dropped_frames == 0
        assert reading.dropped_frames == 0
        assert reading.port_in.frames == counts.refused_frames + counts.crossed_frames
        assert reading.port_out.frames == counts.handed_on_frames
        assert (reading.wire.frames, reading.wire.bytes) == (counts.crossed_frames, counts.crossed_bytes)


def serialisation_ms(payload_bytes: int, rate_bps: int) -> float:
    return (HEADER_BYTES + payload_bytes) * 8 / rate_bps * 1000


def reshape(network: Network, up: Shape) -> None:
    network.link(LINK).reshape(up, Shape(None))


def counted(network: Network) -> tuple[int, int, int]:
    """Frames on the wire, refused before it, lost after it; upwards."""
    link = network.link(LINK)
    counts = link.counts()["up"]
    return link.counters()["up"].frames, counts.refused_frames, counts.lost_frames


def since(network: Network, before: tuple[int, int, int]) -> tuple[int, int, int]:
    sent, dropped, lost = (now - then for now, then in zip(counted(network), before, strict=True))
    return sent, dropped, lost


@pytest.mark.parametrize("delay_ms", [0.0, 20.0])
@pytest.mark.parametrize("payload_bytes", [FULL_PAYLOAD, 758])
def test_a_lone_frame_takes_its_serialisation_more_than_the_delay(
    network: Network, way: lab.Way, delay_ms: float, payload_bytes: int
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
def test_a_queue_of_q_frames_drops_at_q(network: Network, way: lab.Way, queue_frames: int) -> None:
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
    with flood(network, "device1", "edge1", frame_s / 2):
        assert measured_bps(network.link(LINK)) == pytest.approx(rate_bps, rel=0.01)


def test_a_queue_counts_nothing_that_is_in_flight(network: Network, way: lab.Way) -> None:
    rate_bps = 5 * 10**6
    reshape(network, Shape(rate_bps, delay_ms=1000, queue_frames=100))  # 413 frames fit into the delay
    before = counted(network)
    way.burst(700, gap_s=serialisation_ms(FULL_PAYLOAD, rate_bps) / 1000 / 0.9)
    settle(lambda: len(way.receiver.arrivals), quiet_s=1.2)
    assert since(network, before) == (700, 0, 0)
    assert len(way.receiver.arrivals) == 700


@pytest.mark.parametrize(
    "shape",
    [
        Shape(None, delay_ms=5, loss=0.01, queue_frames=5000),
        Shape(None, delay_ms=5, loss=0.5, queue_frames=5000),
        Shape(None, delay_ms=5, loss=1 / 31, bursts=Bursts(0.01, 0.3), queue_frames=5000),
        Shape(None, delay_ms=5, duplicate=0.2, queue_frames=5000),
        Shape(None, delay_ms=5, loss=0.05, duplicate=0.1, queue_frames=5000),
    ],
    ids=["rare loss", "heavy loss", "bursts", "duplicates", "both"],
)
def test_what_is_lost_and_doubled_is_what_the_seed_says_and_was_on_the_wire_once(
    network: Network, way: lab.Way, shape: Shape
) -> None:
    frames, seed, before = 2000, 11, counted(network)
    doubled = network.link(LINK).counts()["up"].duplicated_frames
    reshape(network, shape)
    network.link_process.begin(seed, "this-test")
    way.burst(frames, payload_bytes=100)
    settle(lambda: len(way.receiver.arrivals))
    bursts = (
        None
        if shape.bursts is None
        else (shape.bursts.p, shape.bursts.r, shape.bursts.bad, shape.bursts.good)
    )
    figures = WayFigures(loss=shape.loss, duplicate=shape.duplicate, bursts=bursts)
    on_paper = Way(figures, Fates(seed, "this-test", LINK, "up"))
    expected = {number: len(on_paper.enter(0)) for number in range(frames)}
    arrived = Counter(arrival.number for arrival in way.receiver.arrivals)
    assert {number: arrived[number] for number in range(frames)} == expected
    assert set(expected.values()) > {1}
    assert since(network, before) == (frames, 0, on_paper.lost_frames)
    assert network.link(LINK).counts()["up"].duplicated_frames - doubled == on_paper.duplicated_frames


def test_the_same_seed_and_method_lose_the_same_frames_again_and_another_method_others(
    network: Network, way: lab.Way
) -> None:
    reshape(network, Shape(None, loss=0.05, queue_frames=5000))
    seen = []
    for method in ("one", "one", "other"):
        network.link_process.begin(3, method)
        way.receiver.arrivals.clear()
        way.burst(500, payload_bytes=100)
        settle(lambda: len(way.receiver.arrivals))
        seen.append([arrival.number for arrival in way.receiver.arrivals])
    assert seen[0] == seen[1] != seen[2]


def test_delays_follow_a_file_frame_by_frame(network: Network, way: lab.Way, tmp_path: Path) -> None:
    file = tmp_path / "some.delays"
    file.write_text("10\n30.5\n2\n")
    reshape(network, Shape(None, delay_ms=10, delay_file=str(file)))
    network.link_process.begin(1, "file")
    sent = way.burst(30, payload_bytes=100, gap_s=0.06)
    settle(lambda: len(way.receiver.arrivals))
    delays = {came.number: (came.at_ns - sent[came.number]) / 1e6 for came in way.receiver.arrivals}
    for place, delay_ms in enumerate((10, 30.5, 2)):
        assert lower_quartile([delays[number] for number in range(place, 30, 3)]) == pytest.approx(
            delay_ms, abs=1
        )


def test_jitter_spreads_the_delay_as_asked_and_never_reorders(network: Network, way: lab.Way) -> None:
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


def test_frames_are_reordered_on_request(network: Network, way: lab.Way) -> None:
    reshape(network, Shape(None, delay_ms=10, reorder=0.25))
    way.burst(1000, payload_bytes=100, gap_s=0.001)
    settle(lambda: len(way.receiver.arrivals))
    numbers = [arrival.number for arrival in way.receiver.arrivals]
    assert len(numbers) == 1000
    early = sum(number > later for number, later in itertools.pairwise(numbers))
    assert early > 50


def test_values_that_go_back_to_0_do(network: Network, way: lab.Way) -> None:
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


def test_reshaping_keeps_what_is_in_flight_and_what_was_counted(network: Network, way: lab.Way) -> None:
    reshape(network, Shape(10**7, delay_ms=400, queue_frames=10))
    before = counted(network)
    way.burst(12)
    settle(lambda: counted(network), quiet_s=0.1)
    assert in_flight(network.link(LINK)) >= 10
    reshape(network, Shape(10**7, delay_ms=10, queue_frames=100))
    settle(lambda: len(way.receiver.arrivals), quiet_s=1.0)
    sent, dropped, _ = since(network, before)
    assert sent == len(way.receiver.arrivals)
    assert sent + dropped == 12
    assert dropped > 0
    assert in_flight(network.link(LINK)) == 0


def test_frames_that_wait_feel_a_new_rate_and_a_new_delay_at_once(network: Network, way: lab.Way) -> None:
    slow = Shape(10**6, delay_ms=20, queue_frames=400)
    network.link(LINK).reshape(slow, slow)
    link, start = LiveLink(network.link(LINK)), time.monotonic()
    way.burst(300)  # 3.6 s at the slow rate
    time.sleep(0.2)
    link.change(["up"], {"rate_bps": 50 * 10**6, "delay_ms": 5.0})
    while len(way.receiver.arrivals) < 300 and time.monotonic() - start < 3:
        time.sleep(0.02)
    assert [arrival.number for arrival in way.receiver.arrivals] == list(range(300))
    assert network.link(LINK).shapes["up"].rate_bps == 50 * 10**6


def test_a_burst_leaves_at_the_rate_and_in_order(network: Network, way: lab.Way) -> None:
    reshape(network, Shape(10**6, delay_ms=20))
    sent = way.burst(50)
    settle(lambda: len(way.receiver.arrivals))
    arrivals = way.receiver.arrivals
    assert [arrival.number for arrival in arrivals] == list(range(50))
    took_ms = (arrivals[-1].at_ns - sent[0]) / 1e6
    assert took_ms == pytest.approx(20 + 50 * serialisation_ms(FULL_PAYLOAD, 10**6), rel=0.01)


def test_a_link_that_is_cut_loses_behind_the_wire_apart_from_what_the_way_loses(
    network: Network, way: lab.Way
) -> None:
    reshape(network, Shape(None, delay_ms=20, loss=0.5))
    link, before = network.link(LINK), network.link(LINK).counts()["up"]
    link.cut()
    way.burst(100)
    settle(lambda: link.counters()["up"].frames)
    assert way.receiver.arrivals == []
    counts = link.counts()["up"]
    assert (counts.lost_frames - before.lost_frames, counts.cut_frames - before.cut_frames) == (0, 100)
    assert counts.crossed_frames - before.crossed_frames == 100
    link.mend()
    way.burst(100)
    settle(lambda: len(way.receiver.arrivals))
    lost = link.counts()["up"].lost_frames - before.lost_frames
    assert len(way.receiver.arrivals) + lost == 100
    assert lost > 0
    assert link.counts()["up"].cut_frames == counts.cut_frames


def test_what_is_on_its_way_when_a_link_is_cut_arrives(network: Network, way: lab.Way) -> None:
    reshape(network, Shape(None, delay_ms=300))
    link, before = network.link(LINK), network.link(LINK).counts()["up"].cut_frames
    way.burst(10)
    settle(lambda: link.counts()["up"].crossed_frames, quiet_s=0.05)
    link.cut()
    settle(lambda: len(way.receiver.arrivals))
    link.mend()
    assert len(way.receiver.arrivals) == 10
    assert link.counts()["up"].cut_frames == before


def test_each_direction_has_its_own_shape() -> None:
    topology = tree(devices=1, up=Shape(10**6, delay_ms=5), down=Shape(None, delay_ms=40))
    with up(topology) as network:
        for sender, receiver, expected in (
            ("device1", "edge1", 5 + serialisation_ms(FULL_PAYLOAD, 10**6)),
            ("edge1", "device1", 40.0),
        ):
            with path(network, sender, receiver) as one:
                assert lower_quartile(one.delays_ms(10, FULL_PAYLOAD, gap_s=0.05)) == pytest.approx(
                    expected, abs=1
                )
