"""A sweep's page: what of it may be believed, what varied, its table, and its figures."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from testbed.report.cells import listed
from testbed.report.figures.sweep_data import SweepData, holds
from testbed.report.figures.sweep_figures import sweep_subject
from testbed.report.frontier import frontier_notes, frontier_tables
from testbed.report.page import MEANINGS, as_texts, render, write_page
from testbed.report.sweep import by_reason, missing_points, sweep_tables
from testbed.results.fidelity import CLAIMS
from testbed.results.seals import PAGE

MAX_ROWS = 2500
"""Of the table on the page: more would make it too large to open."""
MAX_VALUES = 30
"""Of a key that are named."""


def write_sweep_page(data: SweepData) -> Path:
    """Write ``report.html`` into the sweep's directory, and return its path.

    Raises:
        TestbedError: it cannot be written to.
    """
    return write_page(data.path, render_sweep_page(data))


def render_sweep_page(data: SweepData) -> str:
    """The page of a sweep, of which some points, or all, may have no figures."""
    table = as_texts(sweep_tables(replace(data, rows=data.rows[:MAX_ROWS])))
    if len(data.rows) > MAX_ROWS:
        left = f"Shown are the first {MAX_ROWS:,} of {len(data.rows):,} rows; points.csv has all."
        table["notes"] = [left, *table["notes"]]
    return render(
        "sweep.html.jinja",
        sweep_subject(data),
        points=listed_count(data),
        between=_between(data),
        claims=list(_claims(data)),
        missing=list(missing_points(data.rows)),
        varied=list(_varied(data)),
        frontiers=[as_texts(made) for made in frontier_tables(data.frontiers)],
        notes=frontier_notes(data.frontiers),
        table=table,
        links=_links(data),
    )


def listed_count(data: SweepData) -> str:
    """How many points there are, and how many of them have figures."""
    points, finished = data.rows["point"].nunique(), data.finished["point"].nunique()
    told = f"{points:,} point{'s' * (points > 1)}"
    return told if finished == points else f"{told}, {finished:,} of them finished"


def _between(data: SweepData) -> str:
    """When its points were run, and of which commits."""
    if data.finished.empty:
        return ""
    first, last = data.finished["started_at"].min(), data.finished["started_at"].max()
    commits = [str(commit) for commit in data.finished["commit"].dropna().unique()]
    told = f", commit{'s' if len(commits) > 1 else ''} {', '.join(commits)}" if commits else ""
    return f"from {first} to {last}{told}" if first != last else f"at {first}{told}"


def _claims(data: SweepData) -> Iterator[tuple[str, bool, str, list[str]]]:
    """Each claim: whether it holds everywhere, where it does in words, and what speaks against it."""
    runs = data.finished.drop_duplicates("point").to_dict("records")
    for claim in CLAIMS if runs else ():
        against = [row for row in runs if not holds(row, claim)]
        told = f"true in {'all ' if not against else f'{len(runs) - len(against)} of '}{len(runs)}"
        if len(runs) == 1:
            told = "false" if against else "true"
        reasons = by_reason((row["point"], str(row[f"{claim}_why"] or "yet to come")) for row in against)
        why = [f"{points}: {reason}" for points, reason in reasons]
        yield claim, not against, told, why or [MEANINGS[claim]]


def _varied(data: SweepData) -> Iterator[tuple[str, str]]:
    """The keys with their values, the methods and the seeds."""
    for key in data.varied:
        values = data.values(key)
        more = f" and {len(values) - MAX_VALUES} more" if len(values) > MAX_VALUES else ""
        yield key, ", ".join(values[:MAX_VALUES]) + more
    if data.methods:
        yield "methods", ", ".join(data.methods)
    repeats = int(data.rows["repeat"].max()) + 1
    runs = "each combination once" if repeats == 1 else f"each combination {repeats} times"
    yield "runs", f"{runs}, with {listed('seed', data.rows['seed'].unique())}"


def _links(data: SweepData) -> dict[str, tuple[str, str | None]]:
    """By a point's number the paths of its run and of the run's page, if there is one."""
    found = {}
    for row in data.rows.drop_duplicates("point").to_dict("records"):
        page = f"{row['run']}/{PAGE}"
        found[str(row["point"])] = (row["run"], page if (data.path / page).is_file() else None)
    return found
