"""With Open vSwitch as the sites' switch, forwarding and shape are what they are with a Linux bridge."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from testbed.netns import HERE, run_in
from testbed.network import Network
from testbed.topology import Shape
from tests.network.lab import frames, lower_quartile, path, raw_frame, settle, tree, up

pytestmark = [pytest.mark.netem, pytest.mark.usefixtures("open_vswitch")]
BROADCAST, UNKNOWN = "ff:ff:ff:ff:ff:ff", "02:99:99:99:99:99"


@pytest.fixture
def network(open_vswitch: None) -> Iterator[Network]:
    with up(tree(devices=2, up=Shape(None, delay_ms=10)), "ovs") as network:
        yield network


def test_frames_go_to_the_neighbour_they_are_for_and_nowhere_else(network: Network) -> None:
    for destination in (BROADCAST, UNKNOWN, network.net["device2"].MAC(), network.net["cloud1"].MAC()):
        raw_frame(network, "device1", destination, network.net["device1"].MAC(), b"to whom it may concern")
    for host in ("edge1", "cloud1"):
        raw_frame(network, host, BROADCAST, network.net[host].MAC(), b"to all")
    time.sleep(0.3)
    assert not any(any(counts) for counts in frames(network).values())
    with path(network, "edge1", "device2") as way:
        way.burst(20)
        settle(lambda: len(way.receiver.arrivals))
        assert len(way.receiver.arrivals) == 20
    assert {link for link, counts in frames(network).items() if any(counts)} == {"device2-edge1"}


def test_what_the_daemon_does_to_its_ports_leaves_the_delay_alone(network: Network) -> None:
    port = network.net["s_device1"].site_ports[0].interface
    run_in(HERE, ["ovs-vsctl", "--timeout=30", "set", "interface", port, "ingress_policing_rate=1000000"])
    run_in(HERE, ["ovs-vsctl", "--timeout=30", "set", "interface", port, "ingress_policing_rate=0"])
    with path(network, "edge1", "device1") as way:
        assert lower_quartile(way.delays_ms(10, 100, gap_s=0.05)) == pytest.approx(10, abs=1)


def test_an_idle_network_carries_no_frame(network: Network) -> None:
    time.sleep(5)
    assert not any(any(counts) for counts in frames(network).values())
