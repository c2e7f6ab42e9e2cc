"""Shows the progress of a run: bars on a terminal, otherwise a line for each step.

Progress goes to standard error; standard output is for results.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass

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

LONG_S = 5.0
"""From then on it is said what is waited for."""
Count = Callable[[int, int], None]
"""Called with how many are done, and of how many."""


@dataclass(frozen=True)
class LinkGlance:
    """A link's two directions: bytes that crossed since the method began, and frames that wait now."""

    name: str
    up_bytes: int
    down_bytes: int
    up_waiting_frames: int
    down_waiting_frames: int


@dataclass(frozen=True)
class Glance:
    """A replay at one moment, as far as it is known without asking anybody.

    ``served`` counts answers by tier; ``thresholds`` has each node's last that an answer told. ``late_ms``
    is the mean of how late requests were sent. ``links`` may be the first of ``link_count`` alone. ``left_s``
    is until the method's last answer, ``run_left_s`` until the run is done, both estimated.
    """

    requests: int
    sent: int
    done: int
    served: Mapping[str, int]
    errors: int
    thresholds: Mapping[str, float]
    late_ms: float
    most_late_ms: float
    links: Sequence[LinkGlance]
    link_count: int
    left_s: float
    run_left_s: float


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

    def warn(self, text: str) -> None:
        """The same of what a person must know even if all else is silent."""
        self.say(text)

    def say(self, text: str) -> None:
        """Print one line, with the time since the start."""
        elapsed_s = time.monotonic() - self._started_s
        # The terminal may be gone, and the run must still clean up. A line that a signal's handler says while
        # one is being written is a RuntimeError, which would end what the signal is held back from.
        with suppress(OSError, RuntimeError):
            self.console.print(f"[dim]{elapsed_s:6.1f} s[/dim]  {escape(text)}", soft_wrap=True)

    @contextmanager
    def counting(self, what: str, total: int) -> Iterator[Count]:
        """Show progress of ``what``: a bar on a terminal, otherwise one line when it begins."""
        if not self.console.is_interactive:  # TERM=dumb is a terminal without bars
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

    @contextmanager
    def waiting(self, what: str, timeout_s: float) -> Iterator[None]:
        """Say what the block waits for, and how long at most, if that takes more than :data:`LONG_S`."""
        timer = threading.Timer(LONG_S, self.say, [f"waiting for {what}: for {timeout_s:.0f} s at most"])
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    @contextmanager
    def watching(self, look: Callable[[], Glance]) -> Iterator[None]:
        """Show, where there is room for it, what ``look`` sees of a replay that goes on in the block.

        ``look`` may be called from another thread.
        """
        yield


class Quiet(Reporter):
    """Says nothing but what must be known."""

    def say(self, text: str) -> None:
        """Say nothing."""

    def warn(self, text: str) -> None:
        """Print one line, with the time since the start."""
        super().say(text)

    @contextmanager
    def counting(self, what: str, total: int) -> Iterator[Count]:
        """Show nothing."""
        yield lambda _done, _total: None
