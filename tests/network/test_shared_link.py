"""One link for all children of a parent: its rate is there once, and its account is the kernel's."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from testbed.network.kernel.netns import run_in
from testbed.network.network import Network
from testbed.scenario.topology import Direction, Shape, Topology
from testbed.wire.account import account, link_ends
from testbed.wire.capture import Capture
from tests.network.lab import (
    FULL_PAYLOAD,
    connected,
    flood,
    frames,
    in_flight,
    laid_out,
    lower_quartile,
    measured_bps,
    path,
    raw_frame,
    settle,
    up,
)
from tests.wire.crafted import answer, assert_exact, request
from tests.wire.veth import quiet, transfer

RATE_BPS = 4_000_000
GAP_S = (FULL_PAYLOAD + 42) * 8 / RATE_BPS / 1.5
"""Between full frames at one and a half times the rate: short of neither, nor busy with it."""
SHARED = "access-edge1"


def topology(**access: Any) -> Topology:
    """Three devices on one access link to edge1, one alone on that to edge2, and a cloud."""
    return laid_out(
        [
            {"name": "device", "parents": [1, 1, 2, 1]},
            {"name": "edge", "nodes": 2},
            {"name": "cloud"},
        ],
        [
            {"name": "access", "between": ["device", "edge"], "shared": True, "rate": "4mbit", **access},
            {"name": "core", "between": ["edge", "cloud"]},
        ],
    )


@pytest.fixture
def network() -> Iterator[Network]:
    with up(topology()) as network:
        yield network


def share_of_rate(network: Network, direction: Direction, *children: str) -> float:
    """Rate of frames on the shared wire while edge1 and these devices send more than it carries, over that
    which it has."""
    with ExitStack() as stack:
        for child in children:
            ends = (child, "edge1") if direction == "up" else ("edge1", child)
            stack.enter_context(flood(network, *ends, GAP_S))
        measured = measured_bps(network.link(SHARED), direction, seconds=1.0)
    settle(lambda: in_flight(network.link(SHARED)))
    settle(lambda: frames(network))
    return measured / RATE_BPS


def test_a_shared_link_is_one_link_with_all_its_children() -> None:
    links = topology().links
    assert [(link.name, link.children, link.number) for link in links] == [
        ("access-edge1", ("device1", "device2", "device4"), 1),
        ("access-edge2", ("device3",), 3),
        ("edge1-cloud1", ("edge1",), 5),
        ("edge2-cloud1", ("edge2",), 6),
    ]
    assert topology().link_up("device4") == links[0]
    assert topology().link_up("device3") == links[1]


@pytest.mark.root
@pytest.mark.parametrize("direction", ["up", "down"])
def test_siblings_together_get_the_rate_once_and_each_alone_gets_it_all(
    network: Network, direction: Direction
) -> None:
    for children in (["device1"], ["device2"], ["device1", "device2", "device4"]):
        assert share_of_rate(network, direction, *children) == pytest.approx(1, rel=0.02), children
    crossed = {name for name, counts in frames(network).items() if any(counts)}
    assert crossed == {SHARED}


@pytest.mark.root
def test_what_one_sibling_sends_or_gets_shows_on_its_shared_link_alone(network: Network) -> None:
    for number, child in enumerate(("device1", "device2", "device4"), 1):
        with path(network, child, "edge1") as way:
            way.burst(5)
            settle(lambda: len(way.receiver.arrivals))
            assert len(way.receiver.arrivals) == 5
        with path(network, "edge1", child) as way:
            way.burst(5)
            settle(lambda: len(way.receiver.arrivals))
            assert len(way.receiver.arrivals) == 5
        assert frames(network) == {
            SHARED: (5 * number, 5 * number),
            "access-edge2": (0, 0),
            "edge1-cloud1": (0, 0),
            "edge2-cloud1": (0, 0),
        }


@pytest.mark.root
def test_probes_find_names_of_their_own_beside_a_shared_link_above_others() -> None:
    tiers: list[dict[str, Any]] = [
        {"name": "device", "nodes": 4},
        {"name": "edge", "nodes": 2},
        {"name": "cloud"},
    ]
    links: list[dict[str, Any]] = [
        {"name": "access", "between": ["device", "edge"]},
        {"name": "core", "between": ["edge", "cloud"], "shared": True},
    ]
    with up(laid_out(tiers, links)) as network:
        probes = [network.add_probe(Shape(None)) for _ in range(2)]
        for probe in probes:
            run_in(probe.near.netns_path, ["ping", "-c", "1", "-W", "5", probe.far.ip])
        with path(network, "edge2", "cloud1") as way:
            way.burst(5)
            settle(lambda: len(way.receiver.arrivals))
            assert len(way.receiver.arrivals) == 5


def misdirected(network: Network) -> dict[str, tuple[int, int]]:
    """Frames that cross links though they are for a sibling, another parent, everyone or no one."""
    strangers = [network.net[name].MAC() for name in ("device2", "device3", "edge2", "cloud1")]
    for destination in (*strangers, "ff:ff:ff:ff:ff:ff", "01:80:c2:00:00:00", "02:99:99:99:99:99"):
        raw_frame(network, "device1", destination, network.net["device1"].MAC(), b"to whom it may concern")
    raw_frame(network, "edge1", "ff:ff:ff:ff:ff:ff", network.net["edge1"].MAC(), b"to all")
    time.sleep(0.3)
    return {name: counts for name, counts in frames(network).items() if any(counts)}


@pytest.mark.root
def test_siblings_do_not_reach_one_another_nor_anybody_past_their_parent(network: Network) -> None:
    assert misdirected(network) == {}


@pytest.mark.root
def test_bytes_of_several_children_add_up_to_the_kernels_counters(network: Network, tmp_path: Path) -> None:
    link, pcap = network.link(SHARED), tmp_path / "shared.pcap"
    children = ["device1", "device2", "device4"]
    with Capture(link.capture_interface, link.netns_path, pcap, RATE_BPS) as capture, ExitStack() as stack:
        sockets = [stack.enter_context(connected(network, child, "edge1")) for child in children]
        for number, (client, server) in enumerate(sockets):
            transfer(client, server, request("p" * 3000 * (number + 1), f"q{number}").wire)
            transfer(server, client, answer("a" * 2000 * (number + 1), f"q{number}").wire)
        stack.close()
        quiet(lambda: link.counters())
        counters = link.counters()
        report = capture.stop(counters["up"].frames + counters["down"].frames)
    assert report.faults == ()
    found = account(pcap, link_ends(network.topology, link.spec))
    assert_exact(found)
    assert not found.doubts
    for parts, direction in ((found.up, "up"), (found.down, "down")):
        counted = counters["up"] if direction == "up" else counters["down"]
        assert (parts.frames, parts.frame_bytes) == (counted.frames, counted.bytes)
        assert parts.accounted_bytes == counted.bytes
    assert (found.up.prompt_bytes, found.up.answer_bytes) == (18_000, 0)
    assert (found.down.prompt_bytes, found.down.answer_bytes) == (0, 12_000)
    asked = {name: (one.prompt_bytes, one.answer_bytes) for name, one in found.requests.items()}
    assert asked == {"q0": (3000, 2000), "q1": (6000, 4000), "q2": (9000, 6000)}


@pytest.mark.root
def test_delay_and_isolation_hold_for_each_child() -> None:
    with up(topology(up={"delay": "20ms"}, down={"delay": "5ms"})) as network:
        assert misdirected(network) == {}
        serialised_ms = 142 * 8e3 / RATE_BPS
        for child in ("device1", "device4"):
            for ends, delay_ms in (((child, "edge1"), 20), (("edge1", child), 5)):
                with path(network, *ends) as way:
                    delays = way.delays_ms(10, 100, gap_s=0.02)
                assert lower_quartile(delays) == pytest.approx(delay_ms + serialised_ms, abs=2)
