"""Makes ``tiers.parquet``: what each node spent on a method, and what came of it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from testbed.host.cgroup import Usage
from testbed.orchestrator.rows.requests import NodeRecords
from testbed.results.columns import Row, TierRow
from testbed.results.evidence import BreakerReport, Overflow
from testbed.scenario.topology import Topology
from tiers.protocol import ANSWERED, ErrorKind

_UNKNOWN = Usage(None, None, None, None, None)
"""The use of a node that is no container."""
_BREAKER_OPEN: ErrorKind = "breaker_open"


def tier_rows(
    method: str, records: NodeRecords, used: Mapping[str, Usage], topology: Topology
) -> list[TierRow]:
    """One row for each node, lowest tier first; ``used`` is the use of those that are containers."""
    return [
        TierRow(
            node=node.name,
            tier=node.tier,
            method=method,
            **_used(used.get(node.name, _UNKNOWN)),
            **_inferences(records.get(node.name, ())),
            **_breaker(records.get(node.name, ())),
        )
        for node in topology.nodes
    ]


def _used(usage: Usage) -> dict[str, Any]:
    columns = asdict(usage)
    return {"cpu_seconds": columns.pop("cpu_s"), **columns}


def _inferences(records: Sequence[Row]) -> dict[str, Any]:
    inferred = [record for record in records if record["inferred"]]
    return {
        "inferences": len(inferred),
        "inference_ms": math.fsum(record["inference_ms"] / record["batch_size"] for record in inferred),
        "replaced_inferences": sum(map(_replaced, inferred)),
        "kept": sum(record["kept"] for record in inferred),
    }


def _breaker(records: Sequence[Row]) -> dict[str, int]:
    return {
        "breaker_opened": sum(record["tripped"] for record in records),
        "breaker_refused": sum(map(_refused, records)),
    }


def _refused(record: Row) -> bool:
    """Whether a breaker of the node's own refused the request: an error of that name may be one from above.

    Then the request went up, and nobody was asked past the tier above.
    """
    went_up = record["upstream_ms"] is not None and record["skipped"] is None
    of_the_way_up = record["forward_error"] == _BREAKER_OPEN and not went_up
    return bool(of_the_way_up or record["skipped"] == _BREAKER_OPEN)


def breakers(method: str, records: NodeRecords) -> list[BreakerReport]:
    """The breakers that opened."""
    found = {node: _breaker(recorded) for node, recorded in records.items()}
    return [
        BreakerReport(method, node, counts["breaker_opened"], counts["breaker_refused"])
        for node, counts in found.items()
        if counts["breaker_opened"]
    ]


def _replaced(record: Row) -> bool:
    """Whether the node passed on an answer from above in place of its own."""
    return record["outcome"] == ANSWERED and not record["kept"] and record["forward_error"] is None


def overflows(method: str, records: NodeRecords, forgotten: Mapping[str, int]) -> list[Overflow]:
    """The nodes that had no room for something; ``forgotten`` counts the records that each dropped."""
    full = []
    for node, recorded in records.items():
        waits_ms = [record["thread_ms"] for record in recorded if record["thread_ms"] > 0]
        if waits_ms or forgotten[node]:
            full.append(Overflow(method, node, len(waits_ms), max(waits_ms, default=0.0), forgotten[node]))
    return full
