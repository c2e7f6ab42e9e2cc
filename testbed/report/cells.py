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
    reason = "may not be believed; the verdicts of the run say why"
    return [f"{NOT_VALID}: {claim} {reason}" for claim in claims if not faithful[claim]]


def number(value: float | None, form: str, missing: str = "-") -> str:
    """A value in a format of its own; ``missing`` where there is none."""
    return missing if value is None else f"{value:{form}}"


def with_interval(value: float | None, ends: Sequence[float | None] | None, form: str) -> Text:
    """A value and its interval; an end that is ``None`` has no bound."""
    if value is None or ends is None:
        return Text(number(value, form))
    return Text(f"{value:{form}} {between(ends, form)}")


def between(ends: Sequence[float | None], form: str) -> str:
    """Both ends of an interval; one that is ``None`` has no bound."""
    low, high = ends
    return f"[{number(low, form, missing='-∞')}, {number(high, form, missing='∞')}]"


def listed(noun: str, numbers: Iterable[int], most: int = 8) -> str:
    """Numbers of things in words, such as ``points 1 to 4, 7``; neighbours as ranges, ``most`` at most."""
    ranges: list[list[int]] = []
    for number in sorted(numbers):
        if ranges and number == ranges[-1][-1] + 1:
            ranges[-1].append(number)
        else:
            ranges.append([number])
    texts = [f"{one[0]} to {one[-1]}" if len(one) > 2 else ", ".join(map(str, one)) for one in ranges[:most]]
    left = sum(map(len, ranges[most:]))
    many = sum(map(len, ranges)) > 1
    return f"{noun}{'s' if many else ''} {', '.join(texts)}{f' and {left} more' if left else ''}"
