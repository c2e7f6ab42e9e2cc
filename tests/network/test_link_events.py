"""Links that change, die, follow a file and carry others' traffic, with bare namespaces as hosts."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter

from testbed.errors import TestbedError
from testbed.network.kernel.connections import wait_until_closed
from testbed.network.kernel.counters import Counters
from testbed.network.kernel.netns import socket_in
from testbed.network.network import Network
from testbed.orchestrator.events.flow import Flow
from testbed.orchestrator.events.player import EventPlayer
from testbed.orchestrator.events.stage import Stage
from testbed.results.columns import EventRow
from testbed.scenario.sections.events import AnyEvent, BackgroundFlow, flow_port, flow_ports
from testbed.scenario.topology import DIRECTIONS, Direction, Shape
from testbed.wire.account import LinkEnds, account
from testbed.wire.capture import Capture
from tests.network.lab import connected, path, settle, tree, up
from tests.wire import wireshark
from tests.wire.crafted import answer, request
from tests.wire.veth import transfer

pytestmark = pytest.mark.root
LINK = "device1-edge1"
RATE = Shape(20 * 10**6)


def events_of(*entries: dict[str, Any]) -> tuple[Any, ...]:
    checked: tuple[Any, ...] = TypeAdapter(tuple[AnyEvent, ...]).validate_python(entries)
    return checked


def played(network: Network, *entries: dict[str, Any], replay_s: float) -> list[EventRow]:
    """The reports of events beside a replay of that length in which nobody asks anything."""
    stage = Stage(events_of(*entries), network, [], {})
    with EventPlayer(stage, "nobody") as player:
        player.start(time.monotonic())
        time.sleep(replay_s)
    return player.reports


def test_while_a_link_is_down_frames_cross_the_wire_and_none_arrives() -> None:
    with up(tree(devices=1, up=RATE)) as network, path(network, "device1", "edge1") as way:
        link = network.link(LINK)

        def cut_frames() -> tuple[int, int]:
            counts = link.counts()
            return counts["up"].cut_frames, counts["down"].cut_frames

        link.cut()
        way.burst(20)
        settle(lambda: link.counters()["up"].frames)
        assert way.receiver.arrivals == []
        assert link.counters()["up"].frames == 20
        assert cut_frames() == (20, 0)
        assert link.counts()["up"].lost_frames == 0
        link.mend()
        way.burst(10)
        settle(lambda: len(way.receiver.arrivals))
        assert [arrival.number for arrival in way.receiver.arrivals] == list(range(10))
        assert cut_frames() == (20, 0)
        link.cut()
        with path(network, "edge1", "device1") as back:
            back.burst(5)
            settle(lambda: link.counters()["down"].frames)
            assert back.receiver.arrivals == []
        assert cut_frames() == (20, 5)


def test_a_rate_that_rises_is_felt_by_frames_that_wait() -> None:
    slow, fast = Shape(200_000, queue_frames=200), Shape(100 * 10**6, queue_frames=200)
    with up(tree(devices=1, up=slow)) as network, path(network, "device1", "edge1") as way:
        link = network.link(LINK)
        start = time.monotonic()
        way.burst(100)  # 6 s at the slow rate
        link.reshape(fast, slow)
        while len(way.receiver.arrivals) < 100 and time.monotonic() - start < 5:
            time.sleep(0.02)
        assert len(way.receiver.arrivals) == 100
        assert link.counts()["up"].refused_frames == 0


def test_a_file_is_followed_by_frames_that_wait_and_left_again() -> None:
    times_ms = [20, 20, 60, 100]
    slow = Shape(100_000, queue_frames=200)
    with up(tree(devices=1, up=slow)) as network, path(network, "device1", "edge1") as way:
        link = network.link(LINK)
        way.burst(60)  # one each 121 ms at the rate
        link.follow("up", times_ms)
        while len(way.receiver.arrivals) < 32:
            time.sleep(0.005)
        link.unfollow("up")
        numbers = [arrival.number for arrival in way.receiver.arrivals]
        assert numbers == list(range(len(numbers)))
        settle(lambda: len(way.receiver.arrivals), quiet_s=0.3)
        stamps_ms = [arrival.at_ns / 1e6 for arrival in way.receiver.arrivals]
    first = next(place for place in range(8) if stamps_ms[place + 1] - stamps_ms[place] < 5)  # two at 20 ms
    expected_ms = [turn * 100 + time_ms for turn in range(8) for time_ms in times_ms]
    seen_ms = [stamp - stamps_ms[first] for stamp in stamps_ms[first : first + 24]]
    errors_ms = sorted(abs(seen - told + 20) for seen, told in zip(seen_ms, expected_ms, strict=False))
    assert errors_ms[18] < 1.5  # but for those that had to wait for a CPU
    gaps_ms = [later - earlier for earlier, later in pairwise(stamps_ms[36:])]
    assert gaps_ms
    assert sorted(gaps_ms)[len(gaps_ms) // 2] == pytest.approx(121.12, abs=1)


def test_every_kind_takes_effect_at_its_time_and_is_put_back(tmp_path: Path) -> None:
    rates = tmp_path / "rates.mahi"
    rates.write_text("".join(f"{ms}\n" for ms in [*range(1, 101), *range(102, 201, 2)]))
    with up(tree(devices=1, up=RATE)) as network:
        link, other = network.link(LINK), network.link("edge1-cloud1")
        reports = played(
            network,
            {"at_s": 0.9, "link": LINK, "figures": {"rate_bps": 10**6}, "direction": "up"},
            {"at_s": 0.2, "link": "core", "down": True, "for_s": 0.3},
            {"at_s": 0.1, "link": "access", "rate_file": str(rates), "for_s": 0.6},
            {"at_s": 0.6, "link": "core", "down": True},
            {"at_s": 0.8, "link": "core", "up": True},
            {"at_s": 60.0, "link": "core", "down": True},
            replay_s=1.5,
        )
        assert [report.error for report in reports] == [None] * 6
        assert [report.skipped for report in reports] == [False] * 5 + [True]
        for report in reports[:5]:
            assert report.took_effect_at_s is not None
            assert report.took_effect_at_s >= report.at_s
            assert report.ended_at_s is not None
            assert report.ended_at_s >= report.at_s + (report.for_s or 0)
        ups = reports[4].took_effect_at_s
        assert reports[3].ended_at_s == pytest.approx(ups, abs=0.1)
        assert (reports[1].lost_frames, reports[3].lost_frames) == (0, 0)
        assert link.shapes == {"up": RATE, "down": RATE}
        with path(network, "edge1", "cloud1") as way:
            way.burst(5)
            settle(lambda: len(way.receiver.arrivals))
            assert len(way.receiver.arrivals) == 5
        assert other.counts()["up"].refused_frames == 0


@contextmanager
def accounted(network: Network, tmp_path: Path, events: tuple[Any, ...]) -> Iterator[dict[str, Any]]:
    """What the captures say of the link against what the kernel counted, of all that happens inside."""
    link, found = network.link(LINK), dict[str, Any]()
    pcap = tmp_path / "link.pcap"
    with ExitStack() as stack:
        tap = stack.enter_context(Capture(link.capture_interface, link.netns_path, pcap, 100_000_000))
        before = link.counters()
        yield found
        assert wait_until_closed([host.netns_path for host in network.hosts], 60, 60)
        settle(link.counters)
        after = link.counters()
        crossed: dict[Direction, Counters] = {
            one: Counters(after[one].frames - before[one].frames, after[one].bytes - before[one].bytes)
            for one in DIRECTIONS
        }
        report = tap.stop(sum(counters.frames for counters in crossed.values()))
        assert report.faults == ()
    topology = network.topology
    ends = LinkEnds(topology.node("device1").mac, topology.node("edge1").mac, flow_ports=flow_ports(events))
    found["account"], found["crossed"] = account(pcap, ends), crossed


UNKIND = Shape(
    20 * 10**6, delay_ms=10, jitter_ms=2, loss=0.05, duplicate=0.02, reorder=0.05, queue_frames=500
)


def test_capture_kernel_and_link_process_count_the_same_on_links_that_do_everything(tmp_path: Path) -> None:
    """Loss, second copies, reordering and jitter, over TCP both ways; and Wireshark's tools read the same."""
    asked, answered = request("R" * 300_000, "q0"), answer("S" * 300_000, "q0")
    with up(tree(devices=1, up=UNKIND)) as network:
        with accounted(network, tmp_path, ()) as found, connected(network, "device1", "edge1") as (near, far):
            transfer(near, far, asked.wire)
            transfer(far, near, answered.wire)
        readings = network.link(LINK).read()
    for direction in DIRECTIONS:
        parts, crossed, reading = (
            found["account"].parts(direction),
            found["crossed"][direction],
            readings[direction],
        )
        counts = reading.process
        assert (parts.frames, parts.frame_bytes) == (crossed.frames, crossed.bytes)
        assert (counts.crossed_frames, counts.crossed_bytes) == (crossed.frames, crossed.bytes)
        assert reading.port_in.frames == counts.refused_frames + counts.crossed_frames
        on = counts.crossed_frames - counts.lost_frames + counts.duplicated_frames
        assert reading.port_out.frames == counts.handed_on_frames == on
        assert min(counts.lost_frames, counts.duplicated_frames) > 0
        assert counts.dropped_frames == reading.dropped_frames == 0
    repeats = wireshark.check(tmp_path / "link.pcap", found["account"])
    assert repeats.ours > 0
    assert (found["account"].up.prompt_bytes, found["account"].down.answer_bytes) == (300_000, 300_000)


