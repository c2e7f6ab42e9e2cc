"""A validation's and an envelope's results, as tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.markup import escape
from rich.table import Table

from testbed.report.cells import table

_STYLES = {"pass": "green", "fail": "bold red", "not run": "yellow"}


def checks_table(validation: Mapping[str, Any]) -> Table:
    """A line for each figure of ``validation.json``: expected, measured, tolerance, verdict."""
    short = ", short form" if validation["short"] else ""
    counts = validation["verdicts"]
    title = f"Does the emulator tell the truth here ({validation['kernel']}{short})"
    figures = ["expected", "measured"]
    made = table(title, ["check", "figure"], figures, unwrapped=figures)
    made.caption = ", ".join(f"{count} {verdict}" for verdict, count in counts.items() if count)
    made.add_column("tolerance")
    made.add_column("verdict", no_wrap=True)
    for check in validation["checks"]:
        _add(made, check)
    return made


def _add(made: Table, check: Mapping[str, Any]) -> None:
    name = check["name"]
    for figure in check["figures"]:
        verdict = "pass" if figure["ok"] else "fail"
        made.add_row(
            name, escape(figure["quantity"]), _shown(figure["expected"], figure["unit"]),
            _shown(figure["measured"], figure["unit"]), escape(figure["tolerance"]), _styled(verdict),
        )  # fmt: skip
        name = ""
    if not check["figures"]:
        made.add_row(name, escape(check["note"]), "", "", "", _styled(check["verdict"]))
    elif check["note"] and check["verdict"] != "pass":
        made.add_row("", escape(check["note"]))
    made.add_section()


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
    made = table(title, ["", "verdict"], ["holds at", "fails at"])
    made.add_column("first reason")
    for name, brackets in envelope["brackets"].items():
        for bracket in brackets:
            holds, fails = ("-" if bracket[end] is None else str(bracket[end]) for end in ("holds", "fails"))
            made.add_row(name, bracket["claim"], holds, fails, escape(bracket["reason"]))
            name = ""
        made.add_section()
    return made
