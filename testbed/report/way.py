"""One request's way through the tiers, as a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.table import Table
from rich.text import Text

from testbed.report.cells import if_valid, number, table
from testbed.results.columns import Row
from testbed.results.times import HOP_COLUMNS
from testbed.scenario.workload.trace_file import Request


def sample_way(
    requests: Sequence[Row], trace: Sequence[Request], faithful: Mapping[str, bool]
) -> Table | None:
    """The way of the first request that went furthest, past no tier, under a method with thresholds.

    Bytes are those that the captures hold. ``None`` if no request was answered under such a method.
    """
    deciding = [
        row
        for row in requests
        if row["outcome"] == "answered" and any(row["thresholds"]) and not any(row.get("skipped") or ())
    ]
    if not deciding:
        return None
    row = max(deciding, key=lambda row: (len(row["path"]), row["window_seqs"][0] is not None))
    asked = next(request for request in trace if request.id == row["request_id"])
    way = table(
        Text(
            f"One request ({row['request_id']}, {row['method']}): "
            f"row {asked.row} of {asked.dataset}, {asked.split}"
        ),
        (),
    )
    way.caption = Text(f"answered {row['answer']} by {row['tier']}, reference {row['reference']}")
    for column in ("node", "answer", "confidence", "threshold", "window", "decision", "inference ms"):
        way.add_column(column, justify="left" if column in ("node", "answer", "decision") else "right")
    for column in ("hop up ms", "hop down ms", "prompt / answer bytes"):
        way.add_column(column, justify="right")
    for at, node in enumerate(row["path"]):
        way.add_row(
            node,
            Text(row["node_answers"][at] or ""),
            number(row["confidences"][at], ".4f", missing=""),
            number(row["thresholds"][at], ".4f", missing=""),
            number(row["window_lengths"][at], "d", missing=""),
            "kept" if row["kept"][at] else "sent up",
            if_valid(number(row["inference_ms"][at], ".1f"), faithful["latency"]),
            *_hop_cells(row, at, faithful),
        )
    return way


def _hop_cells(row: Row, at: int, faithful: Mapping[str, bool]) -> list[str | Text]:
    """Times and bytes of the hop above a node; empty if the request did not try it."""
    if at >= len(row["hops"]):
        return ["", "", ""]
    times_ms = [row[column][at] for column in HOP_COLUMNS]
    texts = f"{row['hop_prompt_bytes'][at]:,} / {row['hop_answer_bytes'][at]:,}"
    return [
        *("" if ms is None else if_valid(f"{ms:.1f}", faithful["latency"]) for ms in times_ms),
        if_valid(texts, faithful["bytes"]),
    ]