@pytest.mark.parametrize("protocol", ["tcp", "udp"])
def test_a_flow_s_every_frame_is_other_and_it_tells_what_it_did(tmp_path: Path, protocol: str) -> None:
    flow = {"source": "device1", "target": "edge1", "rate_bps": 4 * 10**6, "protocol": protocol}
    entry = {"at_s": 0.1, "flow": flow, "for_s": 1}
    with up(tree(devices=1, up=RATE)) as network, accounted(network, tmp_path, events_of(entry)) as found:
        (report,) = played(network, entry, replay_s=3.0)
    assert report.error is None
    assert report.flow_sent_bytes is not None
    assert report.flow_received_bytes is not None
    assert report.flow_sent_bytes >= report.flow_received_bytes > 300_000
    assert report.ended_at_s is not None
    assert report.ended_at_s == pytest.approx(1.1, abs=0.6)
    for direction in DIRECTIONS:
        parts, crossed = found["account"].parts(direction), found["crossed"][direction]
        assert (parts.accounted_frames, parts.accounted_bytes) == (crossed.frames, crossed.bytes)
        assert (parts.flow_frames, parts.flow_bytes) == (crossed.frames, crossed.bytes)
        assert parts.other_bytes == crossed.bytes
    assert found["account"].up.flow_bytes > report.flow_received_bytes
    assert found["account"].findings == ()


