"""Tiers placed on a map: ways, delays and rates from GraphML, and files that are not what they should be."""

from __future__ import annotations

import json
import math
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml

from testbed.errors import TestbedError
from testbed.scenario.reading.graphml import EARTH_RADIUS_KM, great_circle_km, read_map
from testbed.scenario.scenario import Scenario, load_scenario
from tests import QUICKSTART, SCENARIOS

EUROPE = SCENARIOS / "graphs" / "europe.graphml"
PLACE = {"device": ["London", "Madrid"], "edge": ["Frankfurt"], "cloud": ["Warsaw"]}
KEYS = "".join(
    f'<key id="{name}" for="{of}" attr.name="{name}" attr.type="{kind}"/>'
    for name, of, kind in (
        ("label", "node", "string"),
        ("Latitude", "node", "double"),
        ("Longitude", "node", "double"),
        ("LinkSpeedRaw", "edge", "double"),
    )
)


def scenario_on(tmp_path: Path, graph: Any, *overrides: str, delays: bool = False) -> Scenario:
    """The quickstart with this graph; without delays on its links, unless it is to have both."""
    data = yaml.safe_load(QUICKSTART.read_text())
    if not delays:
        data["links"] = [
            {key: value for key, value in link.items() if key not in ("delay", "jitter")}
            for link in data["links"]
        ]
    path = tmp_path / "placed.yaml"
    path.write_text(yaml.safe_dump({**data, "graph": graph}))
    return load_scenario(path, overrides)


def refusal(tmp_path: Path, graph: Any, *overrides: str, delays: bool = False) -> str:
    with pytest.raises(TestbedError) as caught:
        scenario_on(tmp_path, graph, *overrides, delays=delays)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def written(tmp_path: Path, body: str, *, keys: str = KEYS, before: str = "") -> Path:
    path = tmp_path / "map.graphml"
    root = '<graphml xmlns="http://graphml.graphdrawing.org/xmlns">'
    path.write_text(f"{before}{root}{keys}<graph edgedefault='undirected'>{body}</graph></graphml>")
    return path


def node(identity: str, label: str, place: tuple[float, float] | None) -> str:
    data = {"label": label}
    if place:
        data |= {"Latitude": str(place[0]), "Longitude": str(place[1])}
    return f"<node id='{identity}'>{_data(data)}</node>"


def edge(lower: str, upper: str, rate_bps: float | None = None) -> str:
    data = {} if rate_bps is None else {"LinkSpeedRaw": str(rate_bps)}
    return f"<edge source='{lower}' target='{upper}'>{_data(data)}</edge>"


def _data(data: dict[str, str]) -> str:
    return "".join(f"<data key='{key}'>{value}</data>" for key, value in data.items())


