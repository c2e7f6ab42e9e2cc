"""What the network is to be, as plain data: nodes, their parents, and the WAN links between them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

Direction = Literal["up", "down"]
DIRECTIONS: tuple[Direction, Direction] = ("up", "down")
"""``up`` is towards the cloud: from a link's child to its parent."""

FRAME_BYTES = 1514
"""A full Ethernet frame as the kernel counts it: header and 1,500 bytes, no FCS."""
MIN_QUEUE_FRAMES = 100
"""No bottleneck's default queue is shorter than this."""
CONGESTION = "cubic"
"""TCP's congestion control where a tier asks for no other: hosts differ in their default."""

JitterDistribution = Literal["normal", "uniform", "pareto"]


@dataclass(frozen=True, slots=True)
class Bursts:
    """Losses in bursts: a Markov chain with a good and a bad state (tc-netem(8), ``loss gemodel``).

    ``p`` and ``r`` are the probabilities of going from good to bad and back after a frame; ``bad`` and
    ``good`` those of losing a frame in each state. All are in [0, 1].
    """

    p: float
    r: float
    bad: float = 1.0
    good: float = 0.0

    @property
    def mean(self) -> float:
        """The share of frames lost in the long run; the chain begins in the good state."""
        if self.p + self.r == 0:
            return self.good
        return (self.p * self.bad + self.r * self.good) / (self.p + self.r)


@dataclass(frozen=True, slots=True)
class Shape:
    """One direction of a WAN link.

    ``rate_bps`` and ``queue_frames`` are the bottleneck's (``None``: unlimited rate), the others the way's.
    ``delay_ms`` is one way, ``jitter_ms`` the standard deviation added to it without reordering, in the
    ``jitter_distribution``. ``loss``, ``duplicate`` and ``reorder`` are probabilities in [0, 1]; with
    ``bursts`` ``loss`` is their mean. ``delay_file`` is the path of a file of delays in ms, one a frame in
    the file's order, then again; ``delay_ms`` is then their median.
    """

    rate_bps: int | None
    delay_ms: float = 0.0
    jitter_ms: float = 0.0
    loss: float = 0.0
    duplicate: float = 0.0
    reorder: float = 0.0
    queue_frames: int = 100
    jitter_distribution: JitterDistribution = "normal"
    bursts: Bursts | None = None
    delay_file: str | None = None

    @property
    def still(self) -> Shape:
        """Rate, queue and delay alone: what an idle link of this shape is but for chance."""
        return Shape(self.rate_bps, self.delay_ms, queue_frames=self.queue_frames)


@dataclass(frozen=True, slots=True)
class Node:
    """A container of a tier: ``device1`` is the first node of tier ``device``.

    ``level`` counts tiers from 0; ``number`` counts all nodes of the topology from 1, lowest tier first, and
    gives ``ip`` and ``mac``. ``parent`` is ``None`` at the top. ``congestion`` is TCP's control of what the
    node sends.
    """

    name: str
    tier: str
    level: int
    number: int
    ip: str
    mac: str
    parent: str | None
    congestion: str = CONGESTION


@dataclass(frozen=True, slots=True)
class Link:
    """The WAN link between a child's site and its parent's, named ``child-parent``.

    ``entry`` is the scenario's link entry that shapes it; ``number`` is its child's. A ``shared`` link is one
    for all children of its parent, ``child`` and ``siblings``, and named ``entry-parent``.
    """

    name: str
    entry: str
    number: int
    child: str
    parent: str
    up: Shape
    down: Shape
    shared: bool = False
    siblings: tuple[str, ...] = ()

    @property
    def children(self) -> tuple[str, ...]:
        """All nodes below it, of which only a shared link has several."""
        return (self.child, *self.siblings)

    def across(self, node: str) -> tuple[str, ...]:
        """Whom a node reaches over it."""
        if node == self.parent:
            return self.children
        return (self.parent,) if node in self.children else ()

    def shape(self, direction: Direction) -> Shape:
        """The figures of one direction."""
        return self.up if direction == "up" else self.down


@dataclass(frozen=True)
class Topology:
    """All nodes (lowest tier first) and links of a scenario.

    ``skips``: a node that cannot reach its parent asks its grandparent, past it (:meth:`past`).
    """

    nodes: tuple[Node, ...]
    links: tuple[Link, ...]
    skips: bool = False

    @property
    def unshaped(self) -> Topology:
        """The same nodes and links without any figures: what a network is, whatever its links are like."""
        none = Shape(None)
        return replace(self, links=tuple(replace(link, up=none, down=none) for link in self.links))

    def node(self, name: str) -> Node:
        """The node of that name, which must be there."""
        return self._by_name[name]

    @cached_property
    def _by_name(self) -> dict[str, Node]:
        return {node.name: node for node in self.nodes}

    def link_up(self, node: str) -> Link | None:
        """The link from ``node`` to its parent, which its siblings may share; ``None`` at the top."""
        return next((link for link in self.links if node in link.children), None)

    def past(self, node: str) -> Node | None:
        """Whom a node asks past its parent; ``None`` if it may not, or nobody is there."""
        way = self.way_up(node)[2:] if self.skips else []
        return self.node(way[0]) if way else None

    def is_passed(self, node: str) -> bool:
        """Whether others ask past this node, so that its switch passes their frames."""
        return (
            self.skips
            and self.link_up(node) is not None
            and any(node == other.parent for other in self.nodes)
        )

    def neighbours(self, node: str) -> list[Node]:
        """Whom a node exchanges frames with: parent, children, and those past the one or the other."""
        over_links = {other for link in self.links for other in link.across(node)}
        here, past = self.node(node), self.past(node)
        return [
            other
            for other in self.nodes
            if other.name in over_links or other == past or self.past(other.name) == here
        ]

    def below(self, children: Sequence[str]) -> list[Node]:
        """Whose frames come up from the sites of these nodes: they, and the nodes that ask past them."""
        return [
            node for node in self.nodes if node.name in children or (self.skips and node.parent in children)
        ]

    def above(self, link: Link) -> list[Node]:
        """Whose frames come down a link: its parent, and the node that its children ask past that."""
        past = self.past(link.child)
        return [self.node(link.parent), *([] if past is None else [past])]

    def way_up(self, node: str) -> list[str]:
        """``node``, its parent, and so on to the top."""
        way = [node]
        while (parent := self.node(way[-1]).parent) is not None:
            way.append(parent)
        return way


def node_ip(number: int) -> str:
    """Address of the ``number``-th node of the topology, counted from 1, in the run's /16."""
    return f"10.77.{number // 250}.{number % 250 + 1}"


def node_mac(number: int) -> str:
    """Locally administered address of the ``number``-th node, counted from 1."""
    return f"02:77:00:00:{number >> 8:02x}:{number & 0xFF:02x}"


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