def test_a_flow_over_a_link_that_dies_is_accounted_to_the_byte(tmp_path: Path) -> None:
    flow = {"source": "edge1", "target": "device1", "rate_bps": 4 * 10**6, "protocol": "tcp"}
    entries: list[dict[str, Any]] = [
        {"at_s": 0.1, "flow": flow, "for_s": 2},
        {"at_s": 0.8, "link": LINK, "down": True, "for_s": 0.5},
    ]
    with up(tree(devices=1, up=RATE)) as network, accounted(network, tmp_path, events_of(*entries)) as found:
        reports = played(network, *entries, replay_s=4.0)
    assert [report.error for report in reports] == [None, None]
    assert (reports[1].lost_frames or 0) > 0
    for direction in DIRECTIONS:
        parts, crossed = found["account"].parts(direction), found["crossed"][direction]
        assert (parts.accounted_frames, parts.accounted_bytes) == (crossed.frames, crossed.bytes)


def test_a_flow_that_the_replay_cuts_short_is_ended_and_said() -> None:
    flow = {"source": "device1", "target": "edge1", "rate_bps": 10**6, "protocol": "udp"}
    with up(tree(devices=1, up=RATE)) as network:
        (report,) = played(network, {"at_s": 0.0, "flow": flow, "for_s": 60}, replay_s=1.5)
        assert report.error is not None
        assert "the replay ended before the flow did" in report.error
        assert report.ended_at_s is not None
        assert report.ended_at_s < 20


SLOW = Shape(20 * 10**6, delay_ms=200)
"""The two ends agree on a UDP flow like this, after its beginning: SYN 0 s, cookie 0.4 s, parameters 0.8 s,
the first datagram 1.2 s, its answer 1.4 s, and payload from 2 s on.
"""


def flow_of(protocol: str, for_s: int, at_s: float = 0.1) -> dict[str, Any]:
    ends = {"source": "device1", "target": "edge1", "rate_bps": 2 * 10**6, "protocol": protocol}
    return {"at_s": at_s, "flow": ends, "for_s": for_s}


def down(at_s: float, for_s: float | None = None) -> dict[str, Any]:
    return {"at_s": at_s, "link": LINK, "down": True, "for_s": for_s}


