"""Divides each request's latency among tiers, hops and the orchestrator, to the millisecond.

All nodes read the same clock (the host's monotonic one, in every container), so the moments that two nodes
recorded may be subtracted. With k the node that sent the request up a hop and k+1 the one above::

    hop up   = arrived at k+1 − forwarding began at k
    hop down = answer arrived at k − reply handed over at k+1
    latency  = lateness + Σ nodes (queue + inference + own) + Σ hops (up + down) + unexplained

Arrivals are stamped by the kernel, so that a tier's wait for its CPU counts as the tier's, not the network's.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from testbed.results.times import NODE_COLUMNS

if TYPE_CHECKING:
    from testbed.orchestrator.replay.replay import Outcome

Record = Mapping[str, Any]


class Hop(NamedTuple):
    """A WAN link on a request's way, and the nodes between which the request crossed it."""

    link: str
    child: str
    parent: str


def time_columns(outcome: Outcome, hops: Sequence[Hop], records: Mapping[str, Record]) -> dict[str, Any]:
    """The columns of ``requests.parquet`` that say where the time went.

    Args:
        hops: those that the request tried, the device's first.
        records: of the nodes that recorded the request, by node.
    """
    lateness_ms = (outcome.sent_at_s - outcome.scheduled_at_s) * 1000
    ends = [(records.get(hop.child), records.get(hop.parent)) for hop in hops]
    columns: dict[str, list[float | None]] = {
        **{column: [record[column] for record in records.values()] for column in NODE_COLUMNS},
        "hop_up_ms": [_between(child, "forward_began_s", parent, "arrived_s") for child, parent in ends],
        "hop_down_ms": [
            None if _skipped(child) else _between(parent, "handed_over_s", child, "forward_answered_s")
            for child, parent in ends
        ],
    }
    spent = [lateness_ms, *(ms for times_ms in columns.values() for ms in times_ms if ms is not None)]
    return {"lateness_ms": lateness_ms, **columns, "unexplained_ms": outcome.latency_ms - math.fsum(spent)}


def _skipped(record: Record | None) -> bool:
    """Whether a node asked past the one above it: the answer whose moment it recorded is not that one's."""
    return record is not None and record["skipped"] is not None


def _between(earlier: Record | None, start: str, later: Record | None, end: str) -> float | None:
    """Milliseconds between two nodes' moments; ``None`` where either was not recorded."""
    if earlier is None or later is None or earlier[start] is None or later[end] is None:
        return None
    return float(later[end] - earlier[start]) * 1000
