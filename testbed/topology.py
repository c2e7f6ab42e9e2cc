"""What the network is to be, as plain data: nodes, their parents, and the WAN links between them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from testbed.link_entry import LinkEntry
    from testbed.scenario import Scenario

Direction = Literal["up", "down"]
DIRECTIONS: tuple[Direction, Direction] = ("up", "down")
"""``up`` is towards the cloud: from a link's child to its parent."""

SUBNET_BITS = 16
FRAME_BYTES = 1514
"""A full Ethernet frame as the kernel counts it: header and 1,500 bytes, no FCS."""
MIN_QUEUE_FRAMES = 100
"""No bottleneck's default queue is shorter than this (DESIGN, "A WAN link")."""
_FIGURES = ("rate_bps", "delay_ms", "jitter_ms", "loss", "duplicate", "reorder")


@dataclass(frozen=True, slots=True)
class Shape:
    """One direction of a WAN link (DESIGN, "A WAN link").

    ``rate_bps`` and ``queue_frames`` are the bottleneck's (``None``: unlimited rate), the others the way's.
    ``delay_ms`` is one way, ``jitter_ms`` the standard deviation added to it without reordering, ``loss``
    and ``duplicate`` are probabilities in [0, 1].
    """

    rate_bps: int | None
    delay_ms: float = 0.0
    jitter_ms: float = 0.0
    loss: float = 0.0
    duplicate: float = 0.0
    reorder: float = 0.0
    queue_frames: int = 100

    @property
    def needs_netem(self) -> bool:
        """Whether a kernel without netem cannot give this shape."""
        return any((self.delay_ms, self.jitter_ms, self.loss, self.duplicate, self.reorder))


@dataclass(frozen=True, slots=True)
class Node:
    """A container of a tier: ``device1`` is the first node of tier ``device``.

    ``level`` counts tiers from 0; ``number`` counts all nodes of the topology from 1, lowest tier first, and
    gives ``ip`` and ``mac``. ``parent`` is ``None`` at the top.
    """

    name: str
    tier: str
    level: int
    number: int
    ip: str
    mac: str
    parent: str | None


@dataclass(frozen=True, slots=True)
class Link:
    """The WAN link between a child's site and its parent's, named ``child-parent``.

    ``entry`` is the scenario's link entry that shapes it; ``number`` counts links from 1 and is its child's.
    """

    name: str
    entry: str
    number: int
    child: str
    parent: str
    up: Shape
    down: Shape

    def shape(self, direction: Direction) -> Shape:
        return self.up if direction == "up" else self.down


@dataclass(frozen=True)
class Topology:
    """All nodes (lowest tier first) and links of a scenario."""

    nodes: tuple[Node, ...]
    links: tuple[Link, ...]

    def node(self, name: str) -> Node:
        return next(node for node in self.nodes if node.name == name)

    def link_up(self, node: str) -> Link | None:
        """The link from ``node`` to its parent; ``None`` at the top."""
        return next((link for link in self.links if link.child == node), None)

    @property
    def needs_netem(self) -> bool:
        return any(link.up.needs_netem or link.down.needs_netem for link in self.links)


def parent_number(child: int, children: int, parents: int) -> int:
    """Number of a child's parent, both counted from 1: ⌈child · parents / children⌉ (DESIGN, "Words")."""
    return -(-child * parents // children)


def node_ip(number: int) -> str:
    """Address of the ``number``-th node of the topology, counted from 1, in the run's /16."""
    return f"10.77.{number // 250}.{number % 250 + 1}"


def node_mac(number: int) -> str:
    """Locally administered address of the ``number``-th node, counted from 1."""
    return f"02:77:00:00:{number >> 8:02x}:{number & 0xFF:02x}"


def build_topology(scenario: Scenario) -> Topology:
    """Lay a scenario out as nodes and links: lowest tier first, each child with a link of its own.

    A scenario of one tier has no links.
    """
    nodes: list[Node] = []
    links: list[Link] = []
    for level, tier in enumerate(scenario.tiers):
        above = scenario.tiers[level + 1] if level + 1 < len(scenario.tiers) else None
        for child in range(1, tier.nodes + 1):
            number = len(nodes) + 1
            parent = f"{above.name}{parent_number(child, tier.nodes, above.nodes)}" if above else None
            name = f"{tier.name}{child}"
            nodes.append(Node(name, tier.name, level, number, node_ip(number), node_mac(number), parent))
            if above and parent:
                entry = scenario.link_between(tier.name, above.name)
                up, down = _shapes(entry)
                links.append(Link(f"{name}-{parent}", entry.name, number, name, parent, up, down))
    return Topology(tuple(nodes), tuple(links))


def bdp_multiple(queue: int | str | None) -> float | None:
    """How many bandwidth-delay products a queue is, if it is given like ``2bdp``; else ``None``."""
    return float(queue.removesuffix("bdp")) if isinstance(queue, str) else None


def queue_frames(queue: int | str | None, rate_bps: int | None, round_trip_ms: float) -> int:
    """Length of a bottleneck's queue, given in frames, like ``2bdp``, or not at all.

    Not given, it is one bandwidth-delay product in full frames, and at least ``MIN_QUEUE_FRAMES``. The round
    trip is the link's own, the sum of both one-way delays: tiers end every TCP connection, so none spans more
    than one link. Jitter is left out. Without a rate nothing queues, and the minimum stands.
    """
    if isinstance(queue, int):
        return queue
    if rate_bps is None:
        return MIN_QUEUE_FRAMES
    multiple = bdp_multiple(queue)
    product_frames = rate_bps / 8 * round_trip_ms / 1000 / FRAME_BYTES
    if multiple is None:
        return max(MIN_QUEUE_FRAMES, math.ceil(product_frames))
    return max(1, math.ceil(multiple * product_frames))


def _shapes(entry: LinkEntry) -> tuple[Shape, Shape]:
    """Shapes up and down. An entry's figures hold in each direction that has none of its own."""
    round_trip_ms = sum(entry.figure(direction, "delay_ms") for direction in DIRECTIONS)
    up, down = (
        Shape(
            **{name: entry.figure(direction, name) for name in _FIGURES},
            queue_frames=queue_frames(
                entry.figure(direction, "queue"), entry.figure(direction, "rate_bps"), round_trip_ms
            ),
        )
        for direction in DIRECTIONS
    )
    return up, down
