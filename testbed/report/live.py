"""A view of a run on a terminal that is drawn anew while a method is replayed; all else are lines above it.

It is written by hand: rich takes some milliseconds for such a block, all the while holding the lock of the
interpreter in which requests are sent; this takes a few tenths of one. Twice a second is the most that it is
drawn, and less often where looking and drawing would take more than a hundredth of a CPU.
"""

from __future__ import annotations

import io
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from typing import TextIO, cast

from rich.console import Console

from testbed.console import Count, Glance, Reporter
from testbed.errors import TestbedError
from testbed.scenario.reading.units import duration

EVERY_S = 0.5
MOST_SHARE = 0.01
"""Of a CPU, for looking and drawing."""
LEAST_COLUMNS, LEAST_ROWS = 20, 3
"""A terminal with less has plain lines alone."""
_UP, _CLEAR_BELOW = "\x1b[1A", "\x1b[J"
_BOLD, _DIM, _PLAIN = "\x1b[1m", "\x1b[2m", "\x1b[0m"
_BAR = 24


def suits(console: Console) -> bool:
    """Whether there is a terminal on which lines can be drawn anew."""
    return console.is_interactive and console.file.isatty()


@dataclass
class _Step:
    """What is being counted; ``watched`` if a replay was looked at, ``spent_s`` of CPU for drawing."""

    what: str
    total: int
    done: int = 0
    watched: bool = False
    spent_s: float = 0.0

    def count(self, done: int, total: int) -> None:
        self.done, self.total = done, total


class Live(Reporter):
    """Draws below all lines how far the run is; what is drawn goes, and lines stay.

    The cursor is where the view ends and is never hidden, so that nothing is to be put right, however the
    run ends.
    """

    def __init__(self, console: Console | None = None, every_s: float = EVERY_S) -> None:
        super().__init__(console)
        self._every_s = every_s
        self._lock = threading.RLock()
        self._drawn = 0
        self._steps: list[_Step] = []
        self._look: Callable[[], Glance] | None = None
        self._glance: Glance | None = None

    def say(self, text: str) -> None:
        """Print one line above what is drawn."""
        with self._above():
            super().say(text)

    @contextmanager
    def counting(self, what: str, total: int) -> Iterator[Count]:
        """Draw progress of ``what`` until the block ends, and leave a line that says so.

        In a block of another count it is drawn in the other's place.
        """
        step = _Step(what, total)
        with ExitStack() as stack:
            if not self._steps:
                stack.enter_context(self._kept_drawn())
            self._steps.append(step)
            stack.callback(self._end, step)
            yield step.count
        watched = f"; the live view took {step.spent_s * 1000:.0f} ms of CPU" if step.watched else ""
        self.say(f"{what}{watched}")

    @contextmanager
    def watching(self, look: Callable[[], Glance]) -> Iterator[None]:
        """Draw what ``look`` sees of a replay too."""
        if self._steps:
            self._steps[-1].watched = True
        self._look = look
        try:
            yield
        finally:
            self._look = self._glance = None

    @contextmanager
    def _kept_drawn(self) -> Iterator[None]:
        """Draw from a thread of its own, and let nobody else write to the terminal, until the block ends."""
        ended, before = threading.Event(), sys.stderr
        drawing = threading.Thread(target=self._keep_drawing, args=(ended,), name="live-view", daemon=True)
        drawing.start()
        above = _Above(self, before)
        sys.stderr = cast(TextIO, above)
        try:
            yield
        finally:
            sys.stderr = before
            ended.set()
            drawing.join()
            if above.begun:
                self.print_above(above.begun)

    def _end(self, step: _Step) -> None:
        with self._lock:
            self._write(self._erased())
            self._steps.remove(step)

    def print_above(self, text: str) -> None:
        """Write what somebody else has to say, above what is drawn; an unfinished line is ended."""
        with self._above():
            self._write(text if text.endswith("\n") else f"{text}\n")

    @contextmanager
    def _above(self) -> Iterator[None]:
        """Take the view away while something is written in its place, and draw it again below."""
        with self._lock:
            self._write(self._erased())
            yield
            self._write(self._drawing())

    def _keep_drawing(self, ended: threading.Event) -> None:
        """The thread's: look and draw at intervals, which grow with what that costs."""
        wait_s = 0.0
        while not ended.wait(wait_s):
            begun_s = time.thread_time()
            self._see()
            with self._lock:
                if not ended.is_set():
                    self._write(self._erased() + self._drawing())
            spent_s = time.thread_time() - begun_s
            for step in self._steps:
                step.spent_s += spent_s
            wait_s = max(self._every_s, spent_s / MOST_SHARE)

    def _see(self) -> None:
        look, glance = self._look, None
        if look is not None:
            with suppress(TestbedError, OSError):  # a link that is gone: the run itself will say so
                glance = look()
            self._glance = glance if self._look is look else None

    def _erased(self) -> str:
        """What takes away what is drawn. In a terminal that has become narrower some of it may stay."""
        drawn, self._drawn = self._drawn, 0
        return "\r" + _UP * (drawn - 1) + _CLEAR_BELOW if drawn else ""

    def _drawing(self) -> str:
        """As many lines as there is room for, each as long as the terminal is wide at most."""
        columns, rows = self._size()
        if not self._steps or columns < LEAST_COLUMNS or rows < LEAST_ROWS:
            return ""
        step, elapsed_s = self._steps[-1], time.monotonic() - self._started_s
        lines = lines_of(
            step.what, step.done, step.total, elapsed_s, self._glance, ascii_only=self._ascii_only
        )[: rows - 1]
        self._drawn = len(lines)
        return "\n".join(self._styled(at, line[: columns - 1]) for at, line in enumerate(lines))

    def _styled(self, at: int, line: str) -> str:
        if self.console.no_color:
            return line
        return f"{_DIM if at else _BOLD}{line}{_PLAIN}"

    @property
    def _ascii_only(self) -> bool:
        return not self.console.encoding.lower().startswith("utf")

    def _size(self) -> tuple[int, int]:
        """Columns and rows of now; none if the terminal is gone or another job's."""
        try:
            descriptor = self.console.file.fileno()
            if os.tcgetpgrp(descriptor) != os.getpgrp():
                return 0, 0
            size = os.get_terminal_size(descriptor)
        except (OSError, ValueError):
            return 0, 0
        return size.columns, size.lines

    def _write(self, text: str) -> None:
        with suppress(OSError, ValueError):  # the terminal may be gone
            self.console.file.write(text)
            self.console.file.flush()


