"""The chart of a metric over a key: a plot for each tier and combination of the other keys."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

import altair as alt
import pandas as pd

from testbed.report.figures.figure import source, tooltip
from testbed.report.figures.style import GAP, Style
from testbed.report.figures.sweep_data import Metric

MAX_TICKS = 8
"""Values of a key that each have a tick of their own."""
DOUBTED = "#8c8c8c"
"""Colour of the mark of a run against which a verdict speaks."""


@dataclass(frozen=True)
class Axis:
    """A key along the horizontal axis; ``numbers`` are its values, where they are numbers of one unit."""

    key: str
    words: Sequence[str]
    numbers: Sequence[float] | None
    title: str

    @property
    def log(self) -> bool:
        """Whether the values need a logarithmic axis."""
        least, most = min(self.numbers or [0]), max(self.numbers or [0])
        return least > 0 and most >= 100 * least

    def places(self, words: Sequence[str], methods: Sequence[int], of: int) -> list[float] | list[str]:
        """Where marks are drawn, those of ``of`` methods a little apart: so no interval hides another."""
        if self.numbers is None:
            return list(words)
        numbers = [math.log(number) if self.log else number for number in self.numbers]
        ordered = sorted(set(numbers))
        nearest = min((later - earlier for earlier, later in pairwise(ordered)), default=0)
        step = min((ordered[-1] - ordered[0]) / 60, nearest / (2 * of))
        scaled = dict(zip(self.words, numbers, strict=True))
        at = [scaled[word] + (n - (of - 1) / 2) * step for word, n in zip(words, methods, strict=True)]
        return [math.exp(place) for place in at] if self.log else at

    def channel(self, style: Style, width: int) -> Any:
        """The axis of a plot so wide, with ticks at its values where they are few."""
        title: str | list[str] = self.title
        if style.text_width(self.title) > width:
            parts = self.title.split(".")[-2:]
            title = [*(f"{part}." for part in parts[:-1]), parts[-1]]
        if self.numbers is None:
            slanted: dict[str, Any] = {"labelAngle": -25, "labelLimit": style.width // 3}
            widest = max(map(style.text_width, self.words)) + style.font_size
            look = slanted if widest > width / len(self.words) else {"labelAngle": 0}
            return alt.X("x:N", title=title, sort=list(self.words), axis=alt.Axis(**look))
        ticks: dict[str, Any] = {"values": list(self.numbers)} if len(self.numbers) <= MAX_TICKS else {}
        kind: Literal["log", "linear"] = "log" if self.log else "linear"
        scale = alt.Scale(type=kind, zero=False, nice=False, padding=12 * style.scale)
        return alt.X("x:Q", title=title, scale=scale, axis=alt.Axis(**ticks))


@dataclass(frozen=True)
class Marks:
    """The marks of a metric over a key. ``others`` are the other keys that vary, ``methods`` all methods."""

    metric: Metric
    frame: pd.DataFrame
    axis: Axis
    others: Sequence[str]
    methods: Sequence[str]

    def draw(self, style: Style) -> Any:
        """A plot for each tier, side by side, and each combination of the other keys, below each other."""
        drawn = self._drawn()
        tiers, combinations = (list(dict.fromkeys(drawn[name])) for name in ("tier", "combination"))
        grid, plots = len(tiers) > 1 and len(combinations) > 1, len(tiers) * len(combinations)
        columns = len(tiers) if grid else style.columns(plots)
        width = style.plot_width(columns)
        height = max(60, round(min(0.42 * style.width, (0.5 if grid else 0.7) * width)))
        layers = alt.layer(*self._layers(set(drawn.columns), style, (width, height)), data=source(drawn))
        layers = layers.properties(width=width, height=height)

        def by(channel: Any, name: str, order: Sequence[str], room: int) -> Any:
            return channel(
                f"{name}:N",
                title=None,
                sort=order,
                header=_header(style, room + GAP, max(1, len(self.others))),
            )

        of_tiers, of_combinations = ("tier", tiers), ("combination", combinations)
        if grid:
            rows, across = by(alt.Row, *of_combinations, height), by(alt.Column, *of_tiers, width)
            return layers.facet(row=rows, column=across)
        if plots > 1:
            several = by(alt.Facet, *(of_tiers if len(tiers) > 1 else of_combinations), width)
            # An axis that all share would stand below the empty places of the last row, too.
            own: Literal["independent", "shared"] = "independent" if plots % columns else "shared"
            return layers.facet(facet=several, columns=columns).resolve_axis(x=own)
        return layers

    @property
    def _shown(self) -> list[str]:
        """The methods that have marks."""
        there = set(self.frame["method"])
        return [method for method in self.methods if method in there]

    def _drawn(self) -> pd.DataFrame:
        """What the chart needs of each mark."""
        columns = ["method", "value", "low", "high", "expected", "points", "valid", "tier"]
        words = list(self.frame[self.axis.key])
        methods = [self._shown.index(method) for method in self.frame["method"]]
        return (
            self.frame[columns]
            .dropna(axis=1, how="all")
            .assign(
                at=words,
                x=self.axis.places(words, methods, len(self._shown)),
                combination=[
                    "\n".join(_setting(key, str(row[key])) for key in self.others)
                    for row in self.frame.to_dict("records")
                ],
            )
        )

    def _layers(self, there: set[str], style: Style, size: tuple[int, int]) -> Iterator[Any]:
        """Lines, intervals, marks, and hollow marks of runs against which a verdict speaks."""
        width, height = size
        of_all: dict[str, Any] = {"domain": [0, 1]} if self.metric.column == "share" else {}
        name = self.metric.axis
        title = name.split(", ") if style.text_width(name) > height else name
        scale = alt.Scale(zero=self.metric.name == "burden", **of_all)
        points = style.points_by_method(self.methods, self._shown)
        curves = style.curves_by_method(self.methods, self._shown, joining=True)

        def y(field: str) -> Any:
            return alt.Y(f"{field}:Q", title=title, scale=scale)

        line = "expected" if "expected" in there else "value"
        base = alt.Chart().encode(x=self.axis.channel(style, width))
        if self.axis.numbers is None:
            base = base.encode(xOffset=alt.XOffset("method:N", sort=list(self.methods)))
        valid = base.transform_filter("datum.valid")
        if self.axis.numbers is not None:
            yield valid.mark_line(strokeWidth=1.4 * style.scale).encode(y=y(f"mean({line})"), **curves)
        elif line == "expected":
            ticks = valid.mark_tick(thickness=1.5, width=24 * style.scale)
            yield ticks.encode(y=y(line), color=points["color"])
        if "low" in there:
            rules = valid.mark_rule(strokeWidth=1.2 * style.scale)
            yield rules.encode(y=y("low"), y2="high:Q", color=points["color"])
        form = ",.1f" if self.metric.name.startswith("latency") else ".4"
        figures = [(f"{name}:Q", form) for name in ("value", "low", "high", "expected") if name in there]
        over = [*tooltip("method:N", figures), alt.Tooltip("at:N", title=self.axis.key), "points:N"]
        marks = base.encode(y=y("value"), tooltip=over)
        look: dict[str, Any] = {"opacity": 1, "size": style.point_size(50)}
        yield marks.transform_filter("datum.valid").mark_point(filled=True, **look).encode(**points)
        hollow = marks.transform_filter("!datum.valid").mark_point(
            color=DOUBTED, strokeWidth=1.5 * style.scale, **look
        )
        yield hollow.encode(shape=points["shape"])


def _setting(key: str, value: str) -> str:
    """A key by its last two parts, and its value."""
    return f"{'.'.join(key.split('.')[-2:])}={value}"


def _header(style: Style, room: int, lines: int) -> alt.Header:
    """Headers of so many lines; where they have no room, values are on lines of their own."""
    letters = lines * int(room / style.text_width("x"))
    broken = r"join(split(datum.label, '='), '=\n')"
    return alt.Header(
        labelExpr=rf"split(length(datum.label) > {letters} ? {broken} : datum.label, '\n')", labelLimit=room
    )
