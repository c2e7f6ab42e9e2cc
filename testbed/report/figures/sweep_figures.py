"""The figures of a sweep: each metric over each key that varies, a curve for each method."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import product

import pandas as pd

from testbed.report.cells import listed
from testbed.report.figures.figure import Figure, Subject
from testbed.report.figures.frontier import frontier_figures
from testbed.report.figures.run_data import spread
from testbed.report.figures.sweep_chart import Axis, Marks
from testbed.report.figures.sweep_data import Metric, SweepData, doubted_points, marks, measured
from testbed.results.fidelity import CLAIMS

MAX_PLOTS = 8
"""Combinations of the other keys, each with plots of its own."""
MAX_MARKS = 300
"""Of a figure, so that a page of many points stays small."""


def sweep_subject(data: SweepData) -> Subject:
    """A sweep with its figures."""
    words = f"sweep {data.path.name} of {data.name}"
    figures = [*frontier_figures(data.frontiers), *sweep_figures(data)]
    return Subject(data.path, "sweep", data.name, words, figures, dict.fromkeys(CLAIMS, True))


def sweep_figures(data: SweepData) -> list[Figure]:
    """All figures for which the sweep has data, in the order of the page."""
    varying = [key for key in data.varied if len(data.values(key)) > 1]
    if data.finished.empty:
        return []
    made = []
    for metric in data.metrics():
        frame = marks(data, metric)
        if len(frame):
            made += [_over(data, metric, frame, key, varying) for key in varying]
    return made


def _axis(data: SweepData, key: str) -> Axis:
    words = data.values(key)
    numbers, unit = measured(words) or (None, "")
    return Axis(key, words, numbers, f"{key}, {unit}" if unit else key)


def _over(data: SweepData, metric: Metric, frame: pd.DataFrame, key: str, varying: Sequence[str]) -> Figure:
    axis = _axis(data, key)
    others = [other for other in varying if other != key]
    shown, told = _shown(data, metric, frame, axis, others)
    return Figure(
        name=f"{metric.name}-over-{_file_name(key, varying)}",
        title=f"{metric.title}, over {key}",
        says=" ".join([_says(data, metric), *told]),
        claims=metric.claims,
        data=shown.rename(columns={"value": metric.column}).replace("", None).dropna(axis=1, how="all"),
        draw=Marks(metric, shown, axis, others, data.methods).draw,
        doubted=_doubted(data, metric),
    )


def _says(data: SweepData, metric: Metric) -> str:
    """What is to be seen, what a mark and its interval are, and how many figures there are not."""
    first = metric.panels[0]
    if first.expected:
        many = "so many requests" if first.expected.endswith("_expected") else "very many requests"
        said = ["Share of all requests that each hop passed on.", f"Lines: what is expected of {many}."]
    else:
        what = "Share of all requests that each tier answered" if first.tier else f"{metric.title}, by method"
        said = [f"{what}.", "Lines join means."]
    if data.over_repeats:
        said.append(
            "A mark is the mean over the runs of a combination, with Student's 95 % interval over them."
        )
    else:
        own = "" if metric.name == "burden" else ", with its own 95 % interval"
        said.append(f"A mark is a run{own}.")
    said.append("Methods stand a little apart.")
    there = data.finished[first.column].notna()
    if metric.claims == ("latency",) and not there.all():
        said.append(
            f"{len(there) - there.sum()} of {len(there)} are missing: too few requests, or unanswered ones."
        )
    return " ".join(said)


def _doubted(data: SweepData, metric: Metric) -> str:
    """Which marks a verdict speaks against."""
    points = doubted_points(data, metric.claims)
    claims = " and on ".join(metric.claims)
    where = listed("point", points)
    return f"Hollow grey marks: the verdict on {claims} does not hold at {where}." if points else ""


def _shown(
    data: SweepData, metric: Metric, frame: pd.DataFrame, axis: Axis, others: Sequence[str]
) -> tuple[pd.DataFrame, list[str]]:
    """The marks that the figure has room for, and what is left out, in sentences."""
    combinations = list(product(*(data.values(other) for other in others)))
    room = MAX_MARKS // (len(metric.panels) * len(data.methods))
    values = [axis.words[at] for at in spread(len(axis.words), max(2, room))]
    plots = max(1, min(MAX_PLOTS, room // len(values)))
    kept = [combinations[at] for at in spread(len(combinations), plots)]
    told = [
        f"Shown are {len(there)} of {len(of):,} {what}; points.csv has all."
        for there, of, what in (
            (kept, combinations, "combinations of the other values"),
            (values, axis.words, f"values of {axis.key}"),
        )
        if len(there) < len(of)
    ]
    fits = [
        row[axis.key] in values and tuple(row[other] for other in others) in kept
        for row in frame.to_dict("records")
    ]
    return frame[fits], told


def _file_name(key: str, varying: Sequence[str]) -> str:
    """A key as part of a file's name: its last two parts, or all where another key has the same."""
    short = {other: other.split(".")[-2:] for other in varying}
    parts = short[key] if list(short.values()).count(short[key]) == 1 else [key]
    return re.sub(r"[^a-z0-9]+", "-", "-".join(parts).casefold()).strip("-")
