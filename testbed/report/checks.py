"""A validation's and an envelope's results, as tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.markup import escape
from rich.table import Table

_STYLES = {"pass": "green", "fail": "bold red", "not run": "yellow"}


def checks_table(validation: Mapping[str, Any]) -> Table:
    """A line for each figure of ``validation.json``: expected, measured, tolerance, verdict."""
    short = ", short form" if validation["short"] else ""
    counts = validation["verdicts"]
    table = Table(
        title=f"Does the emulator tell the truth here ({validation['kernel']}{short})",
        title_justify="left",
        caption=", ".join(f"{count} {verdict}" for verdict, count in counts.items() if count),
        caption_justify="left",
    )
    table.add_column("check")
    table.add_column("figure")
    for column in ("expected", "measured"):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("tolerance")
    table.add_column("verdict", no_wrap=True)
    for check in validation["checks"]:
        _add(table, check)
    return table


def _add(table: Table, check: Mapping[str, Any]) -> None:
    name = check["name"]
    for figure in check["figures"]:
        verdict = "pass" if figure["ok"] else "fail"
        table.add_row(
            name, escape(figure["quantity"]), _shown(figure["expected"], figure["unit"]),
            _shown(figure["measured"], figure["unit"]), escape(figure["tolerance"]), _styled(verdict),
        )  # fmt: skip
        name = ""
    if not check["figures"]:
        table.add_row(name, escape(check["note"]), "", "", "", _styled(check["verdict"]))
    elif check["note"] and check["verdict"] != "pass":
        table.add_row("", escape(check["note"]))
    table.add_section()


def _styled(verdict: str) -> str:
    return f"[{_STYLES[verdict]}]{verdict.upper() if verdict == 'fail' else verdict}[/]"


def _shown(value: float | None, unit: str) -> str:
    if value is None:
        return "nothing"
    if unit == "bit/s":
        return f"{value / 1e6:.3f} Mbit/s"
    if unit == "share":
        return f"{value * 100:.2f} %"
    if isinstance(value, int) or float(value).is_integer():
        return f"{int(value):,} {unit}"
    return f"{value:,.2f} {unit}"


def envelope_table(envelope: Mapping[str, Any]) -> Table:
    """``envelope.json`` as a table: up to where each verdict holds, and what ends it."""
    title = f"Up to where each verdict holds ({len(envelope['trials'])} runs)"
    table = Table(title=title, title_justify="left")
    for column in ("", "verdict", "holds at", "fails at", "first reason"):
        table.add_column(column, justify="right" if column.endswith(" at") else "left")
    for name, brackets in envelope["brackets"].items():
        for bracket in brackets:
            holds, fails = ("-" if bracket[end] is None else str(bracket[end]) for end in ("holds", "fails"))
            table.add_row(name, bracket["claim"], holds, fails, escape(bracket["reason"]))
            name = ""
        table.add_section()
    return table
