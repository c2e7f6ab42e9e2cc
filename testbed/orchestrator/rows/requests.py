"""Joins what the orchestrator saw, the nodes recorded and the captures hold into ``requests.parquet``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from testbed.orchestrator.replay.replay import Outcome
from testbed.orchestrator.rows.times import Hop, time_columns
from testbed.results.columns import RequestRow
from testbed.scenario.topology import Topology
from testbed.scenario.workload.datasets import Example
from testbed.wire.parts import RequestBytes

NodeRecords = Mapping[str, Sequence[Mapping[str, Any]]]
"""By node, what ``/control/records`` gave."""
Crossed = Mapping[str, Mapping[str, RequestBytes]]
"""By link and request id, what the link's capture holds of the request."""

_PER_NODE = {
    "confidences": "confidence",
    "thresholds": "threshold",
    "window_seqs": "window_seq",
    "window_lengths": "window_length",
    "kept": "kept",
    "node_answers": "answer",
    "made_up": "made_up",
    "upstream_ms": "upstream_ms",
    "forward_errors": "forward_error",
    "repeats": "repeats",
    "backend_ms": "backend_ms",
    "skipped": "skipped",
    "batch_sizes": "batch_size",
    "lives": "life",
    "prompt_tokens": "prompt_tokens",
    "generated_tokens": "generated_tokens",
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
    crossed: Crossed,
    scores: Sequence[float | None] | None = None,
) -> list[RequestRow]:
    """One row for each request; ``scores`` are of the outcomes' answers, if they have any.

    A node that recorded the request is on its path, whether an answer came or not. A link that it tried is
    among its hops, whether all of it crossed or not.
    """
    by_node = {
        node: {record["request_id"]: record for record in recorded} for node, recorded in records.items()
    }
    ways = {device: topology.way_up(device) for device in {outcome.device for outcome in outcomes}}
    hops_up = {device: _hops(nodes, topology) for device, nodes in ways.items()}
    rows = []
    for outcome, score in zip(outcomes, scores or [None] * len(outcomes), strict=True):
        reached = {
            node: by_node[node][outcome.request_id]
            for node in ways[outcome.device]
            if outcome.request_id in by_node.get(node, {})
        }
        hops = _tried(outcome.request_id, hops_up[outcome.device], reached, crossed)
        example = examples[outcome.request_id]
        rows.append(
            RequestRow(
                **asdict(outcome),
                method=method,
                reference=example.reference,
                prompt_bytes=len(example.text.encode()),
                correct=outcome.answer == example.reference,
                score=score,
                cost=None,
                **_node_columns(reached),
                **_byte_columns(outcome.request_id, hops, crossed),
                **time_columns(outcome, hops, reached),
            )
        )
    return rows


def _node_columns(records: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """What the nodes on the path recorded; ``records`` is by node, the device first."""
    return {
        "path": list(records),
        **{column: [record[key] for record in records.values()] for column, key in _PER_NODE.items()},
    }


def text_bytes(requests: Iterable[RequestRow]) -> Counter[tuple[str, str]]:
    """By link and direction, the prompt bytes up and answer bytes down that requests put there."""
    attributed: Counter[tuple[str, str]] = Counter()
    for request in requests:
        hops = zip(request.hops, request.hop_prompt_bytes, request.hop_answer_bytes, strict=True)
        for link, prompt_bytes, answer_bytes in hops:
            attributed[link, "up"] += prompt_bytes
            attributed[link, "down"] += answer_bytes
    return attributed


def _tried(
    request_id: str, way: Sequence[Hop], records: Mapping[str, Mapping[str, Any]], crossed: Crossed
) -> Sequence[Hop]:
    """The hops up to the last that the request tried: its node forwarded it, or it was seen further up."""
    tried = 0
    for number, hop in enumerate(way, start=1):
        sent_up = hop.child in records and records[hop.child]["upstream_ms"] is not None
        if sent_up or hop.parent in records or request_id in crossed[hop.link]:
            tried = number
    return way[:tried]


def _byte_columns(request_id: str, hops: Sequence[Hop], crossed: Crossed) -> dict[str, Any]:
    texts = [crossed[hop.link].get(request_id) for hop in hops]
    return {
        "hops": [hop.link for hop in hops],
        "hop_prompt_bytes": [text.prompt_bytes if text else 0 for text in texts],
        "hop_answer_bytes": [text.answer_bytes if text else 0 for text in texts],
    }


def _hops(nodes: Sequence[str], topology: Topology) -> list[Hop]:
    """The hops between the nodes of a way up, the lowest first."""
    links = [topology.link_up(node) for node in nodes]
    return [Hop(link.name, node, link.parent) for node, link in zip(nodes, links, strict=True) if link]
