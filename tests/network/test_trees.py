"""Trees of other shapes than the quickstart's: deep, wide and uneven, and TCP's control by tier."""

from __future__ import annotations

import socket
from collections import Counter
from itertools import pairwise

import pytest

from testbed.network.feasibility import host_lacks
from testbed.network.kernel.congestion import lacking
from testbed.scenario.topology import Topology
from tests.network.lab import connected, frames, laid_out, path, settle, up


def wide() -> Topology:
    """Twelve devices, four edges, two regions and a cloud, with the children that a list gives them."""
    return laid_out(
        [
            {"name": "device", "nodes": 12, "parents": [1, 1, 1, 1, 1, 1, 2, 2, 3, 3, 3, 4]},
            {"name": "edge", "nodes": 4, "parents": [1, 1, 1, 2]},
            {"name": "region", "nodes": 2},
            {"name": "cloud"},
        ],
        [
            {"name": "access", "between": ["device", "edge"]},
            {"name": "metro", "between": ["edge", "region"], "shared": True},
            {"name": "core", "between": ["region", "cloud"]},
        ],
    )


def deep() -> Topology:
    """Five tiers, the lowest with two nodes."""
    names = ["sensor", "home", "edge", "region", "cloud"]
    return laid_out(
        [{"name": name, "nodes": 2 if name in ("sensor", "home") else 1} for name in names],
        [{"name": f"hop{n}", "between": [*pair], "rate": "20mbit"} for n, pair in enumerate(pairwise(names))],
    )


def test_a_list_of_parents_gives_uneven_trees() -> None:
    topology = wide()
    assert Counter(node.parent for node in topology.nodes) == {
        "edge1": 6, "edge2": 2, "edge3": 3, "edge4": 1, "region1": 3, "region2": 1, "cloud1": 2, None: 1,
    }  # fmt: skip
    assert [link.name for link in topology.links if link.entry != "access"] == [
        "metro-region1",
        "metro-region2",
        "region1-cloud1",
        "region2-cloud1",
    ]
    assert len({link.name for link in topology.links}) == len(topology.links) == 12 + 2 + 2
    on_the_way = [topology.link_up(name) for name in ("device12", "edge4", "region2")]
    assert [link.name for link in on_the_way if link] == ["device12-edge4", "metro-region2", "region2-cloud1"]


@pytest.mark.root
@pytest.mark.parametrize("topology", [deep(), wide()], ids=["five tiers", "twelve devices"])
def test_frames_go_up_and_down_each_hop_of_a_way_and_nowhere_else(topology: Topology) -> None:
    with up(topology) as network:
        way = [topology.nodes[1].name]
        while (parent := topology.node(way[-1]).parent) is not None:
            way.append(parent)
        for lower, upper in pairwise(way):
            for ends in ((lower, upper), (upper, lower)):
                with path(network, *ends) as sent:
                    sent.burst(7)
                    settle(lambda: len(sent.receiver.arrivals), quiet_s=0.3)
                    assert len(sent.receiver.arrivals) == 7
        crossed = {name: counts for name, counts in frames(network).items() if any(counts)}
        on_the_way = [topology.link_up(node) for node in way[:-1]]
        assert crossed == {link.name: (7, 7) for link in on_the_way if link}
        assert len(crossed) == len(way) - 1 == topology.nodes[-1].level


@pytest.mark.root
def test_each_tier_sends_under_its_own_congestion_control() -> None:
    topology = laid_out(
        [
            {"name": "device", "congestion": "reno"},
            {"name": "edge", "congestion": "bbr"},
            {"name": "cloud"},
        ],
        [{"name": "access", "between": ["device", "edge"]}, {"name": "core", "between": ["edge", "cloud"]}],
    )
    with up(topology) as network:
        assert network.settings()["congestion"] == {"device": "reno", "edge": "bbr", "cloud": "cubic"}
        for client, server, up_control, down_control in (
            ("device1", "edge1", "reno", "bbr"),
            ("edge1", "cloud1", "bbr", "cubic"),
        ):
            with connected(network, client, server) as (out, accepted):
                assert [control_of(end) for end in (out, accepted)] == [up_control, down_control]


@pytest.mark.root
def test_a_congestion_control_that_the_kernel_lacks_is_named_with_those_that_it_has() -> None:
    topology = laid_out(
        [{"name": "device", "congestion": "nosuch"}, {"name": "cloud", "congestion": "reno"}],
        [{"name": "core", "between": ["device", "cloud"]}],
    )
    (reason,) = lacking(topology)
    assert reason.startswith("tier device has congestion control nosuch, which this kernel lacks (it has ")
    assert "cubic" in reason
    assert reason in host_lacks(topology)


def control_of(connection: socket.socket) -> str:
    """TCP_CONGESTION of tcp(7)."""
    return connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, 16).rstrip(b"\0").decode()
