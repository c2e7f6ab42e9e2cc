"""A link's rate over time from a file in mahimahi's format, and its player on a link that is up.

The format (mm-link(1)): each line is a whole number of milliseconds since the file's start, none less than
the line before, and is one opportunity to deliver a packet of 1,500 bytes; a time that stands on several
lines is that many opportunities. At the last line's time the file begins again. With its Ethernet header,
which our bottleneck counts as well, such a packet is a frame of ``FRAME_BYTES``.

The kernel has no queue that follows a list of moments, so the opportunities of each bin (100 ms) become a
rate. Lost by it: when within its bin a frame leaves, so that gaps and bursts shorter than a bin are smoothed
out. A bin without any opportunity cannot have the rate 0, which means *unlimited* to tc(8): a gap has the
rate at which one full frame takes all of it, or a second if the gap is longer. So one frame may leave in a
gap (in a long one, one a second) that the file does not allow.
"""

from __future__ import annotations

import bisect
import itertools
import threading
import time
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from testbed.errors import TestbedError
from testbed.topology import FRAME_BYTES

BIN_MS = 100
MAX_LINES = 5_000_000
MAX_PERIOD_MS = 24 * 3600 * 1000
LEAST_RATE_BPS = FRAME_BYTES * 8
"""One full frame a second: so long a frame that left in a gap may hold up those after it."""
_MAX_LINE_BYTES = 64
_FRAME_BITS = FRAME_BYTES * 8


@dataclass(frozen=True, slots=True)
class RateStep:
    """From ``at_s`` on, the bottleneck serialises at ``rate_bps``, Ethernet headers included."""

    at_s: float
    rate_bps: int


@dataclass(frozen=True)
class RateTrace:
    """A file's opportunities, in ms since its start, ascending; the last is where it begins again."""

    path: Path
    opportunities_ms: Sequence[int]

    @property
    def period_ms(self) -> int:
        return self.opportunities_ms[-1]

    def steps(self, bin_ms: float = BIN_MS) -> tuple[RateStep, ...]:
        """One period's rates as a step function that begins at 0; neighbours differ.

        The period is cut into equal bins, as near to ``bin_ms`` as goes. As in mahimahi, an opportunity at
        the last line's time is the period's own and not the next one's.
        """
        bins = max(1, round(self.period_ms / bin_ms))
        frames = self._frames(bins)
        bin_s = self.period_ms / 1000 / bins
        steps: list[RateStep] = []
        for first, count, length in _runs(frames):
            rate_bps = max(LEAST_RATE_BPS, round((count or 1 / length) * _FRAME_BITS / bin_s))
            steps.append(RateStep(first * self.period_ms / (1000 * bins), rate_bps))
        return tuple(steps)

    def timeline(self, duration_s: float, bin_ms: float = BIN_MS) -> Iterator[RateStep]:
        """:meth:`steps` over and over, up to ``duration_s``."""
        period_s, once = self.period_ms / 1000, self.steps(bin_ms)
        last_bps = None
        for turn in itertools.count():
            for step in once:
                at_s = turn * period_s + step.at_s
                if at_s >= duration_s:
                    return
                if step.rate_bps != last_bps:
                    yield RateStep(at_s, step.rate_bps)
                last_bps = step.rate_bps
            if len(once) == 1:
                return

    def _frames(self, bins: int) -> list[int]:
        """Opportunities in each of ``bins`` equal bins, where a bin's end is its own and its start is not."""
        times, period = self.opportunities_ms, self.period_ms
        ends = [bisect.bisect_right(times, number * period // bins) for number in range(1, bins + 1)]
        return [end - start for start, end in itertools.pairwise([0, *ends])]


def _runs(frames: Sequence[int]) -> Iterator[tuple[int, int, int]]:
    """First bin, frames in each, and length of every run of bins with equally many."""
    first = 0
    for count, run in itertools.groupby(frames):
        length = len(list(run))
        yield first, count, length
        first += length


def read_rate_trace(path: Path) -> RateTrace:
    """Read and check a file in mahimahi's format.

    Raises:
        TestbedError: with file and line, what is wrong there and how to mend it.
    """
    times = array("Q")
    try:
        with path.open("rb") as file:
            for number, line in enumerate(iter(lambda: file.readline(_MAX_LINE_BYTES), b""), start=1):
                try:
                    times.append(_parse(line, number, times[-1] if times else 0))
                except ValueError as error:
                    raise TestbedError(f"{path}:{number}: {error}") from None
    except OSError as error:
        raise TestbedError(f"{path}: cannot be read ({error.strerror}); give a rate file's path") from None
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


@dataclass(frozen=True, slots=True)
class PlayedStep:
    """A step as it went: when it was due and when the kernel had it, in seconds of the player's clock."""

    at_s: float
    rate_bps: int
    took_effect_at_s: float

    @property
    def late_ms(self) -> float:
        return (self.took_effect_at_s - self.at_s) * 1000


class RatePlayer:
    """Gives one direction of a link the rates of a timeline, each at its time, in a thread of its own.

    Args:
        timeline: steps, seconds from ``start_s``; may be endless.
        apply: makes a rate the link's; one direction's part of :meth:`testbed.link.WanLink.reshape`.
        start_s: the timeline's 0, on ``time.monotonic()``'s clock.

    Steps that are past when their turn comes are left out, so that a player that was held up is late once and
    not for ever. It is a context manager: left, the player has ended and the link keeps its last rate.

    Attributes:
        played: every step that took effect, in order.
        skipped: how many were left out.
    """

    def __init__(
        self, timeline: Iterable[RateStep], apply: Callable[[int], None], start_s: float | None = None
    ) -> None:
        self._timeline = timeline
        self._apply = apply
        self._start_s = time.monotonic() if start_s is None else start_s
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._play, name="rate-player", daemon=True)
        self._error: Exception | None = None
        self.played: list[PlayedStep] = []
        self.skipped = 0

    def start(self) -> RatePlayer:
        self._thread.start()
        return self

    def stop(self) -> None:
        """End at once; a second time does nothing.

        Raises:
            TestbedError: a rate was refused; the player ended there.
        """
        self._ended.set()
        self._thread.join()
        error, self._error = self._error, None
        if error is not None:
            raise error

    def wait(self, timeout_s: float | None = None) -> None:
        """Return when the last step is played."""
        self._thread.join(timeout_s)

    def __enter__(self) -> RatePlayer:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _play(self) -> None:
        ended: list[RateStep | None] = [None]
        for step, following in itertools.pairwise(itertools.chain(self._timeline, ended)):
            assert step is not None
            if self._ended.wait(max(0.0, step.at_s - self._now())):
                return
            if following is not None and following.at_s <= self._now():
                self.skipped += 1
                continue
            try:
                self._apply(step.rate_bps)
            except Exception as error:  # told by stop(), in the thread that asks
                self._error = error
                return
            self.played.append(PlayedStep(step.at_s, step.rate_bps, self._now()))

    def _now(self) -> float:
        return time.monotonic() - self._start_s
