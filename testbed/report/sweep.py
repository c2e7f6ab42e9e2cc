"""A sweep's table on a terminal and on its page, and what speaks against its points."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Any

import pandas as pd
from rich.console import Console
from rich.table import Table
from rich.text import Text

from testbed.console import widened
from testbed.report.cells import NOT_VALID, listed, table, with_interval
from testbed.report.figures.sweep_data import SweepData, holds
from testbed.results.scorers import DECIMALS, HEADINGS

STATUSES = ("failed", "damaged", "waiting")
"""Of points without figures."""
MAX_REASONS = 5
"""Of failed points, or of points against which a verdict speaks, that are told."""


def sweep_tables(data: SweepData) -> Table:
    """A line for each point and method: what varies, its score, burden and latency."""
    heading = HEADINGS[data.score] if data.score else "score"
    served = "served by " + "/ ".join(data.tiers)  # may wrap at a space
    figures = [f"{heading} [95 % CI]", "prompt KB", "burden", served, "p50 ms", "p95 ms", "errors"]
    keys = [key.replace(".", ".\n") for key in data.varied]
    made = table("Sweep", ["point", *keys, "seed", "method"], figures, unwrapped=figures[:1])
    for row in data.rows.to_dict("records"):
        about = [str(row["point"]), *(str(row[key]) for key in data.varied), str(row["seed"])]
        if row["status"] == "finished":
            made.add_row(*about, str(row["method"]), *_cells(row, data))
        else:
            made.add_row(*about, Text(row["status"], "" if row["status"] == "waiting" else "bold red"))
    made.caption = Text(f"{NOT_VALID}: a verdict of the run speaks against it, or is yet to come")
    return made


def missing_points(rows: pd.DataFrame) -> Iterator[tuple[str, str, str]]:
    """The points without figures: a status, which points, and why."""
    for status in STATUSES:
        reasons = [
            (row["point"], row["error"] if isinstance(row["error"], str) else "")
            for row in rows[rows["status"] == status].to_dict("records")
        ]
        for points, why in by_reason(reasons):
            yield status, points, why


def by_reason(reasons: Iterable[tuple[int, str]]) -> Iterator[tuple[str, str]]:
    """Which points have each reason, in words; beyond some reasons without them."""
    points: dict[str, list[int]] = defaultdict(list)
    for point, why in reasons:
        points[why].append(point)
    groups = list(points.items())
    for why, numbers in groups[:MAX_REASONS]:
        yield listed("point", numbers), why
    if rest := [number for _, numbers in groups[MAX_REASONS:] for number in numbers]:
        yield listed("point", rest), "points.csv says why"


def _cells(row: dict[Any, Any], data: SweepData) -> list[str | Text]:
    quality: str | Text = "-"
    if data.score is not None and not pd.isna(row[data.score]):
        ends = [row[f"{data.score}_low"], row[f"{data.score}_high"]]
        known = None if any(map(pd.isna, ends)) else [float(end) for end in ends]
        quality = with_interval(float(row[data.score]), known, f".{DECIMALS[data.score]}f")
    burden, served = row["burden_vs_cloud_only"], [row[f"served_by_{tier}"] for tier in data.tiers]
    believed = {claim: holds(row, claim) for claim in ("quality", "bytes", "latency")}
    return [
        quality if believed["quality"] else NOT_VALID,
        f"{row['prompt_bytes'] / 1000:,.1f}" if believed["bytes"] else NOT_VALID,
        ("-" if pd.isna(burden) else f"{burden:.3f}") if believed["bytes"] else NOT_VALID,
        "/".join("-" if pd.isna(count) else str(int(count)) for count in served),
        *(
            ("-" if pd.isna(row[ms]) else f"{row[ms]:,.0f}") if believed["latency"] else NOT_VALID
            for ms in ("latency_p50_ms", "latency_p95_ms")
        ),
        str(int(row["requests"]) - int(row["answered"])),
    ]


def print_sweep(data: SweepData, console: Console) -> None:
    """Print which points have no figures, and the table; wide enough where output is not a terminal."""
    for status, told, why in missing_points(data.rows):
        console.print(Text(f"{status}: {told}{why and ': '}{why}"), soft_wrap=True)
    widened(console, 150).print(sweep_tables(data))
