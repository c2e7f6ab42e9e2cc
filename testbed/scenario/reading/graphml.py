"""Maps of real networks: GraphML in the dialect of the Internet Topology Zoo, and the ways through them.

Nodes have a ``label``, a ``Latitude`` and a ``Longitude`` in degrees, edges may have a ``LinkSpeedRaw`` in
bit/s (Knight et al., The Internet Topology Zoo, IEEE JSAC 29(9), 2011). Files come from strangers, and are
bounded and checked (:mod:`testbed.scenario.reading.graphml_check`).
"""

from __future__ import annotations

import functools
import heapq
import io
import itertools
import math
import re
import warnings
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from testbed.errors import TestbedError
from testbed.scenario.reading.graphml_check import require_harmless, require_whole
from testbed.scenario.reading.mistakes import nearest

MAX_FILE_BYTES = 8 << 20
"""The largest of the Topology Zoo has 1.1 MB."""
MAX_STEPS = 300_000
"""Edges that are looked at to pass through nodes without coordinates: 500 places that one node joins."""
EARTH_RADIUS_KM = 6371.0088
"""Mean radius, as the IUGG defines it."""
FIBRE_KM_PER_MS = 299_792.458 / 1000 * 2 / 3
"""Two thirds of the speed of light in vacuum: the light of a fibre with a refractive index of 1.5."""
_LENGTH = re.compile(
    r"(length|len|dist|distance|delay|latency|rtt|weight)(_?(km|m|miles|ms|us|s))?", re.IGNORECASE
)
"""Names of what an edge may tell of its own length or delay."""


@dataclass(frozen=True)
class Way:
    """The shortest way between two places: the labels on it, its length, and the least rate that all its
    edges have (``None`` if one of them tells no rate).

    ``without_coordinates`` names those of its nodes that have none, in their order: they were passed through.
    """

    labels: tuple[str, ...]
    length_km: float
    rate_bps: int | None
    without_coordinates: tuple[str, ...] = ()

    @property
    def delay_ms(self) -> float:
        """One way through a fibre that lies along it."""
        return self.length_km / FIBRE_KM_PER_MS


class Map:
    """A graph whose nodes have coordinates, and whose edges have a length.

    Nodes without coordinates, which the Topology Zoo has for places that nobody could find and for lines that
    join several places, are passed through: what they join is as far apart as the great circle says. Of
    parallel edges the fastest stands; directions of edges are ignored.

    Attributes:
        unused: what edges tell of their own length or delay. No unit is known for it, so it is not used.
    """

    def __init__(self, graph: Any, name: str) -> None:
        import networkx

        self._name = name
        self._data: dict[str, dict[str, Any]] = dict(graph.nodes(data=True))
        self._labels = {node: str(data.get("label", node)).strip() for node, data in self._data.items()}
        self._same = Counter(self._labels.values())
        found = {node: _coordinates(data) for node, data in self._data.items()}
        places = {node: place for node, place in found.items() if place}
        if not places:
            raise TestbedError(
                f"{name}: no node has a Latitude and a Longitude; take a file of the Internet Topology Zoo, "
                "or add them"
            )
        lines = networkx.Graph()
        lines.add_nodes_from(graph)
        unused: set[str] = set()
        for lower, upper, data in graph.edges(data=True):
            unused.update(key for key in data if _LENGTH.fullmatch(key))
            if lower != upper:
                before_bps = lines.edges.get((lower, upper), {}).get("rate_bps", 0)
                lines.add_edge(lower, upper, rate_bps=max(before_bps, _rate_bps(data.get("LinkSpeedRaw"))))
        self.unused = tuple(sorted(unused))
        self._graph = _placed_graph(lines, places, name)

    def whole_name(self, parts: Sequence[str]) -> str | None:
        """A label that a comma has made neighbouring ``parts`` of, if there is one."""
        for start, end in itertools.combinations(range(len(parts) + 1), 2):
            for comma in (", ", ","):
                if end - start > 1 and (name := comma.join(parts[start:end])) in self._same:
                    return name
        return None

    def node(self, place: str) -> str:
        """The node with this label, or with this id.

        Raises:
            TestbedError: there is none, there are several, or it has no coordinates.
        """
        found = [node for node, label in self._labels.items() if label == place]
        if len(found) > 1:
            raise TestbedError(
                f"{place!r} is the label of {len(found)} nodes; name the one that is meant by its id, "
                f"{' or '.join(found[:5])}"
            )
        node = found[0] if found else place
        if node not in self._labels:
            known = dict.fromkeys(self._labels[node] for node in self._graph)
            otherwise = "write a label as the file has it" if len(known) > 30 else None
            raise TestbedError(f"{self._name} has no node {place!r}; {nearest(place, known, otherwise)}")
        if node not in self._graph:
            raise TestbedError(f"{place!r} in {self._name} has no Latitude and Longitude; choose another")
        return node

    def way(self, start: str, end: str) -> Way:
        """The shortest way from one place to another, by great circles between neighbours.

        Raises:
            TestbedError: a place is not there, or no way leads to it.
        """
        import networkx

        ends = self.node(start), self.node(end)
        try:
            path = networkx.dijkstra_path(self._graph, *ends, weight="km")
        except networkx.NetworkXNoPath:
            raise TestbedError(
                f"no way leads from {start} to {end} in {self._name}; choose places that are connected"
            ) from None
        edges = [self._graph.edges[pair] for pair in pairwise(path)]
        nodes, passed = path[:1], list[str]()
        for (before, after), edge in zip(pairwise(path), edges, strict=True):
            over = edge["over"] if edge["start"] == before else edge["over"][::-1]
            nodes += [*over, after]
            passed += over
        return Way(
            labels=tuple(self._labels[node] for node in nodes),
            length_km=sum(edge["km"] for edge in edges),
            rate_bps=min((edge["rate_bps"] for edge in edges), default=0) or None,
            without_coordinates=tuple(map(self._shown, passed)),
        )

    def _shown(self, node: str) -> str:
        """A node's name where its label, which it may lack or share, is not enough."""
        label, external = self._labels[node], _number(self._data[node].get("Internal")) == 0
        unique = label and self._same[label] == 1
        name = label if unique else f"{label} (id {node})" if label else f"id {node}"
        return f"{name} (external)" if external else name


