"""A file of a link's delays: text, one number of milliseconds a line, one for each frame.

The i-th frame has the i-th line's delay; after the last line the file begins again.
"""

from __future__ import annotations

import functools
import re
import statistics
from array import array
from pathlib import Path

from testbed.errors import TestbedError
from testbed.scenario.reading.line_file import MAX_LINE_BYTES, read_values

MAX_LINES = 5_000_000
MAX_DELAY_MS = 60_000
_NUMBER = re.compile(rb"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")


def read_delay_file(path: Path) -> array[float]:
    """Read and check a file of delays, in ms.

    Raises:
        TestbedError: with file and line, what is wrong there and how to mend it.
    """
    delays_ms = array("d", read_values(path, _parse, "delay file"))
    if not delays_ms:
        raise TestbedError(f"{path}: is empty; write one number of milliseconds a line")
    return delays_ms


def _parse(line: bytes, number: int) -> float:
    if number > MAX_LINES:
        raise ValueError(f"a delay file has {MAX_LINES} lines at most; cut it")
    if len(line) == MAX_LINE_BYTES and not line.endswith(b"\n"):
        raise ValueError(f"the line is longer than {MAX_LINE_BYTES - 1} characters; write one number a line")
    word = line.strip()
    if not word:
        raise ValueError("the line is empty; remove it, or write a number of milliseconds")
    shown = repr(word[:20].decode("ascii", "backslashreplace"))
    if not _NUMBER.fullmatch(word):
        raise ValueError(f"{shown} is no number of milliseconds; write one a line, such as 12.5")
    delay_ms = float(word)
    if delay_ms < 0:
        raise ValueError(f"{shown} is negative, and no frame arrives before it is sent; write 0 or more")
    if delay_ms > MAX_DELAY_MS:
        raise ValueError(f"{shown} is more than {MAX_DELAY_MS} ms, the longest delay of a link; lower it")
    return delay_ms


def longest_delay_ms(path: Path) -> float:
    """The longest of a file's delays."""
    return _longest_delay_ms(path, path.stat().st_mtime_ns)


@functools.lru_cache(maxsize=64)
def _longest_delay_ms(path: Path, _changed_ns: int) -> float:
    return max(read_delay_file(path))


def greatest_fall_ms(path: Path) -> float:
    """The most by which a delay is shorter than the one before it; the first follows the last."""
    return _greatest_fall_ms(path, path.stat().st_mtime_ns)


@functools.lru_cache(maxsize=64)
def _greatest_fall_ms(path: Path, _changed_ns: int) -> float:
    delays_ms = read_delay_file(path)
    before_ms = (delays_ms[-1], *delays_ms[:-1])
    return max(before - delay for before, delay in zip(before_ms, delays_ms, strict=True))


def median_range_ms(path: Path, frames: int) -> tuple[float, float]:
    """Least and greatest median of about ``frames`` delays in a row: what a few frames may have of a file
    whose delays rise and fall.
    """
    return _median_range_ms(path, path.stat().st_mtime_ns, max(1, frames))


@functools.lru_cache(maxsize=64)
def _median_range_ms(path: Path, _changed_ns: int, frames: int) -> tuple[float, float]:
    delays_ms = read_delay_file(path)
    if frames >= len(delays_ms):  # several rounds of the file, and a part of one more
        frames = max(1, len(delays_ms) // 2)
    around = [*delays_ms, *delays_ms[:frames]]
    starts = range(0, len(delays_ms), max(1, frames // 4))
    medians_ms = [statistics.median(around[start : start + frames]) for start in starts]
    return min(medians_ms), max(medians_ms)