@pytest.mark.parametrize("lost_from_s", [1.2, 1.4])
def test_a_udp_flow_whose_first_datagram_or_its_answer_is_lost_is_begun_again(lost_from_s: float) -> None:
    entries = [flow_of("udp", 10), down(lost_from_s, 0.2)]
    with up(tree(devices=1, up=SLOW)) as network:
        report, lost = played(network, *entries, replay_s=14.0)
    assert (lost.lost_frames or 0) > 0
    assert report.error is None
    assert report.flow_attempts == 2
    assert report.flow_payload_at_s is not None
    assert 4 < report.flow_payload_at_s < 8
    assert report.ended_at_s is not None
    assert report.ended_at_s == pytest.approx(10.1, abs=2.5)
    assert report.flow_received_bytes is not None
    assert report.flow_received_bytes > 500_000


@pytest.mark.parametrize("protocol", ["tcp", "udp"])
def test_a_flow_whose_syn_is_lost_begins_when_the_link_is_back(protocol: str) -> None:
    with up(tree(devices=1, up=RATE)) as network:
        report, _ = played(network, flow_of(protocol, 4), down(0.0, 0.5), replay_s=6.0)
    assert report.error is None
    assert report.flow_payload_at_s is not None
    assert 0.9 < report.flow_payload_at_s < 2.5
    assert (report.flow_received_bytes or 0) > 250_000


def test_a_flow_whose_server_cannot_listen_is_said_before_a_replay_begins() -> None:
    with up(tree(devices=1, up=RATE)) as network:
        target = network.net["edge1"].endpoint
        with socket_in(target.netns_path) as taken:
            taken.bind((target.ip, flow_port(0)))
            taken.listen()
            with pytest.raises(TestbedError, match=rf"did not come to listen on {target.ip} port 20000"):
                played(network, flow_of("udp", 2), replay_s=0.1)


def test_a_flow_whose_client_has_ended_before_it_begins_is_an_error_and_can_be_ended() -> None:
    (event,) = events_of(flow_of("udp", 2))
    assert isinstance(event, BackgroundFlow)
    with up(tree(devices=1, up=RATE)) as network:
        source, target = (network.net[name].endpoint for name in ("device1", "edge1"))
        flow = Flow(event, flow_port(0), source, target)
        flow._attempt.kill()
        flow._attempt._client.wait()
        with pytest.raises(OSError, match="Broken pipe"):
            flow.begin()
        with pytest.raises(TestbedError, match="iperf3: nothing is known of the flow"):
            flow.end()
        flow.close()


@pytest.mark.parametrize("protocol", ["tcp", "udp"])
def test_a_flow_that_never_begins_says_so_and_why(protocol: str) -> None:
    with up(tree(devices=1, up=RATE)) as network:
        report, _ = played(network, flow_of(protocol, 2), down(0.0), replay_s=5.0)
    assert report.error is not None
    assert report.error == "iperf3: the flow never began, in 1 attempt: no connection"
    assert (report.flow_sent_bytes, report.flow_received_bytes, report.flow_payload_at_s) == (0, 0, None)


@pytest.mark.parametrize("protocol", ["tcp", "udp"])
def test_of_a_flow_that_dies_on_its_way_what_arrived_is_what_arrived(protocol: str) -> None:
    with up(tree(devices=1, up=RATE)) as network:
        report, dead = played(network, flow_of(protocol, 3), down(1.1), replay_s=6.0)
        arrived = network.link(LINK).counts()["up"].handed_on_frames * 1448
    sent, received = report.flow_sent_bytes or 0, report.flow_received_bytes or 0
    assert report.error is None
    assert 150_000 < received < min(arrived, 0.6 * sent if protocol == "udp" else sent)
    assert report.ended_at_s == pytest.approx(3.1, abs=0.7)
    if protocol == "udp":
        lost_share = (report.flow_lost_packets or 0) * 1448 / sent
        assert lost_share == pytest.approx(1 - received / sent, abs=0.02)
        assert (dead.lost_frames or 0) >= (report.flow_lost_packets or 0) > 100


@pytest.mark.parametrize("protocol", ["tcp", "udp"])
def test_a_flow_over_a_link_slower_than_iperf3_s_own_patience(protocol: str) -> None:
    with up(tree(devices=1, up=Shape(20 * 10**6, delay_ms=1600))) as network:
        (report,) = played(network, flow_of(protocol, 4), replay_s=32.0)
    assert report.error is None
    assert report.flow_attempts == 1
    # In 4 s TCP hears once that its first ten segments arrived, if at all.
    assert (report.flow_received_bytes or 0) > (10_000 if protocol == "tcp" else 300_000)
