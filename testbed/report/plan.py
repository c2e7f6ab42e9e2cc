"""What comparisons need, as a table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from rich.console import Console
from rich.table import Table
from rich.text import Text

from testbed.console import widened
from testbed.report.cells import table
from testbed.scenario.reading.units import duration


class Line(Protocol):
    """One comparison: what is known of it, what is to be seen, and what that takes."""

    @property
    def what(self) -> str: ...
    @property
    def effect(self) -> str: ...
    @property
    def requests(self) -> int: ...
    @property
    def seconds(self) -> float: ...
    @property
    def prompts(self) -> int: ...
    @property
    def of_run(self) -> int: ...
    @property
    def repeat(self) -> int | None: ...
    @property
    def repeat_seconds(self) -> float | None: ...


def plan_table(lines: Sequence[Line], power: float) -> Table:
    """A line for each comparison: as one run, or as runs of the scenario's own size with other seeds."""
    of_run, prompts = lines[0].of_run, lines[0].prompts
    columns = ["requests", "time of one run here", f"or runs of {of_run:,}: --repeat", "their time here"]
    made = table(
        f"Requests that an effect needs, to be seen in {power:.0%} of runs", ["known", "to be seen"], columns
    )
    for line in lines:
        repeat = "-" if line.repeat is None else f"{line.repeat:,}"
        repeat_time = "-" if line.repeat_seconds is None else duration(line.repeat_seconds)
        one = f"{line.requests:,}", duration(line.seconds)
        made.add_row(Text(line.what), line.effect, *one, repeat, repeat_time)
    caption = [
        "requests: under each of the two methods, the same for both; at the level of 5 %",
        "--repeat: of testbed sweep, each run with another seed. Seeds draw some prompts again, which tells "
        "nothing new of answers; how much latencies vary from run to run, one run cannot show",
    ]
    if any(line.requests > prompts for line in lines):
        caption.append(
            f"traces have {prompts:,} different prompts; beyond them prompts repeat, which tells nothing new"
        )
    if any(line.repeat is None for line in lines):
        caption.append("-: no number of such runs is enough; take more prompts, or a larger effect")
    made.caption = Text("\n".join(caption))
    return made


def print_plan(lines: Sequence[Line], power: float, console: Console) -> None:
    """Print the table; wide enough for all columns where output is not a terminal."""
    widened(console, 150).print(plan_table(lines, power))
