"""What is left to read of a run or a sweep: tables on the terminal, the page, and figures as files."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from testbed.commands.arguments import shown
from testbed.commands.ended import require_points, told_first
from testbed.commands.expected import Expect, read_expectations, require_expected
from testbed.errors import TestbedError

if TYPE_CHECKING:
    from testbed.report.figures.figure import Subject
    from testbed.report.figures.sweep_data import SweepData
    from testbed.results.directory import RunDirectory
    from testbed.results.expectation import Expectation
    from testbed.results.run import Run
    from testbed.study.sweep.directory import SweepDirectory

WIDTH_IN, FONT_SIZE = 3.5, 8
"""Of figures: a paper's column, and its text."""
Width = Annotated[
    float | None,
    typer.Option(
        min=1, max=20, help=f"Width of the figures, in inches: a paper's column, {WIDTH_IN}, by default."
    ),
]
FontSize = Annotated[
    int | None, typer.Option(min=4, max=24, help=f"Size of their text, in points; {FONT_SIZE} by default.")
]


def report(
    what: Annotated[
        Path, typer.Argument(metavar="RUN | SWEEP", help="Directory of a run or a sweep.", show_default=False)
    ],
    page: Annotated[bool, typer.Option("--page", help="Write report.html into the directory.")] = False,
    figures: Annotated[
        bool, typer.Option("--figures", help="Write figures as PDF, SVG and PNG, each with its CSV.")
    ] = False,
    width: Width = None,
    font_size: FontSize = None,
    expect: Expect = None,
) -> None:
    """Print the tables of a run or of a sweep. Exit status 1 if a file has changed since.

    So it is if a run ended early or is not as --expect has it, or if a point of a sweep failed.
    """
    from testbed.study.sweep.directory import is_sweep

    style = style_of(figures, width, font_size)
    if is_sweep(what):
        if expect:
            raise TestbedError("--expect: is of a run; name one of the sweep's")
        _report_sweep(what, page, style)
    else:
        _report_run(what, page, style, expect)


def style_of(figures: bool, width_in: float | None, font_size: int | None) -> tuple[float, int] | None:
    """Width and size of text of figures; ``None`` if none are asked for.

    Raises:
        TestbedError: one of them is given, and no figures are asked for.
    """
    for option, value in (("--width", width_in), ("--font-size", font_size)):
        if value is not None and not figures:
            raise TestbedError(f"{option}: is about figures; add --figures")
    return (width_in or WIDTH_IN, font_size or FONT_SIZE) if figures else None


def _report_run(
    path: Path, page: bool, style: tuple[float, int] | None, expect: Sequence[str] | None
) -> None:
    from testbed.results.directory import RunDirectory
    from testbed.results.run import Run

    directory = RunDirectory.open(path)
    expected = read_expectations(expect, Run(directory).scenario) if expect else []
    with told_first(directory):
        _print_run(directory, page, style, expected)


def _print_run(
    directory: RunDirectory, page: bool, style: tuple[float, int] | None, expected: Sequence[Expectation]
) -> None:
    show_run(directory)
    draw_run(directory, page=page, style=style)
    if broken := directory.broken_seals():
        others = f" and {len(broken) - 1} more files" if len(broken) > 1 else ""
        raise TestbedError(f"{directory.path}: {broken[0]}{others}: do not rely on what is printed above")
    require_expected(expected, directory)


def show_run(directory: RunDirectory, *, brief: bool = False) -> None:
    """Print a run's tables, or the chief ones and how to see all, and where it is."""
    from testbed.report.tables import print_run

    print_run(directory, Console(), brief=brief)
    if brief:
        typer.echo(
            f"links, tiers, thresholds, theory: testbed report {shlex.quote(str(shown(directory.path)))}"
        )
    typer.echo(f"run directory: {shown(directory.path)}")


def write_page(run: Run) -> Path:
    """Write a run's page, and return its path."""
    from testbed.report.run_page import write_run_page

    return write_run_page(run)


def draw_run(directory: RunDirectory, *, page: bool, style: tuple[float, int] | None = None) -> None:
    """Write the page, and figures of a width and a size of text, and say where they are."""
    from testbed.results.run import Run

    run = Run(directory)
    with directory.understood():
        if page:
            typer.echo(f"page: {shown(write_page(run))}")
        if style:
            from testbed.report.figures.run_figures import run_subject

            draw_figures(run_subject(run), style)


def _report_sweep(path: Path, page: bool, style: tuple[float, int] | None) -> None:
    from testbed.study.sweep.directory import SweepDirectory

    data = show_sweep(SweepDirectory.open(path))
    draw_sweep(data, page=page, style=style)
    require_points(data.path, data.rows)


def show_sweep(directory: SweepDirectory) -> SweepData:
    """Print a sweep's tables, and return the sweep as its page and figures need it."""
    from testbed.report.figures.sweep_data import SweepData
    from testbed.report.frontier import print_frontiers
    from testbed.report.sweep import print_sweep
    from testbed.study.sweep.frontier import frontiers_of
    from testbed.study.sweep.table import sweep_table

    name, console = Path(directory.description["scenario"]).stem, Console()
    data = SweepData(directory.path, name, sweep_table(directory), frontiers_of(directory))
    print_sweep(data, console)
    print_frontiers(data.frontiers, console)
    typer.echo(f"sweep: {shown(directory.path)} (points.parquet, points.csv)")
    return data


def draw_sweep(data: SweepData, *, page: bool, style: tuple[float, int] | None = None) -> None:
    """Write a sweep's page, and figures of a width and a size of text, and say where they are."""
    if page:
        from testbed.report.sweep_page import write_sweep_page

        typer.echo(f"page: {shown(write_sweep_page(data))}")
    if style:
        from testbed.report.figures.sweep_figures import sweep_subject

        draw_figures(sweep_subject(data), style)


def draw_figures(
    subject: Subject, style: tuple[float, int], folder: Path | None = None, command: str | None = None
) -> None:
    """Write the figures, and say where they are; the command is ``testbed report`` if none is given."""
    from testbed.report.export import write_figures

    written = write_figures(subject, *style, folder=folder, command=command)
    typer.echo(f"figures: {shown(written[-1].parent)} ({len(written)} files)")