class TestWays:
    def test_distances_are_great_circles_on_the_mean_earth(self) -> None:
        assert great_circle_km((0, 0), (90, 0)) == pytest.approx(math.pi * EARTH_RADIUS_KM / 2)
        assert great_circle_km((0, -90), (0, 90)) == pytest.approx(math.pi * EARTH_RADIUS_KM)
        assert great_circle_km((48.8566, 2.3522), (51.5074, -0.1278)) == pytest.approx(343.6, abs=0.1)
        assert great_circle_km((52.5, 13.4), (52.5, 13.4)) == 0

    def test_the_shortest_way_is_taken_and_its_slowest_edge_counts(self) -> None:
        way = read_map(EUROPE).way("London", "Vienna")
        assert way.labels == ("London", "Amsterdam", "Frankfurt", "Prague", "Vienna")
        assert way.rate_bps == 2_500_000_000
        cities = [(51.5074, -0.1278), (52.3676, 4.9041), (50.1109, 8.6821), (50.0755, 14.4378)]
        cities.append((48.2082, 16.3738))
        assert way.length_km == pytest.approx(sum(great_circle_km(*pair) for pair in pairwise(cities)))
        assert way.delay_ms == pytest.approx(way.length_km / 199.8616, rel=1e-5)

    def test_a_place_to_itself_is_no_way_and_has_no_delay(self) -> None:
        way = read_map(EUROPE).way("Paris", "Paris")
        assert (way.labels, way.length_km, way.delay_ms, way.rate_bps) == (("Paris",), 0, 0, None)

    def test_an_edge_without_speed_leaves_the_way_without_rate(self, tmp_path: Path) -> None:
        places = node("a", "A", (0, 0)) + node("b", "B", (0, 1)) + node("c", "C", (0, 2))
        path = written(tmp_path, places + edge("a", "b", 1e9) + edge("b", "c"))
        assert read_map(path).way("A", "C").rate_bps is None
        assert read_map(path).way("A", "B").rate_bps == 10**9

    def test_of_parallel_lines_the_fastest_counts_and_loops_do_not(self, tmp_path: Path) -> None:
        places = node("a", "A", (0, 0)) + node("b", "B", (0, 1))
        lines = edge("a", "b", 1e9) + edge("b", "a", 4e9) + edge("a", "b") + edge("a", "a", 1e3)
        assert read_map(written(tmp_path, places + lines)).way("A", "B").rate_bps == 4 * 10**9

    def test_a_node_that_nobody_could_find_is_passed_through_and_no_place(self, tmp_path: Path) -> None:
        places = (
            node("a", "A", (0, 0)) + node("b", "?", None) + node("c", "C", (0, 2)) + node("d", "D", (0, 3))
        )
        found = read_map(written(tmp_path, places + edge("a", "b") + edge("b", "c")))
        assert found.way("A", "C").labels == ("A", "?", "C")
        with pytest.raises(TestbedError, match=r"no way leads from A to D in map\.graphml"):
            found.way("A", "D")
        with pytest.raises(TestbedError, match=r"'\?' in map\.graphml has no Latitude and Longitude"):
            found.way("A", "?")

    def test_a_label_that_is_there_twice_must_be_named_by_its_id(self, tmp_path: Path) -> None:
        places = node("a", "A", (0, 0)) + node("3", "Springfield", (0, 1)) + node("7", "Springfield", (0, 2))
        found = read_map(written(tmp_path, places + edge("a", "3") + edge("a", "7")))
        with pytest.raises(TestbedError, match=r"'Springfield' is the label of 2 nodes; .* id, 3 or 7"):
            found.way("A", "Springfield")
        assert found.way("A", "7").labels == ("A", "Springfield")


