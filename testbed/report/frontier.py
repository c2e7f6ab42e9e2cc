"""Quality against burden as tables: points, quality at equal bytes, and bytes at equal quality."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from testbed.console import widened
from testbed.report.cells import between, number, table, with_interval
from testbed.results.frontier import SHARES, Difference, Frontier, Frontiers
from testbed.results.statistics import Estimate, interval_to_json


def frontier_tables(found: Frontiers, *, points: bool = True) -> list[Table]:
    """The tables of each frontier: its points (unless they stand elsewhere), and what is compared of them."""
    tables = []
    for one in found.frontiers:
        tables += [points_table(one)] if points else []
        tables += [at_table(one), *differences_tables(one)]
    return tables


def points_table(one: Frontier) -> Table:
    """A line for each operating point, by method and burden."""
    columns = ["prompt KB", "burden [95 % CI]", f"{one.heading} [95 % CI]"]
    made = table(_title("Quality against burden", one), ["method", "setting"], columns)
    for curve in one.curves:
        if curve.by_lot:
            continue
        for point in curve.points:
            made.add_row(
                curve.method,
                point.label,
                f"{point.prompt_bytes / 1000:,.1f}",
                _estimate(point.burden, ".3f"),
                _estimate(point.quality, f".{one.decimals}f"),
            )
    made.caption = Text("\n".join([
        "burden: prompt bytes on all links over cloud-only's, of the requests that both answered",
        _how(one),
    ]))  # fmt: skip
    return made


def at_table(one: Frontier) -> Table:
    """A line for each method of several points: its quality at each share of cloud-only's bytes."""
    columns = [f"{one.heading} at {share:.0%} [95 % CI]" for share in SHARES]
    made = table(_title("Quality at shares of cloud-only's bytes", one), ["method"], columns)
    reasons = []
    for method in dict.fromkeys(each.method for each in one.at):
        cells = [each for each in one.at if each.method == method]
        made.add_row(method, *(_estimate(each.quality, f".{one.decimals}f") for each in cells))
        reasons += [f"{each.share:.0%}: {each.why}" for each in cells if each.why]
    made.caption = Text("\n".join([
        "between two settings by a straight line: using each for some of the requests, by lot, has that",
        *reasons,
    ]))  # fmt: skip
    return made


def differences_tables(one: Frontier) -> list[Table]:
    """What each method has over each other one: in quality at equal bytes, in bytes at equal quality."""
    score = f".{one.decimals}f"
    tables = []
    for kind, title, form in (
        ("quality", f"Differences in {one.heading} at equal bytes", score),
        ("bytes", f"Differences in bytes at equal {one.heading}", ".1%"),
    ):
        if lines := [line for line in one.differences if line.kind == kind]:
            tables.append(_differences(_title(title, one), lines, form))
    if tables:
        tables[-1].caption = Text("\n".join([*_reasons(one), *_how_compared(one)]))
    return tables


def _differences(title: str, lines: Sequence[Difference], form: str) -> Table:
    columns = ["first → second", "Δ [95 % CI]", "Δ all together", "p", "p, all together"]
    made = table(title, ["first", "second", "at"], columns)
    for line in lines:
        about = [line.first, line.second, f"{line.share:.0%}"]
        values = "-" if line.values is None else " → ".join(f"{value:{form}}" for value in line.values)
        together = interval_to_json(line.together)
        made.add_row(
            *about,
            values,
            with_interval(line.difference, interval_to_json(line.interval), f"+{form}"),
            "-" if together is None else between(together, f"+{form}"),
            number(line.p_value, ".4f"),
            number(line.adjusted_p, ".4f"),
        )
    return made


def _reasons(one: Frontier) -> list[str]:
    """Why lines have no figures."""
    return [
        f"-: {line.first} and {line.second} at {line.share:.0%}: {line.why}"
        for line in one.differences
        if line.kind == "bytes" and line.why
    ]


def _how_compared(one: Frontier) -> list[str]:
    lines = sum(line.p_value is not None for line in one.differences)
    together = [
        f"all together: the {lines} lines of both tables; intervals that hold together with 95 % (Beran, "
        "1988),",
        "and p corrected by Holm (1979)",
    ]
    return [
        "Δ: the second less the first; at: of cloud-only's bytes. First → second: what is compared; of bytes "
        "the least shares",
        f"of cloud-only's at which each has the {one.heading} that the first has there. ∞: beyond a curve's "
        "ends",
        *(together if lines else []),
        _how(one),
    ]


def _how(one: Frontier) -> str:
    seeds = f" of {len(one.seeds)} seeds" if len(one.seeds) > 1 else ""
    return (
        f"intervals: {one.requests:,} requests{seeds}, {one.prompts:,} prompts, which are resampled with all "
        "their requests, the same for all; none of fewer than 10, or where no resample differs"
    )


def _title(what: str, one: Frontier) -> str:
    return ", ".join(filter(None, [what, _condition(one)]))


def _condition(one: Frontier) -> str:
    return ", ".join(f"{key}={value}" for key, value in one.condition.items())


def _estimate(estimate: Estimate | None, form: str) -> Text:
    if estimate is None:
        return Text("-")
    return with_interval(estimate.value, interval_to_json(estimate.interval), form)


def print_frontiers(found: Frontiers, console: Console, *, points: bool = True) -> None:
    """Print the tables, and below them what was left out."""
    wide = widened(console, 170)
    for made in frontier_tables(found, points=points):
        wide.print(made)
    for note in frontier_notes(found):
        console.print(note, highlight=False, markup=False)


def frontier_notes(found: Frontiers) -> list[str]:
    """What was left out and why, in sentences; with its condition, if it is not so at all of them."""
    notes = [
        note if all(note in other.notes for other in found.frontiers) else f"{_condition(one)}: {note}"
        for one in found.frontiers
        for note in one.notes
    ]
    return list(dict.fromkeys([*notes, *found.notes]))
