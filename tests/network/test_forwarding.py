"""Who hears what whom sends: neighbours only, nothing learnt, nothing flooded, nothing unasked."""

from __future__ import annotations

import json
import socket
import subprocess
import time
from collections.abc import Iterator
from typing import Any

import pytest

from testbed.network.kernel.netns import run_in, socket_in
from testbed.network.network import Network
from testbed.scenario.topology import Shape
from tests.network.lab import frames, laid_out, path, raw_frame, settle, tree, up

pytestmark = pytest.mark.root
BROADCAST, MULTICAST, STP, UNKNOWN = (
    "ff:ff:ff:ff:ff:ff",
    "01:00:5e:00:00:fb",
    "01:80:c2:00:00:00",
    "02:99:99:99:99:99",
)


@pytest.fixture
def network() -> Iterator[Network]:
    with up(tree(devices=3)) as network:
        yield network


def heard(network: Network) -> dict[str, int]:
    """Frames that each host's interface received."""
    counted = {}
    for host in network.hosts:
        (interface,) = json.loads(
            run_in(host.netns_path, ["ip", "-json", "-s", "link", "show", "dev", "eth0"])
        )
        counted[host.name] = int(interface["stats64"]["rx"]["packets"])
    return counted


def test_what_one_device_sends_shows_on_no_link_off_its_path(network: Network) -> None:
    with path(network, "device1", "edge1") as way:
        way.burst(20)
        settle(lambda: len(way.receiver.arrivals))
        assert len(way.receiver.arrivals) == 20
    assert frames(network) == {
        "device1-edge1": (20, 0),
        "device2-edge1": (0, 0),
        "device3-edge1": (0, 0),
        "edge1-cloud1": (0, 0),
    }


def test_what_an_edge_sends_to_one_device_reaches_no_other(network: Network) -> None:
    with path(network, "edge1", "device2") as way:
        way.burst(20)
        settle(lambda: len(way.receiver.arrivals))
    assert {link for link, counts in frames(network).items() if any(counts)} == {"device2-edge1"}


@pytest.mark.parametrize("destination", [BROADCAST, MULTICAST, STP, UNKNOWN])
def test_a_frame_to_everyone_or_to_no_one_crosses_no_link(network: Network, destination: str) -> None:
    for name in ("device1", "edge1", "cloud1"):
        raw_frame(network, name, destination, network.net[name].MAC(), b"to whom it may concern")
    time.sleep(0.3)
    assert not any(any(counts) for counts in frames(network).values())


@pytest.mark.parametrize("target", ["device2", "cloud1"])
def test_no_frame_gets_past_a_tier_or_across_to_a_sibling(network: Network, target: str) -> None:
    raw_frame(network, "device1", network.net[target].MAC(), network.net["device1"].MAC(), b"straight to you")
    time.sleep(0.3)
    counts = frames(network)
    assert [link for link in counts if any(counts[link])] in ([], ["device1-edge1"])
    assert heard(network)[target] == 0


def passing(network: Network, near: str, far: str) -> set[str]:
    """The links that 20 frames from the one node to the other cross; all of them arrive."""
    before = frames(network)
    with path(network, near, far) as way:
        way.burst(20)
        settle(lambda: len(way.receiver.arrivals))
        assert len(way.receiver.arrivals) == 20
    settle(lambda: frames(network))
    after = frames(network)
    return {link for link in after if after[link] != before[link]}


@pytest.mark.parametrize("shared", [False, True])
def test_where_tiers_may_be_skipped_their_switch_passes_frames_to_the_tier_above_and_back_alone(
    shared: bool,
) -> None:
    tiers: list[dict[str, Any]] = [
        {"name": "device", "nodes": 4},
        {"name": "edge", "nodes": 2},
        {"name": "cloud"},
    ]
    links: list[dict[str, Any]] = [
        {"name": "access", "between": ["device", "edge"], "rate": "20mbit", "shared": shared},
        {"name": "core", "between": ["edge", "cloud"], "rate": "20mbit"},
    ]
    with up(laid_out(tiers, links, when_unreachable="skip")) as network:
        first, last = ("access-edge1", "access-edge2") if shared else ("device1-edge1", "device4-edge2")
        assert passing(network, "device1", "cloud1") == {first, "edge1-cloud1"}
        assert passing(network, "cloud1", "device4") == {last, "edge2-cloud1"}
        before = heard(network)
        for target in ("device2", "device3", "edge2"):
            mac = network.net[target].MAC()
            raw_frame(network, "device1", mac, network.net["device1"].MAC(), b"not to you")
        for name in ("device1", "edge1", "cloud1"):
            raw_frame(network, name, BROADCAST, network.net[name].MAC(), b"to whom it may concern")
        time.sleep(0.3)
        assert heard(network) == before
        with (
            socket_in(network.net["device1"].netns_path, socket.AF_INET, socket.SOCK_DGRAM) as out,
            pytest.raises(OSError, match="unreachable"),
        ):
            out.sendto(b"x", (network.net["device2"].IP(), 9))


