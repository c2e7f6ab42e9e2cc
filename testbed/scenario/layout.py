"""A scenario's tiers, links and map, laid out as nodes and links."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from testbed.scenario.sections.graph import GraphEntry, GraphWay
from testbed.scenario.sections.links import LinkEntry
from testbed.scenario.sections.tiers import Tier
from testbed.scenario.topology import DIRECTIONS, Link, Node, Shape, Topology, node_ip, node_mac, queue_frames


def parent_number(child: int, children: int, parents: int) -> int:
    """Number of a child's parent, both counted from 1: ⌈child · parents / children⌉."""
    return -(-child * parents // children)


def build_topology(
    tiers: Sequence[Tier],
    entries: Sequence[LinkEntry],
    graph: GraphEntry | None = None,
    *,
    skips: bool = False,
) -> Topology:
    """Lay tiers out as nodes and links: lowest tier first, each child with a link of its own or a share in
    its siblings'.

    A single tier has no links.
    """
    nodes = lay_out(tiers)
    links: list[Link] = []
    for lower, upper in pairwise(tiers):
        entry = next(entry for entry in entries if set(entry.between) == {lower.name, upper.name})
        links += _links(entry, graph, [node for node in nodes if node.tier == lower.name], nodes)
    return Topology(tuple(nodes), tuple(links), skips)


def lay_out(tiers: Sequence[Tier]) -> list[Node]:
    """All nodes with their parents, lowest tier first."""
    nodes: list[Node] = []
    for level, tier in enumerate(tiers):
        above = tiers[level + 1] if level + 1 < len(tiers) else None
        first = len(nodes)
        nodes += [_node(tier, above, level, child, first + child) for child in range(1, tier.nodes + 1)]
    return nodes


def _node(tier: Tier, above: Tier | None, level: int, child: int, number: int) -> Node:
    parent = None
    if above:
        by_rule = parent_number(child, tier.nodes, above.nodes)
        parent = f"{above.name}{tier.parents[child - 1] if tier.parents else by_rule}"
    name, ip, mac = f"{tier.name}{child}", node_ip(number), node_mac(number)
    return Node(name, tier.name, level, number, ip, mac, parent, tier.congestion)


def _links(
    entry: LinkEntry, graph: GraphEntry | None, children: Sequence[Node], nodes: Sequence[Node]
) -> list[Link]:
    """The links of an entry, in the order of their first children."""
    named = {node.name: node for node in nodes}
    ways: dict[tuple[str | None, str | None], GraphWay] = {
        (way.lower, way.upper): way for way in (graph.ways if graph else ())
    }
    families: dict[str, list[Node]] = {}
    for node in children:
        families.setdefault(f"{entry.name if entry.shared else node.name}-{node.parent}", []).append(node)
    links = []
    for name, (first, *others) in families.items():
        parent = named[str(first.parent)]
        lower, upper = (graph.place_of(node) if graph else None for node in (first, parent))
        up, down = _shapes(entry, ways.get((lower, upper)))
        siblings = tuple(node.name for node in others)
        links.append(
            Link(name, entry.name, first.number, first.name, parent.name, up, down, entry.shared, siblings)
        )
    return links


def _shapes(entry: LinkEntry, way: GraphWay | None) -> tuple[Shape, Shape]:
    """Shapes up and down. An entry's figures hold in each direction that has none of its own; a way through a
    graph gives the delay, and the rate where the entry has none."""
    fields = {direction: entry.shape_fields(direction) for direction in DIRECTIONS}
    for of_direction in fields.values():
        if way is not None:
            of_direction["delay_ms"] = way.delay_ms
            of_direction["rate_bps"] = of_direction["rate_bps"] or way.rate_bps
    round_trip_ms = sum(of_direction["delay_ms"] for of_direction in fields.values())
    for direction, of_direction in fields.items():
        queue, rate_bps = entry.figure(direction, "queue"), of_direction["rate_bps"]
        of_direction["queue_frames"] = queue_frames(queue, rate_bps, round_trip_ms)
    return Shape(**fields["up"]), Shape(**fields["down"])
