"""Cells of a run's tables: figures as text, and what stands in place of a figure that is not valid."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence

from rich.table import Table
from rich.text import Text

from testbed.results.fidelity import Claim

NOT_VALID = "n/v"


def table(
    title: str | Text, left: Iterable[str], right: Iterable[str] = (), unwrapped: Container[str] = ()
) -> Table:
    """A table with its columns: first those of text, then those of figures, some of which never wrap."""
    made = Table(title=title, title_justify="left", caption_justify="left")
    for column in left:
        made.add_column(column)
    for column in right:
        made.add_column(column, justify="right", no_wrap=column in unwrapped)
    return made


def if_valid(cell: str | Text, valid: bool) -> str | Text:
    return cell if valid else NOT_VALID


def not_valid(faithful: Mapping[str, bool], *claims: Claim) -> list[str]:
    """What stands below a table whose cells rest on ``claims``: a line for each that does not hold."""
    reason = "may not be believed in this run, for the reasons below"
    return [f"{NOT_VALID}: {claim} {reason}" for claim in claims if not faithful[claim]]


def number(value: float | None, form: str, missing: str = "-") -> str:
    """A value in a format of its own; ``missing`` where there is none."""
    return missing if value is None else f"{value:{form}}"


def with_interval(value: float | None, ends: Sequence[float | None] | None, form: str) -> Text:
    """A value and its interval; an end that is ``None`` has no bound."""
    if value is None or ends is None:
        return Text(number(value, form))
    low, high = (number(end, form, missing="∞") for end in ends)
    return Text(f"{value:{form}} [{low}, {high}]")
