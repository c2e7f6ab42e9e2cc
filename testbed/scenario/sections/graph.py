"""A scenario's ``graph``: tiers placed on a map, which gives the links between them delay, and maybe rate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, ValidationInfo, model_validator
from pydantic.json_schema import SkipJsonSchema

from testbed.errors import TestbedError
from testbed.scenario.reading.graphml import Map, read_map
from testbed.scenario.reading.mistakes import mistake, nearest
from testbed.scenario.reading.yamlfile import in_yaml
from testbed.scenario.sections.section import HostFile, Number, Section
from testbed.scenario.sections.tiers import Tier
from testbed.scenario.topology import Node

Place = Annotated[str, Field(min_length=1, max_length=100)]


class GraphWay(Section):
    """What the map gives a link between two places: the way's length and labels, the link's one-way delay
    (``path_stretch`` in it) and the least rate of the way's edges, ``None`` if they do not tell. It passes
    through the nodes ``without_coordinates``."""

    lower: str
    upper: str
    length_km: float
    delay_ms: float
    rate_bps: int | None
    labels: tuple[str, ...]
    without_coordinates: tuple[str, ...] = ()


_WORKED_OUT = ("ways", "unused")


class GraphEntry(Section):
    """``place`` has for each node of a tier the label (or the id) of a node in the GraphML ``file``.

    A link between two tiers that are both placed has as one-way delay what light needs in a fibre along the
    shortest way between the two places, times ``path_stretch``: real fibres are longer than great circles.
    ``ways`` and ``unused`` (what edges tell of their own length) are worked out from the file, and stand in a
    manifest, so that a run can be read without it.
    """

    file: HostFile
    place: Annotated[dict[str, tuple[Place, ...]], Field(min_length=2)]
    path_stretch: Annotated[Number, Field(ge=1, le=10)] = 1.0
    ways: SkipJsonSchema[tuple[GraphWay, ...]] = ()
    unused: SkipJsonSchema[tuple[str, ...]] = ()

    @property
    def unwritten(self) -> tuple[str, ...]:
        return _WORKED_OUT

    @model_validator(mode="before")
    @classmethod
    def _worked_out(cls, data: Any, info: ValidationInfo) -> Any:
        for key in _WORKED_OUT:
            if info.context and isinstance(data, dict) and key in data:
                raise mistake("is worked out from the file; remove it", key)
        return data

    def place_of(self, node: Node) -> str | None:
        """Where a node of the topology is; ``None`` if its tier has no places."""
        places = self.place.get(node.tier)
        return places[int(node.name.removeprefix(node.tier)) - 1] if places else None


def check_places(graph: GraphEntry, tiers: Sequence[Tier]) -> None:
    """Tiers that have places are there, each node of them has one, and two of them are neighbours."""
    named = {tier.name: tier for tier in tiers}
    for name, places in graph.place.items():
        if name not in named:
            raise mistake(f"no tier {name!r}; {nearest(name, named)}", f"graph.place.{name}")
        if (count := len(places)) != (nodes := named[name].nodes):
            raise mistake(
                f"has {count} names for {nodes} nodes; give each node its place{_split_name(graph, places)}",
                f"graph.place.{name}",
            )
    if not any(lower.name in graph.place and upper.name in graph.place for lower, upper in pairwise(tiers)):
        raise mistake("no two neighbouring tiers have places, so that no link has a way", "graph.place")


def _split_name(graph: GraphEntry, places: Sequence[str]) -> str:
    """What to write where YAML has taken a name with a comma for several."""
    try:
        name = read_map(Path(graph.file)).whole_name(places[:50])
    except TestbedError:
        return ""  # which is said once the places are right
    return f", and write {in_yaml(name)} in quotes" if name else ""


def with_ways(graph: GraphEntry, nodes: Sequence[Node]) -> GraphEntry:
    """The entry with the way of each pair of child and parent whose tiers are both placed.

    One that comes from a manifest has them already.
    """
    if graph.ways:
        return graph
    try:
        read = read_map(Path(graph.file))
    except TestbedError as error:
        raise mistake(str(error), "graph.file") from None
    places_of = {node.name: graph.place_of(node) for node in nodes}
    places = dict.fromkeys((places_of[node.name], places_of.get(str(node.parent))) for node in nodes)
    ways = tuple(_way(graph, read, lower, upper) for lower, upper in places if lower and upper)
    return graph.model_copy(update={"ways": ways, "unused": read.unused})


def graph_notes(graph: GraphEntry | None) -> list[str]:
    """A note on each way that passes through nodes whose place is not known, and on what is not used."""
    if graph is None:
        return []
    name = Path(graph.file).name
    notes = [
        f"graph: the way from {way.lower} to {way.upper} ({way.length_km:.0f} km) leads over "
        f"{_listed(way.without_coordinates)}, without coordinates in {name}: passed through, by the direct "
        "distance between the places before and after"
        for way in graph.ways
        if way.without_coordinates
    ]
    if graph.unused:
        notes.append(
            f"graph: edges of {name} have {_listed(graph.unused)} of their own, not used: "
            "lengths are great circles"
        )
    return notes


def _listed(names: Sequence[str]) -> str:
    """The names as people list them, of many the first and the last."""
    shown = [*names[:4], f"{len(names) - 5} more", names[-1]] if len(names) > 6 else list(names)
    return " and ".join(filter(None, [", ".join(shown[:-1]), shown[-1]]))


def _way(graph: GraphEntry, read: Map, lower: str, upper: str) -> GraphWay:
    try:
        way = read.way(lower, upper)
    except TestbedError as error:
        raise mistake(str(error), "graph.place") from None
    return GraphWay(lower=lower, upper=upper, delay_ms=way.delay_ms * graph.path_stretch, **asdict(way))
