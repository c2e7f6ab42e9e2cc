"""Makes ``tiers.parquet``: what each node spent on a method, and what came of it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from testbed.host.cgroup import Usage
from testbed.orchestrator.rows.requests import NodeRecords
from testbed.results.columns import Row, TierRow
from testbed.results.evidence import Overflow
from testbed.scenario.topology import Topology
from tiers.protocol import ANSWERED

_UNKNOWN = Usage(None, None, None, None, None)
"""The use of a node that is no container."""


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
        "inference_ms": math.fsum(record["inference_ms"] for record in inferred),
        "replaced_inferences": sum(map(_replaced, inferred)),
        "kept": sum(record["kept"] for record in inferred),
    }


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
