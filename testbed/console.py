"""Shows the progress of a run: bars on a terminal, otherwise a line for each step.

Progress goes to standard error; standard output is for results.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
)

Count = Callable[[int, int], None]
"""Called with how many are done, and of how many."""


def widened(console: Console, columns: int) -> Console:
    """The console; if it is no terminal at least so wide, that tables in files and pipes do not wrap."""
    if not console.is_terminal:
        console.width = max(console.width, columns)
    return console


class Reporter:
    """Prints the steps of what is going on, and the progress of each."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(stderr=True, highlight=False)
        self._started_s = time.monotonic()

    def say(self, text: str) -> None:
        """Print one line, with the time since the start."""
        elapsed_s = time.monotonic() - self._started_s
        with suppress(OSError):  # the terminal may be gone, and the run must still clean up
            self.console.print(f"[dim]{elapsed_s:6.1f} s[/dim]  {escape(text)}", soft_wrap=True)

    @contextmanager
    def counting(self, what: str, total: int) -> Iterator[Count]:
        """Show progress of ``what``: a bar on a terminal, otherwise one line when it begins."""
        if not self.console.is_terminal:
            self.say(what)
            yield lambda _done, _total: None
            return
        columns = (
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
        )
        with Progress(*columns, console=self.console, transient=True) as progress:
            task = progress.add_task(what, total=total)
            yield lambda done, of: progress.update(task, completed=done, total=of)
        self.say(what)
