"""Links with delay that change: a paced link is what netem makes of it, and feels each change at once."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from testbed.cut import CuttableLink
from testbed.live_link import LiveLink
from testbed.measure import paths_of
from testbed.measure.traffic import Burst, UdpPath
from testbed.network import Network
from testbed.shaping import paced_burst
from testbed.topology import FRAME_BYTES, Shape
from tests.network.lab import (
    FULL_PAYLOAD,
    HEADER_BYTES,
    flood,
    lower_quartile,
    measured_bps,
    path,
    settle,
    tree,
    up,
)

pytestmark = pytest.mark.netem
LINK = "device1-edge1"
SLOW = Shape(10**6, delay_ms=20, queue_frames=400)


@pytest.fixture(scope="module")
def network() -> Iterator[Network]:
    with up(tree(devices=1, up=SLOW)) as network:
        yield network


@pytest.fixture(autouse=True)
def as_it_was(network: Network) -> Iterator[None]:
    link = network.link(LINK)
    link.pace(["up"])
    yield
    settle(link.held_frames)
    link.reshape(SLOW, SLOW)
    link.pace([])


def serialisation_ms(payload_bytes: int, rate_bps: int) -> float:
    return (HEADER_BYTES + payload_bytes) * 8 / rate_bps * 1000


@pytest.mark.parametrize("payload_bytes", [FULL_PAYLOAD, 758])
def test_a_lone_frame_feels_the_rate_of_a_paced_link(network: Network, payload_bytes: int) -> None:
    with path(network, "device1", "edge1") as way:
        delays = way.delays_ms(20, payload_bytes, gap_s=0.06)
    assert len(delays) == 20
    assert lower_quartile(delays) == pytest.approx(20 + serialisation_ms(payload_bytes, 10**6), abs=1)


@pytest.mark.parametrize("rate_bps", [10**6, 20 * 10**6])
def test_the_rate_of_a_paced_link_is_within_1_percent(network: Network, rate_bps: int) -> None:
    link = network.link(LINK)
    second_frames = int(1000 / serialisation_ms(FULL_PAYLOAD, rate_bps))
    link.reshape(Shape(rate_bps, delay_ms=20, queue_frames=second_frames), SLOW)
    with flood(network, "device1", "edge1", serialisation_ms(FULL_PAYLOAD, rate_bps) / 2000):
        measured = measured_bps(link)
    assert measured == pytest.approx(rate_bps, rel=0.01)


def test_a_paced_queue_drops_after_its_length_and_the_burst_that_is_said(network: Network) -> None:
    link, rate_bps, queue_frames = network.link(LINK), 20 * 10**6, 50
    link.reshape(Shape(rate_bps, delay_ms=20, queue_frames=queue_frames), SLOW)
    said = paced_burst(link.shaper)
    burst_frames = max(said["burst_bytes"], rate_bps / 8000 * said["burst_ms"]) / FRAME_BYTES
    before = link.counters()["up"].frames, link.drops()["up"].queue_dropped_frames
    with UdpPath(*paths_of(network)[0].ends("up"), sink_buffer_bytes=1 << 20) as udp:
        start_s = time.monotonic()
        taken = Burst([bytes(FULL_PAYLOAD)] * 120).send(udp.sender)
        left_meanwhile = (time.monotonic() - start_s) * 1000 / serialisation_ms(FULL_PAYLOAD, rate_bps)
        settle(link.counters)
    crossed = link.counters()["up"].frames - before[0]
    assert queue_frames <= crossed <= queue_frames + burst_frames + left_meanwhile + 2
    assert crossed + link.drops()["up"].queue_dropped_frames - before[1] == taken == 120


def test_a_burst_leaves_a_paced_link_at_its_rate_and_in_order(network: Network) -> None:
    with path(network, "device1", "edge1") as way:
        sent = way.burst(50)
        settle(lambda: len(way.receiver.arrivals))
        arrivals = way.receiver.arrivals
    assert [arrival.number for arrival in arrivals] == list(range(50))
    frame_ms = serialisation_ms(FULL_PAYLOAD, 10**6)
    took_ms = (arrivals[-1].at_ns - sent[0]) / 1e6
    assert took_ms == pytest.approx(20 + 50 * frame_ms, rel=0.03)


def test_frames_that_wait_feel_a_new_rate_and_a_new_delay_at_once(network: Network) -> None:
    link = LiveLink(network.link(LINK))
    with path(network, "device1", "edge1") as way:
        start = time.monotonic()
        way.burst(300)  # 3.6 s at the slow rate
        time.sleep(0.2)
        link.change(["up"], {"rate_bps": 50 * 10**6, "delay_ms": 5.0})
        while len(way.receiver.arrivals) < 300 and time.monotonic() - start < 3:
            time.sleep(0.02)
        assert len(way.receiver.arrivals) == 300
        assert link.link.shapes["down"] == SLOW
        link.put_back(["up"], ["rate_bps"])
        assert link.link.shapes["up"] == Shape(10**6, delay_ms=5, queue_frames=400)
        link.put_back(["up"], ["delay_ms"])
        assert link.link.shapes["up"] == SLOW


def test_a_dead_link_with_a_delay_loses_apart_from_what_the_way_loses(network: Network) -> None:
    link = network.link(LINK)
    dead = CuttableLink(link)
    link.reshape(Shape(None, delay_ms=20, loss=0.5), SLOW)
    before = link.drops()["up"].lost_frames
    with path(network, "device1", "edge1") as way:
        dead.cut()
        way.burst(100)
        settle(lambda: link.counters()["up"].frames)
        assert way.receiver.arrivals == []
        assert (link.drops()["up"].lost_frames - before, dead.lost_frames()["up"]) == (0, 100)
        dead.mend()
        way.burst(100)
        settle(lambda: len(way.receiver.arrivals))
        lost = link.drops()["up"].lost_frames - before
        assert len(way.receiver.arrivals) + lost == 100
        assert lost > 0
    assert dead.lost_frames()["up"] == 100
