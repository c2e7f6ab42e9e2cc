"""The table as a page that holds all it needs, and its figures as files."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from testbed.report.export import write_figures
from testbed.report.figures.claims import burden_figure, causes_figure, length_figure, window_figure
from testbed.report.figures.figure import Figure, Subject
from testbed.report.figures.frontier import frontier_figures
from testbed.report.page import render, write_page
from testbed.results.fidelity import CLAIMS as JUDGED
from testbed.results.frontier import Frontiers
from testbed.results.run import Run
from testbed.study.paper import wire
from testbed.study.paper.claims import CLAIMS, Claim, Grid
from testbed.study.paper.drawn import Drawn, estimated
from testbed.study.paper.lines import Line
from testbed.study.paper.on_ladder import OnLadder
from testbed.study.paper.options import Options
from testbed.study.paper.recorded import Values
from testbed.study.paper.table import HEADS, Table, cells, host_words

WIDTH_IN, FONT_SIZE = 3.5, 8
"""Of the figures: a paper's column, and its text."""


def write_page_and_figures(made: Table, options: Options) -> list[Path]:
    """Write ``report.html`` and ``figures/`` into the directory, and return the paths of both.

    Raises:
        TestbedError: they cannot be written.
    """
    subject = subject_of(made, options)
    page = write_page(options.out, _page(made, subject, options))
    folder = options.out / "figures"
    if subject.figures:
        write_figures(subject, WIDTH_IN, FONT_SIZE, folder=folder, command=_command(options))
        return [page, folder]
    return [page]


def subject_of(made: Table, options: Options) -> Subject:
    """What is drawn."""
    figures = [*_recorded_figures(made), *_wire_figures(made)]
    runs = [run for on in made.ladders for run in on.sweeps.get(wire.SWEPT, ())]
    faithful: dict[str, bool] = {
        claim: all(run.summary["faithful"][claim] for run in runs if claim in wire.RESTS_ON)
        for claim in JUDGED
    }
    return Subject(options.out, "table", "The paper's claims", options.out.name, figures, faithful)


def _command(options: Options) -> str:
    hub, quick = "HUB=1 " if options.hub else "", ' ARGS="--quick"' if options.quick else ""
    return f"{hub}make paper{quick}"


def _page(made: Table, subject: Subject, options: Options) -> str:
    conditions = [(line.claim, line.ladder, line.criterion) for line in made.lines]
    return render(
        "paper.html.jinja",
        subject,
        command=_command(options),
        counted=made.counted,
        heads=HEADS,
        rows=[(line.verdict.replace(" ", "-").replace("/", ""), *_shown(line)) for line in made.lines],
        ladders=list(_ladders(made)),
        phases=[(name, f"{spent / 60:.1f}") for name, spent in made.seconds.items()],
        total=f"{sum(made.seconds.values()) / 60:.1f}",
        host=host_words(),
        conditions=conditions,
        by_hand=list(dict.fromkeys(line.by_hand for line in made.lines if line.by_hand)),
        runs=[
            (options.shown(run.path), why or "true")
            for on in made.ladders
            for runs in on.sweeps.values()
            for run in runs
            for why in [wire.doubts([run])]
        ],
    )


def _shown(line: Line) -> list[str]:
    """The cells of a line; its verdict and why are apart."""
    *first, _ = cells(line)
    return [*first, line.verdict, line.why]


def _ladders(made: Table) -> Iterator[tuple[str, bool, str]]:
    """Of each ladder whether it rises, and by how much in words."""
    for on in made.ladders:
        yield on.ladder.name, bool(on.found and not on.found.lacks), on.rising


def _recorded_figures(made: Table) -> Iterator[Figure]:
    for on in made.ladders:
        if (frontier := on.frontier()) is not None:
            (figure,) = frontier_figures(Frontiers([frontier]))
            title = f"{figure.title}: {on.ladder.name}"
            yield replace(figure, name=f"frontier-{on.ladder.name}", title=title, claims=())
    for name, rows, figure_of in (
        ("recursion-pays", _burdens, burden_figure),
        ("window", _windows, window_figure),
        ("length-effect", _lengths, length_figure),
    ):
        data = _frame(made, name, rows)
        if len(data):
            yield figure_of(data)


Rows = Callable[[Claim, OnLadder, Values], Iterator[dict[str, Any]]]


def _frame(made: Table, claim: str, rows: Rows) -> pd.DataFrame:
    """The rows of all ladders on which a claim has figures."""
    (known,) = (each for each in CLAIMS if each.name == claim)
    measured = {line.ladder: line.values for line in made.lines if line.claim == claim and line.values}
    on_ladders = [on for on in made.ladders if on.ladder.name in measured]
    return pd.DataFrame([row for on in on_ladders for row in rows(known, on, measured[on.ladder.name])])


def _burdens(claim: Claim, on: OnLadder, _: Values) -> Iterator[dict[str, Any]]:
    assert isinstance(claim.evidence, Grid)
    found = on.grid(claim.evidence)
    drawn, prompts = Drawn(found), len(set(found.study.places.tolist()))
    for at, (point, _levels) in enumerate(found.served):
        value, ends = estimated(drawn.burden(at), prompts)
        beta = point.method.parameters["beta"]
        low, high = ends or (None, None)
        yield {"ladder": on.ladder.name, "beta": beta, "burden": value, "low": low, "high": high,
               "theory": beta * (1 + beta)}  # fmt: skip


def _windows(_: Claim, on: OnLadder, values: Values) -> Iterator[dict[str, Any]]:
    assert on.found is not None
    score = "BLEU" if on.found.kind == "translation" else "accuracy"
    for name, value in values.items():
        low, high = value.estimate.interval or (None, None)
        window = int(name.removeprefix("N = "))
        yield {"ladder": f"{on.ladder.name}, {score}", "window": window,
               "difference": value.estimate.value, "low": low, "high": high}  # fmt: skip


def _lengths(_: Claim, on: OnLadder, values: Values) -> Iterator[dict[str, Any]]:
    for name, value in values.items():
        low, high = value.estimate.interval or (None, None)
        yield {"ladder": on.ladder.name, "hop": name, "ratio": value.estimate.value, "low": low, "high": high}


def _wire_figures(made: Table) -> Iterator[Figure]:
    for on in made.ladders:
        runs: Sequence[Run] = on.sweeps.get(wire.SWEPT, ())
        if rows := wire.bytes_by_cause(runs):
            yield causes_figure(pd.DataFrame(rows), on.ladder.name)