@functools.lru_cache(maxsize=4)
def _parsed(content: bytes, name: str) -> Map:
    import networkx

    require_harmless(content, name)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of parts that a drawing has and a map does not need
            graph = networkx.read_graphml(io.BytesIO(content), force_multigraph=True)
    except (
        networkx.NetworkXException,
        LookupError,
        ValueError,
        TypeError,
        AttributeError,
        SyntaxError,
    ) as error:
        reason = " ".join(str(error).split())[:200]
        raise TestbedError(f"{name}: is not GraphML that can be read ({reason}); mend the file") from None
    read = Map(graph, name)
    require_whole(content, name)
    return read


def read_map(path: Path) -> Map:
    """A map from a GraphML file.

    Raises:
        TestbedError: it cannot be read, is too large, is not GraphML, or its nodes have no coordinates.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise TestbedError(f"{path}: cannot be read ({error.strerror}); name a GraphML file") from None
    if len(content) > MAX_FILE_BYTES:
        raise TestbedError(f"{path}: is larger than {MAX_FILE_BYTES >> 20} MiB; take a smaller map")
    return _parsed(content, path.name)


def great_circle_km(start: Sequence[float], end: Sequence[float]) -> float:
    """Distance on a sphere between two (latitude, longitude) in degrees, by the haversine formula."""
    (lat1, lon1), (lat2, lon2) = (map(math.radians, place) for place in (start, end))
    haversine = (
        math.sin((lat2 - lat1) / 2) ** 2 + math.cos(lat1) * math.cos(lat2) * math.sin((lon2 - lon1) / 2) ** 2
    )
    return 2 * EARTH_RADIUS_KM * math.asin(min(1.0, math.sqrt(haversine)))


def _placed_graph(lines: Any, places: dict[str, tuple[float, float]], name: str) -> Any:
    """The graph of the nodes that have a place, with everything that the whole graph's edges join.

    An edge has its length ``km``, its ``rate_bps`` (0 if unknown), and ``over``: the nodes without a place
    between its ends, in order from the end ``start``. Its length is the great circle between its ends: the
    shortest that a line over those nodes can have, for where they are is not known. Of the lines between two
    ends, the one over the fewest nodes stands, and of those the fastest.

    Args:
        lines: the whole graph, a simple one, whose edges have ``rate_bps``.
        places: latitude and longitude of the nodes that have them.
        name: the map's, for errors.

    Raises:
        TestbedError: nodes without a place join too many others.
    """
    import networkx

    graph = networkx.Graph()
    graph.add_nodes_from(places)

    def add(start: str, end: str, rate_bps: int, over: tuple[str, ...]) -> None:
        km = great_circle_km(places[start], places[end])
        graph.add_edge(start, end, km=km, rate_bps=rate_bps, over=over, start=start)

    for start, end, rate_bps in lines.edges(data="rate_bps"):
        if start in places and end in places:
            add(start, end, rate_bps, ())
    steps = itertools.count(1)
    for start in places:
        for end, rate_bps, over in _lines_over(lines, places, start, steps, name):
            if not graph.has_edge(start, end):
                add(start, end, rate_bps, over)
    return graph


def _lines_over(
    lines: Any, places: Collection[str], start: str, steps: Iterator[int], name: str
) -> Iterator[tuple[str, int, tuple[str, ...]]]:
    """Each place that only nodes without one lie before, the rate of the line to it, and those nodes."""
    order = itertools.count()
    waiting: list[tuple[int, float, int, str, str]] = []
    before: dict[str, str] = {start: ""}

    def wait(count: int, rate_bps: float, node: str) -> None:
        for near, data in lines[node].items():
            if node == start and near in places:  # joined already
                continue
            if next(steps) > MAX_STEPS:
                raise TestbedError(
                    f"{name}: its nodes without coordinates join too many others; add the Latitude and "
                    "Longitude of those with the most edges"
                )
            if near not in before:
                slowest_bps = min(rate_bps, data["rate_bps"])
                heapq.heappush(waiting, (count, -slowest_bps, next(order), near, node))

    wait(0, math.inf, start)
    while waiting:
        count, minus_bps, _, node, last = heapq.heappop(waiting)
        if node in before:
            continue
        before[node] = last
        if node not in places:
            wait(count + 1, -minus_bps, node)
            continue
        over = []
        while last != start:
            over.append(last)
            last = before[last]
        yield node, round(-minus_bps), tuple(reversed(over))


def _coordinates(data: dict[str, Any]) -> tuple[float, float] | None:
    latitude, longitude = (_number(data.get(name)) for name in ("Latitude", "Longitude"))
    return (latitude, longitude) if abs(latitude) <= 90 and abs(longitude) <= 180 else None


def _rate_bps(value: Any) -> int:
    """An edge's rate; 0 where it tells none."""
    rate_bps = _number(value)
    return round(rate_bps) if 1 <= rate_bps < math.inf else 0


def _number(value: Any) -> float:
    """A number of the file; NaN for anything else, which no comparison lets through."""
    try:
        return float(value)
    except (TypeError, ValueError):
        return math.nan