class TestPlacedTiers:
    def test_links_get_the_ways_delay_and_keep_the_entrys_rate(self, tmp_path: Path) -> None:
        scenario = scenario_on(tmp_path, {"file": str(EUROPE), "place": PLACE})
        links = scenario.topology.links
        ways = [("London", "Frankfurt"), ("Madrid", "Frankfurt"), ("Frankfurt", "Warsaw")]
        for link, ends in zip(links, ways, strict=True):
            assert link.up.delay_ms == link.down.delay_ms == read_map(EUROPE).way(*ends).delay_ms > 3
        assert [link.up.rate_bps for link in links] == [20_000_000, 20_000_000, 100_000_000]

    def test_without_a_rate_of_its_own_a_link_has_that_of_the_slowest_edge(self, tmp_path: Path) -> None:
        scenario = scenario_on(tmp_path, {"file": str(EUROPE), "place": PLACE}, "links.core.rate=null")
        assert [link.up.rate_bps for link in scenario.topology.links] == [
            20_000_000,
            20_000_000,
            2_500_000_000,
        ]

    def test_path_stretch_multiplies_the_delay(self, tmp_path: Path) -> None:
        graph = {"file": str(EUROPE), "place": PLACE}
        plain = scenario_on(tmp_path, graph).topology.links[0]
        stretched = scenario_on(tmp_path, {**graph, "path_stretch": 1.5}).topology.links[0]
        assert stretched.up.delay_ms == pytest.approx(1.5 * plain.up.delay_ms)

    def test_a_tier_without_places_keeps_its_links_own_figures(self, tmp_path: Path) -> None:
        place = {"edge": ["Paris"], "cloud": ["Vienna"]}
        graph = {"file": str(EUROPE), "place": place}
        links = scenario_on(tmp_path, graph, "links.access.delay=7ms").topology.links
        assert [link.up.delay_ms for link in links[:2]] == [7, 7]
        assert links[2].up.delay_ms == read_map(EUROPE).way("Paris", "Vienna").delay_ms

    def test_a_profile_gives_the_rest_where_its_delay_is_set_aside(self, tmp_path: Path) -> None:
        graph = {"file": str(EUROPE), "place": PLACE}
        overrides = ["links.access.profile=dsl", "links.access.delay=0ms"]
        link = scenario_on(tmp_path, graph, *overrides).topology.links[0]
        assert link.down.delay_ms == read_map(EUROPE).way("London", "Frankfurt").delay_ms
        assert link.down.jitter_ms == 1

    def test_events_are_held_against_the_ways_delay(self, tmp_path: Path) -> None:
        graph, jitter = (
            {"file": str(EUROPE), "place": PLACE},
            "events=[{at: 1s, link: core, set: {jitter: %s}}]",
        )
        assert scenario_on(tmp_path, graph, jitter % "2ms").events
        assert "jitter" in refusal(tmp_path, graph, jitter % "20ms")

    def test_a_manifest_loads_without_the_file_and_has_the_same_links(self, tmp_path: Path) -> None:
        copy = tmp_path / "copy.graphml"
        copy.write_bytes(EUROPE.read_bytes())
        scenario = scenario_on(tmp_path, {"file": "copy.graphml", "place": PLACE})
        copy.unlink()
        again = Scenario.model_validate(json.loads(json.dumps(scenario.model_dump(mode="json"))))
        assert again == scenario
        assert again.topology == scenario.topology
        assert again.graph is not None
        assert again.graph.ways[0].labels == ("London", "Amsterdam", "Frankfurt")

    @pytest.mark.parametrize(
        ("graph", "overrides", "words"),
        [
            ({"file": "no.graphml"}, [], "graph.file: no such file or directory 'no.graphml'"),
            ({"place": {**PLACE, "edge": ["Frankfurt am Main"]}}, [], "'Frankfurt am Main'; did you mean"),
            ({"place": {**PLACE, "edge": ["Oslo"]}}, [], "has no node 'Oslo'; known are Amsterdam, Berlin"),
            ({"place": {**PLACE, "device": ["Paris"]}}, [], "graph.place.device: has 1 names for 2 nodes"),
            ({"place": {**PLACE, "egde": ["Paris"]}}, [], "graph.place.egde: no tier 'egde'; did you mean"),
            ({"place": {"device": ["Paris", "Paris"]}}, [], "graph.place: has too few entries; add one"),
            (
                {"place": {"device": ["Paris", "Paris"], "cloud": ["Vienna"]}},
                [],
                "graph.place: no two neighbouring tiers have places",
            ),
            ({"place": {**PLACE, "edge": [12]}}, [], "graph.place.edge.1: must be a text, not 12"),
            ({"path_stretch": 0.5}, [], "graph.path_stretch: must be greater than or equal to 1"),
            ({"ways": []}, [], "graph.ways: is worked out from the file; remove it"),
            ({"scale": 2}, [], "graph.scale: unknown key"),
            ({}, ["links.core.delay=3ms"], "links.core.delay: comes from graph, where edge and cloud have"),
            ({}, ["links.access.profile=dsl"], "links.access.delay: comes from graph, where device and edge"),
            (
                {},
                ["links.access.shared=true"],
                "links.access.shared: the children of edge1 are at London and",
            ),
            ({}, ["links.core.jitter=20ms"], "links.core.jitter: is more than the delay"),
        ],
    )
    def test_what_cannot_be_placed_is_refused(
        self, tmp_path: Path, graph: dict[str, Any], overrides: list[str], words: str
    ) -> None:
        assert words in refusal(tmp_path, {"file": str(EUROPE), "place": PLACE, **graph}, *overrides)

    def test_a_speed_that_no_link_can_have_wants_a_rate(self, tmp_path: Path) -> None:
        places = node("a", "A", (0, 0)) + node("b", "B", (0, 1))
        path = written(tmp_path, places + edge("a", "b", 4e11))
        graph = {"file": str(path), "place": {"edge": ["A"], "cloud": ["B"]}}
        assert "links.core.rate: edge1-cloud1 would have the graph's 400000000000 bit/s" in refusal(
            tmp_path, graph, "links.core.rate=null"
        )


