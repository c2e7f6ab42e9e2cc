"""What a node had no room for under one method: a record it forgot, a request that found no free thread."""

from __future__ import annotations

from collections.abc import Mapping

from testbed.orchestrator.rows.requests import NodeRecords
from testbed.results.evidence import Overflow


def overflows(method: str, records: NodeRecords, forgotten: Mapping[str, int]) -> list[Overflow]:
    """Those of the nodes that had any; ``forgotten`` is each node's count of records that it dropped."""
    found = []
    for node, recorded in records.items():
        waits_ms = [record["thread_ms"] for record in recorded if record["thread_ms"] > 0]
        if waits_ms or forgotten[node]:
            found.append(Overflow(method, node, len(waits_ms), max(waits_ms, default=0.0), forgotten[node]))
    return found
