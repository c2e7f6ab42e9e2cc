"""What must hold between the sections of a scenario. Each check raises a validation error of one sentence."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

from testbed.link_entry import LinkEntry
from testbed.schema import mistake, nearest
from testbed.topology import DIRECTIONS, Direction, Topology, bdp_multiple

if TYPE_CHECKING:
    from testbed.scenario import Tier


def check_unique(field: str, names: Iterable[str]) -> None:
    """No name twice in a list."""
    for name, count in Counter(names).items():
        if count > 1:
            raise mistake(f"{name!r} is there {count} times; give each entry a name of its own", field)


def check_tiers(tiers: Sequence[Tier], max_nodes: int) -> None:
    """Every node has a child, but for the lowest tier's, and there are not too many."""
    if (total := sum(tier.nodes for tier in tiers)) > max_nodes:
        raise mistake(f"{total} nodes in all; there may be {max_nodes} at most", "tiers")
    for lower, upper in pairwise(tiers):
        # By the parent rule, with p > n some parents would have no child, and no request would reach them.
        if upper.nodes > lower.nodes:
            raise mistake(
                f"{upper.nodes} nodes above {lower.name}'s {lower.nodes} would leave some without a child; "
                f"have {lower.nodes} at most",
                f"tiers.{upper.name}.nodes",
            )


def check_links(tiers: Sequence[str], links: Sequence[LinkEntry]) -> None:
    """Each pair of neighbouring tiers, lowest first, has exactly one link entry."""
    wanted = dict.fromkeys(pairwise(tiers), "")
    pairs = ", ".join(f"[{lower}, {upper}]" for lower, upper in wanted) or "none, with a single tier"
    for link in links:
        for tier in link.between:
            if tier not in tiers:
                raise mistake(f"no tier {tier!r}; {nearest(tier, tiers)}", f"links.{link.name}.between")
        pair = min(((a, b) for a, b in wanted if {a, b} == set(link.between)), default=None)
        if pair is None:
            raise mistake(
                f"[{', '.join(link.between)}] are not neighbouring tiers; neighbours are {pairs}",
                f"links.{link.name}.between",
            )
        if wanted[pair]:
            raise mistake(
                f"{wanted[pair]} already joins {pair[0]} and {pair[1]}; remove one of the two",
                f"links.{link.name}.between",
            )
        wanted[pair] = link.name
    for (lower, upper), name in wanted.items():
        if not name:
            raise mistake(f"no link joins {lower} and {upper}; add one between [{lower}, {upper}]", "links")


def check_shapes(entries: Sequence[LinkEntry], topology: Topology) -> None:
    """No link is asked for what cannot be: each direction of each is held against itself."""
    for link in topology.links:
        entry = next(entry for entry in entries if entry.name == link.entry)
        for direction in DIRECTIONS:
            shape = link.shape(direction)
            if shape.jitter_ms > shape.delay_ms:
                raise mistake(
                    "is more than the delay, and no frame arrives before it is sent; lower it",
                    _where(entry, direction, "jitter_ms"),
                )
            if shape.reorder and not shape.delay_ms:
                raise mistake(
                    "needs a delay, for a frame overtakes those that wait; add one",
                    _where(entry, direction, "reorder"),
                )
            round_trip_ms = link.up.delay_ms + link.down.delay_ms
            if bdp_multiple(entry.figure(direction, "queue")) and not (shape.rate_bps and round_trip_ms):
                raise mistake(
                    "needs a rate and a delay to be a product of; add them, or write frames",
                    _where(entry, direction, "queue"),
                )


def _where(entry: LinkEntry, direction: Direction, name: str) -> str:
    """Path of the key that gives a figure."""
    own = getattr(entry.up if direction == "up" else entry.down, name, None)
    key = name.removesuffix("_ms")
    return f"links.{entry.name}." + (key if own is None else f"{direction}.{key}")
