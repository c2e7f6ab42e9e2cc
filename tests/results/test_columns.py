"""The tables' columns stay as published: names, order and types."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from testbed.results.columns import EVENTS, LINKS, REQUESTS, TABLES, TIERS, EventRow
from testbed.results.directory import RunDirectory

TEXT, REAL, WHOLE, FLAG = "string", "double", "int64", "bool"
PUBLISHED: dict[str, Mapping[str, str | list[str]]] = {
    "requests.parquet": {
        "request_id": TEXT,
        "method": TEXT,
        "device": TEXT,
        "scheduled_at_s": REAL,
        "sent_at_s": REAL,
        "done_at_s": REAL,
        "latency_ms": REAL,
        "tier": TEXT,
        "path": [TEXT],
        "confidences": [REAL],
        "thresholds": [REAL],
        "window_seqs": [WHOLE],
        "window_lengths": [WHOLE],
        "kept": [FLAG],
        "node_answers": [TEXT],
        "queue_ms": [REAL],
        "inference_ms": [REAL],
        "own_ms": [REAL],
        "upstream_ms": [REAL],
        "forward_errors": [TEXT],
        "repeats": [WHOLE],
        "hops": [TEXT],
        "hop_prompt_bytes": [WHOLE],
        "hop_answer_bytes": [WHOLE],
        "lateness_ms": REAL,
        "hop_up_ms": [REAL],
        "hop_down_ms": [REAL],
        "unexplained_ms": REAL,
        "lives": [WHOLE],
        "answer": TEXT,
        "reference": TEXT,
        "correct": FLAG,
        "outcome": TEXT,
        "made_up": [FLAG],
        "prompt_bytes": WHOLE,
        "score": REAL,
        "degraded": FLAG,
        "skipped": [TEXT],
        "batch_sizes": [WHOLE],
        "prompt_tokens": [WHOLE],
        "generated_tokens": [WHOLE],
        "cost": REAL,
        "backend_ms": [REAL],
    },
    "links.parquet": {
        "link": TEXT,
        "direction": TEXT,
        "method": TEXT,
        "frames": WHOLE,
        "frame_bytes": WHOLE,
        "ip_bytes": WHOLE,
        "prompt_bytes": WHOLE,
        "answer_bytes": WHOLE,
        "envelope_bytes": WHOLE,
        "instrumentation_bytes": WHOLE,
        "http_header_bytes": WHOLE,
        "packet_header_bytes": WHOLE,
        "tcp_control_bytes": WHOLE,
        "retransmitted_bytes": WHOLE,
        "other_bytes": WHOLE,
        "unaccounted_bytes": WHOLE,
        "retried_prompt_bytes": WHOLE,
        "unattributed_bytes": WHOLE,
        "queue_dropped_frames": WHOLE,
        "lost_frames": WHOLE,
        "down_lost_frames": WHOLE,
        "flow_frames": WHOLE,
        "flow_bytes": WHOLE,
        "duplicated_frames": WHOLE,
        "held_frames": WHOLE,
    },
    "tiers.parquet": {
        "node": TEXT,
        "tier": TEXT,
        "method": TEXT,
        "cpu_seconds": REAL,
        "throttled_s": REAL,
        "throttled_periods": WHOLE,
        "periods": WHOLE,
        "anon_bytes": WHOLE,
        "inferences": WHOLE,
        "inference_ms": REAL,
        "replaced_inferences": WHOLE,
        "kept": WHOLE,
        "waited_s": REAL,
        "breaker_opened": WHOLE,
        "breaker_refused": WHOLE,
    },
    "events.parquet": {
        "method": TEXT,
        "number": WHOLE,
        "kind": TEXT,
        "target": TEXT,
        "at_s": REAL,
        "for_s": REAL,
        "took_effect_at_s": REAL,
        "ended_at_s": REAL,
        "late_ms": REAL,
        "end_late_ms": REAL,
        "skipped": FLAG,
        "error": TEXT,
        "lost_frames": WHOLE,
        "ready_after_s": REAL,
        "steps": WHOLE,
        "steps_skipped": WHOLE,
        "steps_late_p99_ms": REAL,
        "flow_sent_bytes": WHOLE,
        "flow_received_bytes": WHOLE,
        "flow_lost_packets": WHOLE,
        "flow_retransmits": WHOLE,
        "flow_payload_at_s": REAL,
        "flow_attempts": WHOLE,
    },
}


def published(types: Mapping[str, str | list[str]]) -> pa.Schema:
    known: dict[str, pa.DataType] = {
        TEXT: pa.string(), REAL: pa.float64(), WHOLE: pa.int64(), FLAG: pa.bool_()
    }  # fmt: skip
    columns: list[tuple[str, pa.DataType]] = [
        (name, pa.list_(known[kind[0]]) if isinstance(kind, list) else known[kind])
        for name, kind in types.items()
    ]
    return pa.schema(columns)


@pytest.mark.parametrize("table", PUBLISHED)
def test_names_order_and_types_of_columns_are_the_published_ones(table: str) -> None:
    assert TABLES[table].equals(published(PUBLISHED[table]))


def test_every_table_is_published() -> None:
    assert list(TABLES) == list(PUBLISHED)
    assert list(TABLES.values()) == [REQUESTS, LINKS, TIERS, EVENTS]


def test_a_row_comes_back_from_its_table(tmp_path: Path) -> None:
    row = EventRow("recserve", 2, "down", "core", at_s=3.0, lost_frames=7)
    directory = RunDirectory(tmp_path)
    directory.write_table("events.parquet", [asdict(row)], EVENTS)
    (read,) = pq.read_table(directory.path / "events.parquet").to_pylist()
    assert EventRow(**read) == row
