"""Files in mahimahi's format, which say when a link may deliver packets.

The format (mm-link(1)): each line is a whole number of milliseconds since the file's start, none less than
the line before, and is one opportunity to deliver 1,500 bytes; a time that stands on several lines is that
many opportunities. At the last line's time the file begins again. An opportunity that finds nothing to send
is gone. Bytes are those of a packet without its Ethernet header.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from testbed.errors import TestbedError
from testbed.scenario.reading.line_file import read_values
from testbed.scenario.topology import FRAME_BYTES

PEAK_WINDOW_MS = 100
MAX_LINES = 5_000_000
MAX_PERIOD_MS = 24 * 3600 * 1000


@dataclass(frozen=True)
class RateTrace:
    """A file's opportunities, in ms since its start, ascending; the last is where it begins again."""

    path: Path
    opportunities_ms: Sequence[int]

    @property
    def period_ms(self) -> int:
        return self.opportunities_ms[-1]

    @property
    def peak_bps(self) -> int:
        """The highest rate over any window of :data:`PEAK_WINDOW_MS`, in full frames."""
        import numpy as np

        at_ms = np.asarray(self.opportunities_ms, dtype=np.int64)
        distinct_ms = at_ms[np.diff(at_ms, append=at_ms[-1] + 1) > 0]
        turns = np.arange(1 + -(-PEAK_WINDOW_MS // self.period_ms)) * self.period_ms
        ends_ms = np.add.outer(turns, distinct_ms).ravel()
        ends_ms = ends_ms[ends_ms < self.period_ms + PEAK_WINDOW_MS]  # from then on windows are as before

        def until(times_ms: Any) -> Any:
            """Opportunities up to each time, the file being played again and again."""
            turn, within_ms = np.divmod(times_ms, self.period_ms)
            found = turn * len(at_ms) + np.searchsorted(at_ms, within_ms, side="right")
            return np.where(times_ms < 0, 0, found)

        most = int((until(ends_ms) - until(ends_ms - PEAK_WINDOW_MS)).max())
        return most * 8 * FRAME_BYTES * 1000 // PEAK_WINDOW_MS


def read_rate_trace(path: Path) -> RateTrace:
    """Read and check a file in mahimahi's format.

    Raises:
        TestbedError: with file and line, what is wrong there and how to mend it.
    """
    times = array("I")

    def parse(line: bytes, number: int) -> int:
        return _parse(line, number, times[-1] if times else 0)

    for ms in read_values(path, parse, "rate file"):
        times.append(ms)  # at once: the next line is held against it
    if not times:
        raise TestbedError(f"{path}: holds no opportunity; write one whole number of milliseconds a line")
    if times[-1] == 0:
        raise TestbedError(f"{path}: its last line is 0, so that it has no length; end it at 1 or later")
    return RateTrace(path, times)


def _parse(line: bytes, number: int, previous_ms: int) -> int:
    if number > MAX_LINES:
        raise ValueError(f"a rate file has {MAX_LINES} lines at most; cut it")
    word = line.strip()
    if not word:
        raise ValueError("the line is empty; remove it, or write a whole number of milliseconds")
    if not word.isdigit():  # of bytes: ASCII digits alone
        shown = word[:20].decode("ascii", "backslashreplace")
        raise ValueError(f"{shown!r} is no whole number of milliseconds, 0 or more; write one a line")
    ms = int(word)
    if ms > MAX_PERIOD_MS:
        raise ValueError(f"{ms} is later than a day ({MAX_PERIOD_MS} ms); cut the file")
    if ms < previous_ms:
        raise ValueError(f"{ms} is before the line above ({previous_ms}); sort the lines by time")
    return ms
