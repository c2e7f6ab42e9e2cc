"""From a scenario to nodes and links."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from testbed.scenario.layout import parent_number
from testbed.scenario.scenario import Scenario, load_scenario
from testbed.scenario.topology import MIN_QUEUE_FRAMES, node_ip, node_mac, queue_frames
from tests import QUICKSTART


def test_the_quickstart_has_two_devices_on_one_edge_on_one_cloud() -> None:
    topology = load_scenario(QUICKSTART).topology
    assert [(node.name, node.number, node.level, node.parent) for node in topology.nodes] == [
        ("device1", 1, 0, "edge1"),
        ("device2", 2, 0, "edge1"),
        ("edge1", 3, 1, "cloud1"),
        ("cloud1", 4, 2, None),
    ]
    assert [(link.name, link.entry, link.number) for link in topology.links] == [
        ("device1-edge1", "access", 1),
        ("device2-edge1", "access", 2),
        ("edge1-cloud1", "core", 3),
    ]
    assert topology.link_up("cloud1") is None


def test_a_links_figures_hold_in_each_direction() -> None:
    overrides = [
        "links.core.loss=1%",
        "links.core.duplicate=0.5%",
        "links.core.reorder=2%",
        "links.core.queue=7",
    ]
    link = load_scenario(QUICKSTART, overrides).topology.links[-1]
    assert link.up == link.down
    shape = link.up
    assert (
        shape.rate_bps,
        shape.delay_ms,
        shape.loss,
        shape.duplicate,
        shape.reorder,
        shape.queue_frames,
    ) == (
        100_000_000,
        30.0,
        0.01,
        0.005,
        0.02,
        7,
    )


def test_the_default_queue_is_a_bandwidth_delay_product_of_the_links_round_trip() -> None:
    links = load_scenario(QUICKSTART).topology.links
    # 100 Mbit/s over 60 ms are 750,000 bytes, 495.4 full frames; 20 Mbit/s over 20 ms are 33.
    assert [link.up.queue_frames for link in links] == [100, 100, 496]
    assert queue_frames(None, None, 60) == MIN_QUEUE_FRAMES


def test_a_node_has_neighbours_past_its_own_only_where_tiers_are_skipped() -> None:
    keeps, skips = (
        load_scenario(QUICKSTART, [f"when_unreachable={value}"]).topology for value in ("keep", "skip")
    )
    assert load_scenario(QUICKSTART).topology == keeps
    neighbours = {
        name: {node.name for node in skips.neighbours(name)} - {node.name for node in keeps.neighbours(name)}
        for name in ("device1", "edge1", "cloud1")
    }
    assert neighbours == {"device1": {"cloud1"}, "edge1": set(), "cloud1": {"device1", "device2"}}
    assert {node.name for node in keeps.neighbours("edge1")} == {"device1", "device2", "cloud1"}
    assert [keeps.past(name) for name in ("device1", "edge1", "cloud1")] == [None] * 3
    past = skips.past("device1")
    assert past is not None
    assert past.name == "cloud1"
    assert [skips.is_passed(name) for name in ("device1", "edge1", "cloud1")] == [False, True, False]
    core = skips.links[2]
    assert [node.name for node in skips.below(core.children)] == ["device1", "device2", "edge1"]
    assert [node.name for node in skips.above(core)] == ["cloud1"]
    assert [node.name for node in skips.above(skips.links[0])] == ["edge1", "cloud1"]


def test_a_single_tier_has_no_links() -> None:
    scenario = load_scenario(QUICKSTART)
    alone = Scenario.model_validate(
        scenario.model_dump(mode="json")
        | {"tiers": [scenario.tiers[0].model_dump()], "links": [], "methods": [{"name": "device-only"}]}
    )
    topology = alone.topology
    assert [node.name for node in topology.nodes] == ["device1", "device2"]
    assert topology.links == ()


@pytest.mark.parametrize(
    ("children", "parents", "expected"),
    [(2, 1, [1, 1]), (4, 2, [1, 1, 2, 2]), (5, 2, [1, 1, 2, 2, 2]), (3, 3, [1, 2, 3])],
)
def test_a_childs_parent_follows_the_rule(children: int, parents: int, expected: list[int]) -> None:
    assert [parent_number(child, children, parents) for child in range(1, children + 1)] == expected


@given(st.integers(1, 60), st.data())
def test_every_parent_has_a_child_as_long_as_parents_are_not_more(children: int, data: st.DataObject) -> None:
    parents = data.draw(st.integers(1, children))
    assigned = [parent_number(child, children, parents) for child in range(1, children + 1)]
    assert set(assigned) == set(range(1, parents + 1))
    sizes = [assigned.count(parent) for parent in range(1, parents + 1)]
    assert max(sizes) - min(sizes) <= 1


def test_addresses_are_distinct() -> None:
    numbers = range(1, 1001)
    assert len({node_ip(number) for number in numbers}) == len(numbers)
    assert len({node_mac(number) for number in numbers}) == len(numbers)
    assert not {node_ip(number) for number in numbers} & {"10.77.0.0", "10.77.255.255"}