class _Above(io.TextIOBase):
    """Standard error while a view is drawn: warnings and the like stay above it, line by line."""

    def __init__(self, live: Live, rich_proxied_file: TextIO) -> None:
        super().__init__()
        self._live = live
        self.begun = ""
        """The last line, which has not been ended yet."""
        self.rich_proxied_file = rich_proxied_file
        """By which rich knows what to write to itself."""

    def write(self, text: str) -> int:
        whole, newline, self.begun = (self.begun + text).rpartition("\n")
        if newline:
            self._live.print_above(whole)
        return len(text)

    def fileno(self) -> int:
        return self.rich_proxied_file.fileno()

    def isatty(self) -> bool:
        return self.rich_proxied_file.isatty()


def lines_of(
    what: str,
    done: int,
    total: int,
    elapsed_s: float,
    glance: Glance | None,
    *,
    ascii_only: bool = False,
) -> list[str]:
    """The view as lines without style, the most important first."""
    done, total = (glance.done, glance.requests) if glance else (done, total)
    lines = [f"{elapsed_s:6.1f} s  {what}", f"{'':10}{_bar(done, total, ascii_only)} {done} of {total}"]
    if glance is None:
        return lines
    lines[1] += f", {_left(glance.left_s)}; the run {_left(glance.run_left_s)}"
    lines.append(_line("answered by", [f"{tier} {count}" for tier, count in glance.served.items()]))
    lines.append(_line("requests", [f"{glance.sent - glance.done} outstanding", f"{glance.errors} errors"]))
    lines.append(
        _line("sent late", [f"{glance.late_ms:.1f} ms on average", f"{glance.most_late_ms:.1f} at most"])
    )
    if glance.thresholds:
        lines.append(_line("thresholds", _thresholds(glance.thresholds)))
    return lines + _links(glance)


def _links(glance: Glance) -> list[str]:
    if not glance.links:
        return []
    width = max(12, *(len(link.name) for link in glance.links))
    lines = [f"{'link':>{width}}  {'up KB':>9} {'waiting':>7}  {'down KB':>9} {'waiting':>7}"]
    for link in glance.links:
        lines.append(
            f"{link.name:>{width}}  {link.up_bytes / 1000:9,.1f} {link.up_waiting_frames:7}"
            f"  {link.down_bytes / 1000:9,.1f} {link.down_waiting_frames:7}"
        )
    if glance.link_count > len(glance.links):
        lines.append(f"{'':>{width}}  and {glance.link_count - len(glance.links)} more links")
    return lines


def _thresholds(thresholds: Mapping[str, float]) -> list[str]:
    return [f"{node} {threshold:.3f}" for node, threshold in sorted(thresholds.items())]


def _line(label: str, parts: list[str]) -> str:
    return f"{label:>12}  {'   '.join(parts)}"


def _left(seconds: float) -> str:
    return f"{duration(seconds)} left" if seconds >= 1 else "nearly done"


def _bar(done: int, total: int, ascii_only: bool) -> str:
    full = _BAR * done // max(1, total)
    mark, rest = ("#", "-") if ascii_only else ("█", "░")
    return mark * full + rest * (_BAR - full)
