"""Links that change, die, follow a file and carry others' traffic, with bare namespaces as hosts."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter

from testbed.capture import Capture
from testbed.connections import wait_until_closed
from testbed.counters import Counters
from testbed.cut import CuttableLink
from testbed.errors import TestbedError
from testbed.event_schema import Event
from testbed.events import Stage
from testbed.evidence import EventReport
from testbed.flow import flow_ports
from testbed.measure import Effort
from testbed.netns import run_in
from testbed.network import Network
from testbed.run import measure_links
from testbed.topology import DIRECTIONS, Direction, Shape
from testbed.traffic_control import TrafficControl
from testbed.wire import LinkEnds, account
from tests.network.lab import path, settle, tree, up

pytestmark = pytest.mark.root
LINK = "device1-edge1"
RATE = Shape(20 * 10**6)


def events_of(*entries: dict[str, Any]) -> tuple[Any, ...]:
    checked: tuple[Any, ...] = TypeAdapter(tuple[Event, ...]).validate_python(entries)
    return checked


def played(network: Network, *entries: dict[str, Any], replay_s: float) -> list[EventReport]:
    """The reports of events beside a replay of that length in which nobody asks anything."""
    stage = Stage(events_of(*entries), network, [])
    stage.set()
    with stage.player("nobody", {}) as player:
        player.start(time.monotonic())
        time.sleep(replay_s)
    stage.clear()
    return player.reports


def test_while_a_link_is_down_frames_cross_the_wire_and_none_arrives() -> None:
    with up(tree(devices=1, up=RATE)) as network, path(network, "device1", "edge1") as way:
        link = network.link(LINK)
        dead = CuttableLink(link)
        dead.cut()
        way.burst(20)
        settle(lambda: link.counters()["up"].frames)
        assert way.receiver.arrivals == []
        assert link.counters()["up"].frames == 20
        assert dead.lost_frames() == {"up": 20, "down": 0}
        assert link.drops()["up"].lost_frames == 0
        dead.mend()
        way.burst(10)
        settle(lambda: len(way.receiver.arrivals))
        assert [arrival.number for arrival in way.receiver.arrivals] == list(range(10))
        assert dead.lost_frames() == {"up": 20, "down": 0}
        dead.cut()
        with path(network, "edge1", "device1") as back:
            back.burst(5)
            settle(lambda: link.counters()["down"].frames)
            assert back.receiver.arrivals == []
        assert dead.lost_frames() == {"up": 20, "down": 5}


def test_a_rate_that_rises_is_felt_by_frames_that_wait() -> None:
    slow, fast = Shape(200_000, queue_frames=200), Shape(100 * 10**6, queue_frames=200)
    with up(tree(devices=1, up=slow)) as network, path(network, "device1", "edge1") as way:
        link = network.link(LINK)
        link.pace(["up"])
        start = time.monotonic()
        way.burst(100)  # 6 s at the slow rate
        link.reshape(fast, slow)
        while len(way.receiver.arrivals) < 100 and time.monotonic() - start < 5:
            time.sleep(0.02)
        assert len(way.receiver.arrivals) == 100
        assert link.drops()["up"].queue_dropped_frames == 0


def test_a_paced_queue_of_q_frames_drops_the_rest_and_its_count_outlasts_the_pacing() -> None:
    with up(tree(devices=1, up=Shape(200_000, queue_frames=10))) as network:
        link = network.link(LINK)
        link.pace(["up", "down"])
        with path(network, "device1", "edge1") as way:
            way.burst(30)
            settle(lambda: len(way.receiver.arrivals), quiet_s=1.0)
            arrived = len(way.receiver.arrivals)
        assert 10 <= arrived <= 12
        link.pace([])
        assert link.drops()["up"].queue_dropped_frames == 30 - arrived


def test_a_link_is_measured_with_the_mechanism_with_which_it_replays() -> None:
    change = {"at_s": 1.0, "link": LINK, "figures": {"rate_bps": 10**6}, "direction": "up"}
    with up(tree(devices=1, up=RATE)) as network:
        link, stage = network.link(LINK), Stage(events_of(change), network, [])
        assert stage.settings()["paced"] == {LINK: ["up"]}

        def mechanisms() -> list[str]:
            shown = (run_in(link.netns_path, ["tc", "qdisc", "show", "dev", one]) for one in ends)
            return [text.split()[1] for text in shown]

        ends = [link.wires["down"], link.wires["up"]]  # each sends what arrives at the other
        still, seen = mechanisms(), list[list[str]]()
        measure_links(network, stage, Effort(rate_seconds=0.2), lambda _: seen.append(mechanisms()))
        assert seen
        assert all(one == ["htb", still[1]] for one in seen)
        assert mechanisms() == still
        assert "htb" not in still


def test_a_tc_that_stays_says_which_line_was_refused_and_goes_on() -> None:
    with up(tree(devices=1, up=RATE)) as network:
        link = network.link(LINK)
        tc, wire = TrafficControl(link.netns_path), link.capture_interface
        with pytest.raises(TestbedError, match=r"tc refused 'qdisc add dev none root pfifo': .*none"):
            tc([f"qdisc replace dev {wire} root handle 7: pfifo limit 7", "qdisc add dev none root pfifo"])
        tc([f"qdisc replace dev {wire} root handle 7: pfifo limit 8"])
        assert "limit 8p" in run_in(link.netns_path, ["tc", "qdisc", "show", "dev", wire])
        tc.close()


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
        assert reports[2].steps is not None
        assert reports[2].steps + (reports[2].steps_skipped or 0) == 6  # bins of 0.1 s
        assert (reports[1].lost_frames, reports[3].lost_frames) == (0, 0)
        assert link.shapes == {"up": RATE, "down": RATE}
        with path(network, "edge1", "cloud1") as way:
            way.burst(5)
            settle(lambda: len(way.receiver.arrivals))
            assert len(way.receiver.arrivals) == 5
        assert other.drops()["up"].queue_dropped_frames == 0


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
        report = tap.stop(sum(one.frames for one in crossed.values()))
        assert report.faults == ()
    topology = network.topology
    ends = LinkEnds(topology.node("device1").mac, topology.node("edge1").mac, flow_ports=flow_ports(events))
    found["account"], found["crossed"] = account(pcap, ends), crossed


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
