"""A rate is kept, a full queue drops, and what it drops is counted; and what every network can do."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from mininet.cli import CLI

from testbed.network.network import Network
from testbed.scenario.topology import Node, Shape, Topology, node_ip, node_mac
from tests.network.lab import FULL_PAYLOAD, HEADER_BYTES, flood, measured_bps, path, run_id, settle, tree, up

pytestmark = pytest.mark.root
LINK = "device1-edge1"


@pytest.mark.parametrize("rate_bps", [10**6, 20 * 10**6])
def test_a_rate_is_kept_within_1_percent(rate_bps: int) -> None:
    a_second = rate_bps // 8 // (FULL_PAYLOAD + HEADER_BYTES)
    with up(tree(devices=1, up=Shape(rate_bps, queue_frames=a_second))) as network:
        with flood(network, "device1", "edge1", 1 / a_second / 2):
            measured = measured_bps(network.link(LINK))
        assert measured == pytest.approx(rate_bps, rel=0.01)


def test_a_full_queue_drops_and_what_it_drops_is_counted_and_never_on_the_wire() -> None:
    with up(tree(devices=1, up=Shape(200_000, queue_frames=10))) as network:
        with path(network, "device1", "edge1") as way:
            way.burst(30)
            settle(lambda: len(way.receiver.arrivals), quiet_s=1.0)
            arrived = len(way.receiver.arrivals)
        link = network.link(LINK)
        assert 10 <= arrived <= 12  # some leave while the burst is sent
        assert link.counters()["up"].frames == arrived
        assert link.counts()["up"].refused_frames == 30 - arrived
        assert link.read()["up"].dropped_frames == link.counts()["up"].dropped_frames == 0


def test_drops_are_not_forgotten_when_a_rate_comes_and_goes() -> None:
    with up(tree(devices=1, up=Shape(200_000, queue_frames=2))) as network:
        link = network.link(LINK)
        with path(network, "device1", "edge1") as way:
            way.burst(20)
            settle(lambda: len(way.receiver.arrivals))
            dropped = link.counts()["up"].refused_frames
            assert dropped > 0
            link.reshape(Shape(None), Shape(None))
            way.burst(20)
            settle(lambda: len(way.receiver.arrivals))
        assert link.counts()["up"].refused_frames == dropped
        assert link.counters()["up"].frames == 40 - dropped


def test_a_single_tier_needs_no_link() -> None:
    alone = Node("cloud1", "cloud", 0, 1, node_ip(1), node_mac(1), None)
    with Network(Topology((alone,), ()), run_id(), hosts="namespace") as network:
        assert network.links == []
        assert network.net["cloud1"].IP() in network.net["cloud1"].cmd("ip address")


def test_mininets_command_line_works_on_it(tmp_path: Path) -> None:
    script, shown = tmp_path / "script", tmp_path / "shown"
    script.write_text(f"device1 ip -brief address > {shown}\ns_edge1 bridge fdb show >> {shown}\n")
    with up(tree(devices=1)) as network, open(os.devnull) as nothing:
        CLI(network.net, stdin=nothing, script=str(script))
        assert network.net["device1"].IP() in shown.read_text()
        assert network.net["cloud1"].MAC() in shown.read_text()
