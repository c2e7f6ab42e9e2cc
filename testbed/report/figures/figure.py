"""A figure: its data, what it says in a sentence, and the chart that draws it in any style."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import altair as alt
import pandas as pd

from testbed.report.figures.style import Style
from testbed.results.fidelity import Claim


@dataclass(frozen=True)
class Figure:
    """One figure of a run or of a sweep.

    Attributes:
        name: of its files.
        title: a heading of a few words.
        says: what is to be seen, with units; the caption.
        claims: the verdicts that its data rest on.
        data: one row for each mark, the columns with units in their names; the CSV beside the figure.
        draw: the chart in a style.
        doubted: which marks may not be believed, in a sentence, in a figure of several runs. There, each run
            has verdicts of its own, and the figure as a whole is not greyed.
    """

    name: str
    title: str
    says: str
    claims: tuple[Claim, ...]
    data: pd.DataFrame
    draw: Callable[[Style], Any]
    doubted: str = ""

    def doubts(self, faithful: Mapping[str, bool]) -> list[Claim]:
        """The claims among its own that do not hold in a run."""
        return [claim for claim in self.claims if not faithful[claim]]

    def warning(self, faithful: Mapping[str, bool]) -> str:
        """What may not be believed of the figure, in a sentence; empty if all may."""
        doubts = self.doubts(faithful)
        grey = f"Drawn in grey: the verdict on {' and on '.join(doubts)} is false." if doubts else ""
        return " ".join(filter(None, (grey, self.doubted)))

    def chart(self, style: Style, faithful: Mapping[str, bool]) -> Any:
        """The finished chart; greyed, with the reason as title, where a verdict speaks against its data."""
        doubts = self.doubts(faithful)
        chart = self.draw(style.of_claims(bool(doubts)))
        if doubts:
            chart = chart.properties(
                title=f"not valid: {' and '.join(doubts)} may not be believed in this run"
            )
        return style.finish(chart)

    def spec(self, style: Style, faithful: Mapping[str, bool]) -> dict[str, Any]:
        """The finished chart as Vega-Lite has it, for a page or a file."""
        spec: dict[str, Any] = self.chart(style, faithful).to_dict(validate=False)
        for rows in spec["datasets"].values():
            for row in rows:
                row |= {name: None for name, value in row.items() if value != value}  # JSON has no NaN
        return spec


@dataclass(frozen=True)
class Subject:
    """A run, a sweep, a what-if or a table of claims, with its figures.

    Attributes:
        path: its directory, or that of its figures.
        kind: which of these.
        name: its scenario's.
        words: what tells it from others, for a line beside a figure.
        faithful: the verdicts on all figures; each holds for a sweep, whose runs have verdicts of their own.
        early: what ended a run early, in a sentence.
    """

    path: Path
    kind: Literal["run", "sweep", "what-if", "table"]
    name: str
    words: str
    figures: Sequence[Figure]
    faithful: Mapping[str, bool]
    early: str = ""


def tooltip(name: str, figures: Sequence[tuple[str, str]]) -> list[Any]:
    """What is shown over a mark: a name, and figures in formats of their own."""
    return [name, *(alt.Tooltip(field, format=form) for field, form in figures)]


def source(frame: pd.DataFrame) -> pd.DataFrame:
    """The rows of a frame for a chart, without its index.

    Numbers have six digits, which is more than a pixel shows. Altair copies a frame far quicker than rows.
    """
    cells = {str(name): [_value(value) for value in column] for name, column in frame.items()}
    return pd.DataFrame(cells, dtype=object)


def _value(value: Any) -> Any:
    if value is None or (isinstance(value, float) and value != value) or value is pd.NA:
        return None
    if isinstance(value, float):
        return float(f"{value:.6g}")
    return value.item() if hasattr(value, "item") else value