def test_nothing_is_learnt_from_a_forged_sender(network: Network) -> None:
    table = ["bridge", "fdb", "show"]
    before = run_in(network.link("device1-edge1").netns_path, table)
    forged = network.net["cloud1"].MAC()
    raw_frame(network, "device1", network.net["edge1"].MAC(), forged, b"I am the cloud")
    raw_frame(network, "device1", network.net["edge1"].MAC(), UNKNOWN, b"I am new")
    time.sleep(0.3)
    assert run_in(network.link("device1-edge1").netns_path, table) == before
    with path(network, "edge1", "cloud1") as way:
        way.burst(5)
        settle(lambda: len(way.receiver.arrivals))
        assert len(way.receiver.arrivals) == 5


def test_there_is_a_route_to_neighbours_and_to_no_one_else(network: Network) -> None:
    assert network.net.ping([network.net["device1"], network.net["edge1"]]) == 0
    with (
        socket_in(network.net["device1"].netns_path, socket.AF_INET, socket.SOCK_DGRAM) as out,
        pytest.raises(OSError, match="unreachable"),
    ):
        out.sendto(b"x", (network.net["cloud1"].IP(), 9))


OFFLOADS = (
    "rx-checksumming",
    "tx-checksumming",
    "tx-tcp-segmentation",
    "generic-segmentation-offload",
    "generic-receive-offload",
)


def test_offloads_and_ipv6_are_off_on_every_interface(network: Network) -> None:
    places = [(host.netns_path, "eth0") for host in network.hosts]
    home = network.links[0].netns_path
    made = [
        line.split(":")[1].split("@")[0].strip() for line in run_in(home, ["ip", "-o", "link"]).splitlines()
    ]
    places += [(home, name) for name in made if name.startswith(network.prefix)]
    for place, interface in places:
        lines = run_in(place, ["ethtool", "--show-features", interface]).splitlines()
        features = dict(line.strip().split(": ") for line in lines[1:])
        assert {name: features[name].split()[0] for name in OFFLOADS} == dict.fromkeys(OFFLOADS, "off")
        assert "inet6" not in run_in(place, ["ip", "address", "show", "dev", interface])


def test_an_idle_network_of_60_s_with_a_connection_open_carries_no_frame_at_all(network: Network) -> None:
    listener = socket_in(network.net["edge1"].netns_path)
    client = socket_in(network.net["device1"].netns_path)
    with listener, client:
        listener.bind((network.net["edge1"].IP(), 8080))
        listener.listen()
        client.settimeout(10)
        client.connect((network.net["edge1"].IP(), 8080))
        accepted, _ = listener.accept()
        with accepted:
            settle(lambda: frames(network))
            before = frames(network)
            assert before["device1-edge1"] == (2, 1)  # the handshake
            time.sleep(60)
            assert frames(network) == before


def test_a_second_part_of_the_network_stays_apart_from_the_first(network: Network) -> None:
    probe = network.add_probe(Shape(10**6))
    run_in(probe.near.netns_path, ["ping", "-c", "3", "-i", "0.2", "-W", "2", probe.far.ip])
    assert probe.link.counters()["up"].frames == 3
    assert not any(any(counts) for counts in frames(network).values())
    assert [host.name for host in network.hosts] == ["device1", "device2", "device3", "edge1", "cloud1"]
    with pytest.raises(subprocess.SubprocessError):
        subprocess.run(
            ["ip", "netns", "exec", f"{network.prefix}-device1", "ping", "-c1", "-W1", probe.near.ip],
            check=True,
            capture_output=True,
            timeout=10,
        )
