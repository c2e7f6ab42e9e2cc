"""The tables of ``testbed what-if``: a line for each point; and predictions beside what a run measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Table
from rich.text import Text

from testbed.report.cells import NOT_VALID, number, table, with_interval
from testbed.results.scorers import Scorer

Figures = Mapping[str, Any]


def points_table(title: str, points: Sequence[Figures], tiers: Sequence[str], scorer: Scorer) -> Table:
    """A line for each point; ``tiers`` lowest first. Columns are those of the file, put in words."""
    keys = list(dict.fromkeys(key for figures in points for key in figures["settings"]))
    scored = any(scorer.key in figures for figures in points)
    score = [f"{scorer.heading} [95 % CI]", "by lot", "Δ vs lot [95 % CI]"] if scored else []
    lower = "/ ".join(tiers[:-1])  # headings may wrap at a space
    columns = [
        *score,
        "served by " + "/ ".join(tiers),
        f"share up from {lower}",
        f"prompt KB up from {lower}",
    ]
    columns += ["burden", "vs direct", "paper's"]
    made = table(title, ["method", *keys], columns, unwrapped=score)
    for figures in points:
        made.add_row(
            figures["method"],
            *(_setting(figures["settings"].get(key)) for key in keys),
            *(_score(figures, scorer) if scored else ()),
            "/".join(str(figures[f"served_by_{tier}"]) for tier in tiers),
            "/".join(f"{figures[f'share_up_{tier}']:.3f}" for tier in tiers[:-1]),
            "/".join(f"{figures[f'prompt_bytes_{tier}'] / 1000:,.1f}" for tier in tiers[:-1]),
            number(figures["burden_vs_cloud_only"], ".3f"),
            number(figures["burden_vs_direct_cloud"], ".3f"),
            number(figures["burden_paper_vs_cloud_only"], ".3f"),
        )
    made.caption = Text(
        "by lot: the same numbers of requests for each tier, drawn at random, on average; "
        "share up: of all requests\n"
        "burden: prompt bytes on all links over cloud-only's; vs direct: over cloud-only's counted once; "
        "paper's: burden_paper_vs_cloud_only"
    )
    return made


def _score(figures: Figures, scorer: Scorer) -> list[Text]:
    form, key = f".{scorer.decimals}f", scorer.key
    return [
        with_interval(figures[key], _ends(figures, key), form),
        Text(number(figures[f"{key}_by_lot"], form)),
        with_interval(figures[f"{key}_vs_lot"], _ends(figures, f"{key}_vs_lot"), f"+{form}"),
    ]


def _ends(figures: Figures, key: str) -> list[float] | None:
    low, high = figures[f"{key}_low"], figures[f"{key}_high"]
    return None if low is None else [low, high]


def _setting(value: Any) -> str:
    return "" if value is None else str(value)


def beside_table(title: str, pairs: Sequence[tuple[Figures, Figures]], tiers: Sequence[str]) -> Table:
    """Two lines for each method: what was predicted, and what a run of it measured."""
    columns = ["served by " + "/ ".join(tiers), "answered elsewhere"]
    columns += [f"{text} bytes on {tier}'s hop" for tier in tiers[:-1] for text in ("prompt", "answer")]
    columns += ["score", "burden", "vs direct", "paper's"]
    made = table(title, ["method", ""], columns)
    for predicted, measured in pairs:
        for what, figures in (("predicted", predicted), ("measured", measured)):
            made.add_row(predicted["method"] if what == "predicted" else "", what, *_beside(figures, tiers))
    made.caption = Text(
        "answered elsewhere: requests that another tier answered than predicted, or none.\n"
        "Prompt bytes are equal where the run was in lockstep, its tiers have the "
        "answers of the prediction, and nothing failed\n"
        f"{NOT_VALID}: may not be believed; the verdicts of the run say why"
    )
    return made


def _beside(figures: Figures, tiers: Sequence[str]) -> list[str]:
    return [
        "/".join(str(figures[f"served_by_{tier}"]) for tier in tiers),
        number(figures.get("elsewhere"), "d", missing=""),
        *(
            number(figures[f"{text}_bytes_{tier}"], ",", missing=NOT_VALID)
            for tier in tiers[:-1]
            for text in ("prompt", "answer")
        ),
        *(
            number(figures[name], ".3f", missing=NOT_VALID if name in figures.get("not_valid", ()) else "-")
            for name in (
                "score",
                "burden_vs_cloud_only",
                "burden_vs_direct_cloud",
                "burden_paper_vs_cloud_only",
            )
        ),
    ]