LAUGHS = "<!DOCTYPE g [<!ENTITY a 'ha'>" + "".join(
    f"<!ENTITY {new} '{f'&{old};' * 10}'>" for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)
OUTSIDE = "<!DOCTYPE g [<!ENTITY x SYSTEM 'file:///etc/passwd'>"


class TestFiles:
    @pytest.mark.parametrize("declared", [LAUGHS + "]>", OUTSIDE + "]>", "<!DOCTYPE graphml>"])
    def test_no_entity_is_ever_expanded(self, tmp_path: Path, declared: str) -> None:
        path = written(tmp_path, node("a", "&i;&x;", (0, 0)), before=declared)
        with pytest.raises(TestbedError, match=r"map\.graphml: declares a document type"):
            read_map(path)

    @pytest.mark.parametrize(
        ("content", "words"),
        [
            (b"", "is not XML (no element found"),
            (b"graph [ node [ id 0 ] ]", "is not XML (syntax error"),
            (b"<graphml>", "is not XML (no element found"),
            (b"\x1f\x8b\x08compressed", "is not XML"),
            (b"<?xml version='1.0' encoding='utf-7'?><graphml/>", "is not XML"),
            (b"<?xml version='1.0' encoding='klingon'?><graphml/>", "is not XML"),
            (b"<graphml><y:node/></graphml>", "is not XML (unbound prefix"),
            (b"<html><body/></html>", "its root is <html>; name a GraphML file"),
            (b"<graphml/>", "is not GraphML that can be read"),
            (b"<graphml xmlns='http://graphml.graphdrawing.org/xmlns'/>", "is not GraphML that can be read"),
            (b"<graphml>" + b"<a>" * 20 + b"</a>" * 20 + b"</graphml>", "16 within one another"),
            (b"<graphml>" + b"<a/>" * 200_001 + b"</graphml>", "more than 200000 elements"),
            (b" " * (9 << 20), "is larger than 8 MiB"),
        ],
        ids=lambda value: "" if isinstance(value, bytes) else value[:20],
    )
    def test_what_is_no_graphml_is_said_in_one_sentence(
        self, tmp_path: Path, content: bytes, words: str
    ) -> None:
        path = tmp_path / "map.graphml"
        path.write_bytes(content)
        sentence = refusal(tmp_path, {"file": str(path), "place": PLACE})
        assert "graph.file: " in sentence
        assert words in sentence

    @pytest.mark.parametrize(
        ("body", "keys", "words"),
        [
            (node("a", "A", None), KEYS, "no node has a Latitude and a Longitude"),
            ("", KEYS, "no node has a Latitude and a Longitude"),
            (node("a", "A", (95, 0)) + node("b", "B", (0, 500)), KEYS, "no node has a Latitude"),
            (node("a", "A", (0, 0)), "", "is not GraphML that can be read (Bad GraphML data: no key label)"),
            (node("a", "A", (0, 0)), KEYS.replace("double", "tensor"), "is not GraphML that can be read"),
            ("<node id='a'><data key='Latitude'>north</data></node>", KEYS, "is not GraphML that can be"),
            ("<edge source='a'/>", KEYS, "no node has a Latitude and a Longitude"),
            ("<hyperedge/>", KEYS, "is not GraphML that can be read"),
        ],
    )
    def test_a_map_without_what_it_needs_is_refused(
        self, tmp_path: Path, body: str, keys: str, words: str
    ) -> None:
        with pytest.raises(TestbedError) as caught:
            read_map(written(tmp_path, body, keys=keys))
        assert words in str(caught.value)
