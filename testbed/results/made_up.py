"""Counts answers that no model gave: a recorded model made them up, for want of a recording."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from testbed.results.columns import Row
from testbed.scenario.topology import Topology


def made_up_inferences(rows: Sequence[Row], topology: Topology) -> dict[str, int] | None:
    """By tier, the inferences whose answer and confidence were made up, whoever's answer was returned.

    ``None`` if the rows of ``requests.parquet`` do not tell, being older.
    """
    return _by_tier(rows, topology, (tier for _, tier in _made_up(rows, topology)))


def made_up_answers(rows: Sequence[Row], topology: Topology) -> dict[str, int] | None:
    """By tier, the returned answers that were made up; ``None`` as above."""
    returned = (
        tier for row, tier in _made_up(rows, topology) if row["outcome"] == "answered" and row["tier"] == tier
    )
    return _by_tier(rows, topology, returned)


def _made_up(rows: Sequence[Row], topology: Topology) -> Iterator[tuple[Row, str]]:
    """Each inference that was made up: its request's row, and its tier."""
    tier_of = {node.name: node.tier for node in topology.nodes}
    for row in rows:
        for node, made_up in zip(row["path"], row["made_up"], strict=True):
            if made_up:
                yield row, tier_of[node]


def _by_tier(rows: Sequence[Row], topology: Topology, tiers: Iterator[str]) -> dict[str, int] | None:
    """How often each tier is among ``tiers``, which is not asked if the rows do not tell."""
    if any(row.get("made_up") is None for row in rows):
        return None
    counted = Counter(tiers)
    return {node.tier: counted[node.tier] for node in topology.nodes}
