"""Ways through maps of which some nodes are not placed: none is dropped, what is passed through is said."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from xml.sax.saxutils import escape

import networkx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from testbed.errors import TestbedError
from testbed.scenario.reading.graphml import MAX_STEPS, Map, great_circle_km, read_map
from testbed.scenario.sections.graph import GraphEntry, graph_notes
from tests.scenario.sections.test_graph import KEYS, scenario_on

Place = tuple[float, float]
Node = Place | Mapping[str, object] | None
PARIS, LONDON, TOKYO = (48.8566, 2.3522), (51.5074, -0.1278), (35.6895, 139.6917)
MORE_KEYS = KEYS + "".join(
    f'<key id="{name}" for="{of}" attr.name="{name}" attr.type="{kind}"/>'
    for name, of, kind in (
        ("Internal", "node", "int"),
        ("hyperedge", "node", "int"),
        ("Place", "node", "string"),
        ("dist", "edge", "double"),
        ("Latency_ms", "edge", "string"),
    )
)


def written(
    folder: Path,
    nodes: Mapping[str, Node],
    edges: Sequence[tuple[str, str] | tuple[str, str, Mapping[str, object]]],
    keys: str = MORE_KEYS,
) -> Path:
    """A map. A node has a place, or any data, or nothing but its label."""
    body = ""
    for name, given_data in nodes.items():
        data: dict[str, object] = {"label": name}
        if isinstance(given_data, tuple):
            data |= {"Latitude": given_data[0], "Longitude": given_data[1]}
        else:
            data |= given_data or {}
        body += f"<node id='{name}'>{_data(data)}</node>"
    for lower, upper, *more in edges:
        body += f"<edge source='{lower}' target='{upper}'>{_data(more[0] if more else {})}</edge>"
    path = folder / "map.graphml"
    root = '<graphml xmlns="http://graphml.graphdrawing.org/xmlns">'
    path.write_text(f"{root}{keys}<graph edgedefault='undirected'>{body}</graph></graphml>")
    return path


def _data(data: Mapping[str, object]) -> str:
    return "".join(f"<data key='{key}'>{escape(str(value))}</data>" for key, value in data.items())


class TestNodesWithoutCoordinates:
    def test_a_way_over_one_is_not_the_way_round_the_world(self, tmp_path: Path) -> None:
        nodes = {"Paris": PARIS, "X": None, "London": LONDON, "Tokyo": TOKYO}
        edges = [("Paris", "X"), ("X", "London"), ("Paris", "Tokyo"), ("Tokyo", "London")]
        way = read_map(written(tmp_path, nodes, edges)).way("Paris", "London")
        assert way.length_km == great_circle_km(PARIS, LONDON) == pytest.approx(343.6, abs=0.1)
        assert way.labels == ("Paris", "X", "London")
        assert way.without_coordinates == ("X",)

    def test_it_connects_what_the_file_connects(self, tmp_path: Path) -> None:
        path = written(tmp_path, {"A": (0, 0), "X": None, "B": (0, 2)}, [("A", "X"), ("X", "B")])
        assert read_map(path).way("B", "A").labels == ("B", "X", "A")

    def test_several_in_a_row_are_passed_like_one_in_their_order(self, tmp_path: Path) -> None:
        nodes = {"A": (0, 0), "X": None, "Y": None, "Z": None, "B": (0, 2), "C": (0, 4)}
        edges = [("A", "X"), ("Y", "X"), ("Y", "Z"), ("B", "Z"), ("B", "C")]
        found = read_map(written(tmp_path, nodes, edges))
        way = found.way("A", "C")
        assert way.length_km == pytest.approx(great_circle_km((0, 0), (0, 4)))
        assert (way.labels, way.without_coordinates) == (("A", "X", "Y", "Z", "B", "C"), ("X", "Y", "Z"))
        assert found.way("C", "A").labels == tuple(reversed(way.labels))

    def test_a_line_without_any_is_taken_where_it_is_as_short(self, tmp_path: Path) -> None:
        edges = [("A", "X"), ("X", "B"), ("A", "B")]
        way = read_map(written(tmp_path, {"A": (0, 0), "X": None, "B": (0, 2)}, edges)).way("A", "B")
        assert (way.labels, way.without_coordinates) == (("A", "B"), ())

    def test_of_ways_over_as_many_the_fastest_counts_and_every_edge_of_it(self, tmp_path: Path) -> None:
        nodes = {"A": (0, 0), "X": None, "Y": None, "B": (0, 2)}

        def over(x: float, y: float) -> tuple[tuple[str, ...], int | None]:
            speeds = {"A-X": 5e9, "X-B": x, "A-Y": 8e9, "Y-B": y}
            edges = [(*ends.split("-"), {"LinkSpeedRaw": bps} if bps else {}) for ends, bps in speeds.items()]
            way = read_map(written(tmp_path, nodes, edges)).way("A", "B")  # type: ignore[arg-type]
            return way.labels, way.rate_bps

        assert over(1e9, 2e9) == (("A", "Y", "B"), 2 * 10**9)
        assert over(9e9, 2e9) == (("A", "X", "B"), 5 * 10**9)
        assert over(0, 2e9) == (("A", "Y", "B"), 2 * 10**9)
        assert over(0, 0)[1] is None

    def test_leaves_and_islands_of_them_change_nothing(self, tmp_path: Path) -> None:
        nodes = {"A": (0, 0), "B": (0, 2), "leaf": None, "alone": None, "x": None, "y": None}
        edges = [("A", "B"), ("A", "leaf"), ("x", "y"), ("x", "x"), ("leaf", "leaf")]
        way = read_map(written(tmp_path, nodes, edges)).way("A", "B")
        assert (way.labels, way.without_coordinates) == (("A", "B"), ())

    def test_one_that_joins_many_leads_straight_from_each_to_each(self, tmp_path: Path) -> None:
        places = {f"p{number}": (number / 10, 3.0 * number) for number in range(30)}
        edges = [("hub", name) for name in places]
        found = read_map(written(tmp_path, {"hub": None, **places}, edges))
        for start, end in itertools.permutations(places, 2):
            assert found.way(start, end).length_km == great_circle_km(places[start], places[end])

    @pytest.mark.parametrize(
        "data",
        [
            {"Latitude": 48.8},
            {"Longitude": 2.3},
            {"Latitude": 95, "Longitude": 2.3},
            {"Latitude": 48, "Longitude": 360},
            {"Latitude": "nan", "Longitude": 2.3},
            {"Internal": 0},
            {"hyperedge": 1},
            {"Latitude": "", "Longitude": ""},
        ],
        ids=str,
    )
    def test_half_a_place_is_none(self, tmp_path: Path, data: Mapping[str, object]) -> None:
        keys = MORE_KEYS.replace("double", "string")
        path = written(tmp_path, {"A": (0, 0), "X": data, "B": (0, 2)}, [("A", "X"), ("X", "B")], keys)
        way = read_map(path).way("A", "B")
        assert way.length_km == great_circle_km((0, 0), (0, 2))
        assert way.without_coordinates == (("X (external)",) if "Internal" in data else ("X",))
        with pytest.raises(TestbedError, match=r"'X' in map\.graphml has no Latitude and Longitude; choose"):
            read_map(path).way("A", "X")

    def test_coordinates_may_be_text(self, tmp_path: Path) -> None:
        keys = MORE_KEYS.replace("double", "string")
        text = {"Latitude": " 0.0", "Longitude": "+2.0"}
        path = written(tmp_path, {"A": (0, 0), "B": text}, [("A", "B")], keys)
        assert read_map(path).way("A", "B").length_km == great_circle_km((0, 0), (0, 2))

    def test_those_without_a_label_of_their_own_go_by_their_id(self, tmp_path: Path) -> None:
        unnamed: dict[str, Node] = {"7": {"label": "?"}, "8": {"label": "?"}, "9": {"label": ""}}
        nodes = {"A": (0, 0), **unnamed, "B": (0, 2)}
        edges = [("A", "7"), ("7", "8"), ("8", "9"), ("9", "B")]
        way = read_map(written(tmp_path, nodes, edges)).way("A", "B")
        assert way.without_coordinates == ("? (id 7)", "? (id 8)", "id 9")

    def test_so_many_that_all_pairs_would_take_long_are_refused(self, tmp_path: Path) -> None:
        places = {f"p{number}": (number / 1000, number / 1000) for number in range(20_000)}
        path = written(tmp_path, {"hub": None, **places}, [("hub", name) for name in places])
        started = time.process_time()
        with pytest.raises(TestbedError, match=r"map\.graphml: .* without coordinates join too many .*; add"):
            read_map(path)
        assert time.process_time() - started < 20
        assert MAX_STEPS >= 500**2

    def test_a_long_chain_is_no_burden(self, tmp_path: Path) -> None:
        chain = [f"x{number}" for number in range(30_000)]
        nodes: dict[str, Place | None] = {"A": (0, 0), **dict.fromkeys(chain), "B": (0, 2)}
        way = read_map(written(tmp_path, nodes, list(pairwise(nodes)))).way("A", "B")
        assert len(way.without_coordinates) == 30_000


COORDINATES = st.tuples(st.integers(-90, 90), st.integers(-180, 180)).map(
    lambda place: (float(place[0]), float(place[1]))
)


@st.composite
def maps(draw: st.DrawFn) -> tuple[dict[str, Place | None], list[tuple[str, str]]]:
    """Nodes, of which the first two are placed and most others may not be, and edges."""
    count = draw(st.integers(2, 9))
    nodes: dict[str, Place | None] = {
        f"n{number}": draw(COORDINATES if number < 2 else st.none() | COORDINATES) for number in range(count)
    }
    ends = st.sampled_from(list(nodes))
    return nodes, draw(st.lists(st.tuples(ends, ends), max_size=18))


def shortest_km(
    nodes: Mapping[str, Place | None], edges: Sequence[tuple[str, str]], start: str, end: str
) -> float:
    """The shortest walk by another computation: over pairs of a node and the last place before it."""
    steps = networkx.DiGraph()
    for lower, upper in [*edges, *(edge[::-1] for edge in edges)]:
        for last, place in nodes.items():
            if place is None or (nodes[lower] is not None and last != lower):
                continue
            there = nodes[upper]
            if there is None:
                steps.add_edge((lower, last), (upper, last), km=0.0)
            else:
                steps.add_edge((lower, last), (upper, upper), km=great_circle_km(place, there))
    try:
        return float(networkx.bellman_ford_path_length(steps, (start, start), (end, end), weight="km"))
    except (networkx.NetworkXNoPath, networkx.NodeNotFound):
        return 0.0 if start == end else math.inf


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(maps())
def test_the_way_found_is_the_shortest_in_which_nodes_without_a_place_are_passed_through(
    tmp_path: Path, drawn: tuple[dict[str, Place | None], list[tuple[str, str]]]
) -> None:
    nodes, edges = drawn
    expected_km = shortest_km(nodes, edges, "n0", "n1")
    found = read_map(written(tmp_path, nodes, edges))
    if math.isinf(expected_km):
        with pytest.raises(TestbedError, match="no way leads from n0 to n1"):
            found.way("n0", "n1")
        return
    way = found.way("n0", "n1")
    assert way.length_km == pytest.approx(expected_km, abs=1e-6)
    assert way.labels[0] == "n0"
    assert way.labels[-1] == "n1"
    assert all({pair, pair[::-1]} & set(edges) for pair in pairwise(way.labels))
    assert way.without_coordinates == tuple(name for name in way.labels if nodes[name] is None)
    placed = [place for name in way.labels if (place := nodes[name]) is not None]
    assert way.length_km == pytest.approx(sum(great_circle_km(*pair) for pair in pairwise(placed)))


class TestWhatTheRunSays:
    def entry(self, folder: Path, path: Path) -> GraphEntry:
        graph = {"file": str(path), "place": {"edge": ["A"], "cloud": ["B"]}}
        entry = scenario_on(folder, graph).graph
        assert entry is not None
        return entry

    def test_which_nodes_were_passed_on_which_way(self, tmp_path: Path) -> None:
        nodes = {"A": (0, 0), "X": None, "Y": {"Internal": 0}, "B": (0, 2)}
        entry = self.entry(tmp_path, written(tmp_path, nodes, [("A", "X"), ("X", "Y"), ("Y", "B")]))
        (way,) = entry.ways
        assert way.without_coordinates == ("X", "Y (external)")
        assert graph_notes(entry) == [
            "graph: the way from A to B (222 km) leads over X and Y (external), without coordinates in "
            "map.graphml: passed through, by the direct distance between the places before and after"
        ]
        assert GraphEntry.model_validate(entry.model_dump(mode="json")) == entry

    def test_that_lengths_and_delays_of_edges_are_not_used(self, tmp_path: Path) -> None:
        edges = [("A", "B", {"dist": 500, "Latency_ms": "7"})]
        entry = self.entry(tmp_path, written(tmp_path, {"A": (0, 0), "B": (0, 2)}, edges))
        assert graph_notes(entry) == [
            "graph: edges of map.graphml have Latency_ms and dist of their own, not used: lengths are great "
            "circles"
        ]

    def test_nothing_where_there_is_nothing_to_say(self, tmp_path: Path) -> None:
        entry = self.entry(tmp_path, written(tmp_path, {"A": (0, 0), "B": (0, 2)}, [("A", "B")]))
        assert graph_notes(entry) == graph_notes(None) == []

    def test_an_older_manifest_still_loads(self, tmp_path: Path) -> None:
        entry = self.entry(tmp_path, written(tmp_path, {"A": (0, 0), "B": (0, 2)}, [("A", "B")]))
        dumped = entry.model_dump(mode="json")
        del dumped["unused"], dumped["ways"][0]["without_coordinates"]
        assert GraphEntry.model_validate(dumped) == entry


class TestWhatTheReaderWouldDropOrMerge:
    def refused(self, folder: Path, old: str, new: str) -> str:
        nodes = {"A": (0, 0), "X": None, "B": (0, 2)}
        path = written(folder, nodes, [("A", "X"), ("X", "B")])
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))
        with pytest.raises(TestbedError) as caught:
            read_map(path)
        assert "\n" not in str(caught.value)
        return str(caught.value)

    @pytest.mark.parametrize(
        ("old", "new", "words"),
        [
            ("target='B'", "target='C'", "an edge leads to 'C', which is no node of the file; add it, or"),
            ("target='B'", "", "an edge has no target; add it"),
            ("source='X'", "", "an edge has no source; add it"),
            ("id='X'", "", "a node has no id; add one"),
            ("id='X'", "id='A'", "the id 'A' is there twice; give each node its own"),
            (
                "</graph>",
                "</graph><graph edgedefault='undirected'><node id='C'/></graph>",
                "has a second graph, which would be left out; keep one",
            ),
            (
                "<node id='X'>",
                "<node id='X'><graph edgedefault='undirected'><node id='C'/></graph>",
                "has a second graph, which would be left out; keep one",
            ),
            ("<edge source='A'", "<hyperedge/><edge source='A'", "is not GraphML that can be read (GraphML"),
        ],
    )
    def test_is_refused(self, tmp_path: Path, old: str, new: str, words: str) -> None:
        assert f"map.graphml: {words}" in self.refused(tmp_path, old, new)


def test_a_map_of_published_size_is_read_at_once(tmp_path: Path) -> None:
    """Kdl of the Topology Zoo has 754 nodes and 899 edges; here every third has no coordinates."""
    nodes = {
        f"n{number}": None if number % 3 == 1 else (30 + number % 27 / 3, -90 + number / 60)
        for number in range(754)
    }
    edges = [(f"n{number}", f"n{number + step}") for step in (1, 27) for number in range(754 - step)]
    started = time.process_time()
    found: Map = read_map(written(tmp_path, nodes, edges))
    assert found.way("n0", "n753").length_km > 500
    assert time.process_time() - started < 10
