"""What the orchestrator saw and what the nodes recorded, joined into the rows of ``requests.parquet``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from testbed.datasets import Example
from testbed.replay import Outcome
from testbed.topology import Topology

NodeRecords = Mapping[str, Sequence[Mapping[str, Any]]]
"""By node, what ``/control/records`` gave."""

_PER_NODE = {
    "confidences": "confidence",
    "thresholds": "threshold",
    "window_seqs": "window_seq",
    "window_lengths": "window_length",
    "kept": "kept",
    "node_answers": "answer",
    "queue_ms": "queue_ms",
    "inference_ms": "inference_ms",
    "own_ms": "own_ms",
    "upstream_ms": "upstream_ms",
    "forward_errors": "forward_error",
    "repeats": "repeats",
    "lives": "life",
}


def with_lives(
    records: NodeRecords, killed: Mapping[str, Sequence[Sequence[Mapping[str, Any]]]]
) -> dict[str, list[dict[str, Any]]]:
    """All records of each node, each with its ``life``: how often the node's process had been killed before.

    ``killed`` is what nodes had recorded when they were.
    """
    return {
        node: [
            {**record, "life": life}
            for life, recorded in enumerate([*killed.get(node, ()), last])
            for record in recorded
        ]
        for node, last in records.items()
    }


def request_rows(
    method: str,
    outcomes: Sequence[Outcome],
    records: NodeRecords,
    examples: Mapping[str, Example],
    topology: Topology,
) -> list[dict[str, Any]]:
    """One row for each request. A node that recorded it is on its path, whether an answer came or not."""
    by_node = {
        node: {record["request_id"]: record for record in recorded} for node, recorded in records.items()
    }
    rows = []
    for outcome in outcomes:
        reached = [
            (node, by_node[node][outcome.request_id])
            for node in _way_up(outcome.device, topology)
            if outcome.request_id in by_node.get(node, {})
        ]
        reference = examples[outcome.request_id].reference
        rows.append(
            {
                "request_id": outcome.request_id,
                "method": method,
                "device": outcome.device,
                "scheduled_at_s": outcome.scheduled_at_s,
                "sent_at_s": outcome.sent_at_s,
                "done_at_s": outcome.done_at_s,
                "latency_ms": outcome.latency_ms,
                "tier": outcome.tier,
                "path": [node for node, _ in reached],
                **{column: [record[key] for _, record in reached] for column, key in _PER_NODE.items()},
                "answer": outcome.answer,
                "reference": reference,
                "correct": outcome.answer == reference,
                "outcome": outcome.outcome,
            }
        )
    return rows


def _way_up(device: str, topology: Topology) -> Iterator[str]:
    node: str | None = device
    while node is not None:
        yield node
        node = topology.node(node).parent
