"""Nodes that had no room for records or requests are reported, and no others."""

from __future__ import annotations

from typing import Any

from testbed.orchestrator.rows.tiers import overflows
from testbed.results.evidence import Overflow
from tiers.records import Record, Records


def record(request_id: str, thread_ms: float = 0.0) -> Record:
    return Record(
        request_id=request_id, inferred=True, confidence=0.5, threshold=None, window_seq=0, window_length=1,
        kept=True, answer="positive", made_up=False, queue_ms=thread_ms, thread_ms=thread_ms,
        inference_ms=1.0, batch_size=1, backend_ms=None, upstream_ms=None, forward_error=None, repeats=0,
        tripped=False, skipped=None, outcome="answered", arrived_s=0.0, forward_began_s=None,
        forward_answered_s=None, handed_over_s=1.0,
    )  # fmt: skip


def recorded(records: Records) -> list[dict[str, Any]]:
    return [record.as_json() for record in records.all()]


def test_records_that_a_node_forgot_and_requests_that_waited_are_told() -> None:
    small, large = Records(limit=2), Records()
    for number in range(5):
        small.add(record(f"r{number}"))
        large.add(record(f"r{number}", thread_ms=10.0 * max(0, number - 2)))
    records = {"device1": recorded(small), "edge1": recorded(large), "cloud1": recorded(Records())}
    forgotten = {"device1": small.forgotten, "edge1": large.forgotten, "cloud1": 0}
    assert overflows("recserve", records, forgotten) == [
        Overflow("recserve", "device1", forgotten=3),
        Overflow("recserve", "edge1", waited=2, waited_max_ms=20.0),
    ]
