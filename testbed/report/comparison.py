"""What differs between methods, runs or sweeps: as a table, and as rows of a file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from testbed.console import widened
from testbed.report.cells import if_valid, not_valid, number, table, with_interval
from testbed.results.compare import Compared, Comparison
from testbed.results.fidelity import CLAIMS

MAX_LINES = 60
_LEAST_P = 0.001
_LATENCY_BY = {
    "requests": "by Student's t over requests, of which those that queue together count for less",
    "runs": "by Student's t over the means of the seeds",
}


def compared_table(comparison: Comparison) -> Table:
    """A line for each pair, 60 at most: the second less the first, with 95 % intervals."""
    scorer, shown = comparison.scorer, comparison.compared[:MAX_LINES]
    keys = list(dict.fromkeys(key for one in comparison.compared for key in one.settings))
    seeds = ["seeds"] if any(one.settings or one.seeds > 1 for one in comparison.compared) else []
    made = table(
        "Differences: the second less the first",
        [*(key.replace(".", ".\n") for key in keys), "first", "second"],
        [
            *seeds, "requests", f"Δ {scorer.heading}", "p", "p, all together",
            "Δ mean ms", "p", "p, all together", "prompt KB", "frames KB", "same tier",
        ],
    )  # fmt: skip
    for one in shown:
        about = [*(one.settings.get(key, "") for key in keys), one.first, one.second]
        counts = [*(str(one.seeds) for _ in seeds), str(one.requests)]
        made.add_row(*map(Text, about), *counts, *_cells(one, scorer.decimals))
    made.caption = Text("\n".join(_caption(comparison, len(shown))))
    return made


def _cells(one: Compared, decimals: int) -> list[str | Text]:
    quality, right, quick = one.quality or {}, one.faithful["quality"], one.faithful["latency"]
    difference = with_interval(quality.get("difference"), quality.get("ci"), f"+.{decimals}f")
    kilobytes = [
        f"{first / 1000:,.1f} → {second / 1000:,.1f}" for first, second in (one.prompt_bytes, one.frame_bytes)
    ]
    return [
        if_valid(difference, right),
        if_valid(_p(one.p_value), right),
        if_valid(_p(one.adjusted_p), right),
        if_valid(with_interval(one.latency_ms, one.latency_ci_ms, "+.1f"), quick),
        if_valid(_p(one.latency_p), quick),
        if_valid(_p(one.latency_adjusted_p), quick),
        if_valid(kilobytes[0], one.faithful["bytes"]),
        kilobytes[1],
        number(one.like_served, ".1%"),
    ]


def _p(value: float | None) -> str:
    return f"<{_LEAST_P}" if value is not None and value < _LEAST_P else number(value, ".3f")


def _caption(comparison: Comparison, shown: int) -> list[str]:
    compared, heading = comparison.compared, comparison.scorer.heading
    faithful: dict[str, bool] = {claim: all(one.faithful[claim] for one in compared) for claim in CLAIMS}
    by = [how for unit, how in _LATENCY_BY.items() if any(one.latency_by == unit for one in compared)]
    more, repeats = len(compared) - shown, any(one.prompts < one.requests for one in compared)
    together = "prompts repeat: requests of one prompt are taken together, so that more of them prove no more"
    return [
        *([f"{more} more lines: --out FILE.csv writes all, --methods a,b shows fewer"] if more else []),
        f"p: of no difference; Δ {heading} by {comparison.scorer.test}, "
        f"Δ mean ms {'; of several seeds '.join(by) or 'not tested'}",
        *([together] if repeats else []),
        f"p, all together: corrected for as many lines (Holm), Δ {heading} and Δ mean ms each by itself",
        "Δ mean ms: of requests that both answered; KB: over all links, first → second; "
        "same tier: share of answers that came from the same tier",
        *not_valid(faithful, "bytes", "quality", "latency"),
        *comparison.notes,
    ]


def compared_rows(comparison: Comparison) -> Sequence[Mapping[str, Any]]:
    """A row for each pair, with all that is known of it; ``settings`` are a mapping."""
    return [_row(one, comparison.scorer.key) for one in comparison.compared]


def _row(one: Compared, score: str) -> dict[str, Any]:
    quality = one.quality or {}
    low, high = quality.get("ci") or (None, None)
    low_ms, high_ms = one.latency_ci_ms or (None, None)
    return {
        "settings": one.settings, "first": one.first, "second": one.second,
        "seeds": one.seeds, "requests": one.requests, "prompts": one.prompts,
        **{f"{claim}_true": one.faithful[claim] for claim in CLAIMS},
        score: quality.get("difference"), f"{score}_low": low, f"{score}_high": high,
        f"{score}_p": one.p_value, f"{score}_p_all": one.adjusted_p,
        "latency_ms": one.latency_ms, "latency_ms_low": low_ms, "latency_ms_high": high_ms,
        "latency_p": one.latency_p, "latency_p_all": one.latency_adjusted_p, "latency_by": one.latency_by,
        "prompt_bytes_first": one.prompt_bytes[0], "prompt_bytes_second": one.prompt_bytes[1],
        "frame_bytes_first": one.frame_bytes[0], "frame_bytes_second": one.frame_bytes[1],
        "same_tier": one.like_served,
    }  # fmt: skip


def print_comparison(comparison: Comparison, console: Console) -> None:
    """Print the table; wide enough for all columns where output is not a terminal."""
    widened(console, 190).print(compared_table(comparison))
