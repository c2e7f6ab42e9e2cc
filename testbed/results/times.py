"""Tells whether a request's time is explained by its parts, and what of it is not."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from testbed.results.evidence import Unexplained

NODE_COLUMNS = ("queue_ms", "inference_ms", "own_ms")
HOP_COLUMNS = ("hop_up_ms", "hop_down_ms")
NO_REPLY = frozenset({"timeout", "connection"})
"""Outcomes without a reply: the orchestrator decided when the request ended."""


def is_explained(row: Mapping[str, Any]) -> bool:
    """Whether all that happened to a request was recorded.

    If so, ``unexplained_ms`` is the orchestrator's exchange with the device and nothing else. If not, it
    holds what was not recorded as well, and is less than 0 where a tier went on for longer than was waited.
    """
    whole = None not in row["hop_up_ms"] and None not in row["hop_down_ms"]
    return bool(row["path"]) and whole and row["outcome"] not in NO_REPLY


def should_be_explained(row: Mapping[str, Any]) -> bool:
    """Whether nothing excuses a missing record: a reply came, and no node gave up on the node above."""
    gave_up = any(row["forward_errors"]) or any(row.get("skipped") or ())
    return row["outcome"] not in NO_REPLY and not gave_up


def work_ms(row: Mapping[str, Any], at: int) -> float:
    """How long the model of a node on the path was at work for a request: of a batch, the request's share."""
    sizes = row.get("batch_sizes") or ()
    return float(row["inference_ms"][at] / ((sizes[at] if sizes else None) or 1))


def served_s(node: str, rows: Iterable[Mapping[str, Any]]) -> float | None:
    """How long requests were at a node, all of them together, without their waits for the tier above.

    ``None`` where a record of the node is lost.
    """
    times_ms = [
        row[column][at]
        for row in rows
        for at, there in enumerate(row["path"])
        if there == node
        for column in NODE_COLUMNS
    ]
    return None if None in times_ms else math.fsum(times_ms) / 1000


def unexplained(method: str, rows: Sequence[Mapping[str, Any]]) -> Unexplained:
    """How ``unexplained_ms`` spreads over the requests of which everything was recorded."""
    times_ms = [row["unexplained_ms"] for row in rows if is_explained(row)]
    return Unexplained.of(
        method, times_ms, sum(is_explained(row) or should_be_explained(row) for row in rows)
    )
