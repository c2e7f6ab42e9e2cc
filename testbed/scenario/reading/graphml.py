"""Maps of real networks: GraphML in the dialect of the Internet Topology Zoo, and the ways through them.

Nodes have a ``label``, a ``Latitude`` and a ``Longitude`` in degrees, edges may have a ``LinkSpeedRaw`` in
bit/s (Knight et al., The Internet Topology Zoo, IEEE JSAC 29(9), 2011). Files come from strangers: they are
bounded, and a document type, in which entities would be declared that expand without bounds or name files of
this host, is refused before the parser that networkx uses, and warns of, sees the file.
"""

from __future__ import annotations

import functools
import io
import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any
from xml.parsers import expat

from testbed.errors import TestbedError
from testbed.scenario.reading.encoding import other_than_utf_8
from testbed.scenario.reading.mistakes import nearest

MAX_FILE_BYTES = 8 << 20
"""The largest of the Topology Zoo has 1.1 MB."""
MAX_ELEMENTS = 200_000
MAX_DEPTH = 16
EARTH_RADIUS_KM = 6371.0088
"""Mean radius, as the IUGG defines it."""
FIBRE_KM_PER_MS = 299_792.458 / 1000 * 2 / 3
"""Two thirds of the speed of light in vacuum: the light of a fibre with a refractive index of 1.5."""


@dataclass(frozen=True)
class Way:
    """The shortest way between two places: the labels on it, its length, and the least rate that all its
    edges have (``None`` if one of them tells no rate)."""

    labels: tuple[str, ...]
    length_km: float
    rate_bps: int | None

    @property
    def delay_ms(self) -> float:
        """One way through a fibre that lies along it."""
        return self.length_km / FIBRE_KM_PER_MS


class Map:
    """A graph whose nodes have coordinates, and whose edges have a length.

    Nodes without coordinates, which the Topology Zoo has for places that nobody could find, are left out, and
    edges with them. Of parallel edges the fastest stands; directions of edges are ignored.
    """

    def __init__(self, graph: Any, name: str) -> None:
        import networkx

        self._name = name
        self._labels = {node: str(data.get("label", node)).strip() for node, data in graph.nodes(data=True)}
        places = {node: _coordinates(data) for node, data in graph.nodes(data=True)}
        if not any(places.values()):
            raise TestbedError(
                f"{name}: no node has a Latitude and a Longitude; take a file of the Internet Topology Zoo, "
                "or add them"
            )
        self._graph = networkx.Graph()
        self._graph.add_nodes_from(node for node, place in places.items() if place)
        for lower, upper, data in graph.edges(data=True):
            start, end = places[lower], places[upper]
            if start and end and lower != upper:
                before_bps = self._graph.edges.get((lower, upper), {}).get("rate_bps", 0)
                rate_bps = max(before_bps, _rate_bps(data.get("LinkSpeedRaw")))
                self._graph.add_edge(lower, upper, km=great_circle_km(start, end), rate_bps=rate_bps)

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
            hint = nearest(place, known)
            if len(known) > 30 and not hint.startswith("did you mean"):  # no list of them all
                hint = "write a label as the file has it"
            raise TestbedError(f"{self._name} has no node {place!r}; {hint}")
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
        return Way(
            labels=tuple(self._labels[node] for node in path),
            length_km=sum(edge["km"] for edge in edges),
            rate_bps=min((edge["rate_bps"] for edge in edges), default=0) or None,
        )


@functools.lru_cache(maxsize=4)
def _parsed(content: bytes, name: str) -> Map:
    import networkx

    _require_harmless(content, name)
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
    return Map(graph, name)


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


def _require_harmless(content: bytes, name: str) -> None:
    """Refuse what is not XML, is GraphML in name only, declares entities, or is too large or too deep."""
    parser = expat.ParserCreate(namespace_separator=" ")
    depth = elements = 0

    def start(tag: str, _attributes: Any) -> None:
        nonlocal depth, elements
        if not elements and (local := tag.rpartition(" ")[2]) != "graphml":
            raise TestbedError(f"{name}: is XML, but its root is <{local[:40]}>; name a GraphML file")
        depth, elements = depth + 1, elements + 1
        if depth > MAX_DEPTH or elements > MAX_ELEMENTS:
            raise TestbedError(
                f"{name}: has more than {MAX_ELEMENTS} elements, or {MAX_DEPTH} within one another; "
                "take a smaller map"
            )

    def end(_tag: str) -> None:
        nonlocal depth
        depth -= 1

    def doctype(*_declared: Any) -> None:
        raise TestbedError(f"{name}: declares a document type, which no map needs; remove <!DOCTYPE …>")

    parser.StartElementHandler, parser.EndElementHandler = start, end
    parser.StartDoctypeDeclHandler = doctype
    try:
        parser.Parse(content, True)
    except (expat.ExpatError, LookupError, ValueError) as error:  # or an encoding that is not known
        if "compressed" in (other := other_than_utf_8(content) or ""):
            raise TestbedError(f"{name}: is not XML but {other}") from None
        raise TestbedError(f"{name}: is not XML ({error}); name a GraphML file") from None


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
