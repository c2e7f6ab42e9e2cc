"""Memory that the link process writes and a run reads without asking: counts and lateness.

A block of 64-bit integers: a head for the whole process, then one line for each direction. A line begins with
a number that is odd while it is being written, so that a reader notices a change that is half written.
"""

from __future__ import annotations

import mmap
import os
import time
from collections.abc import Sequence
from struct import Struct

MAX_LINKS = 2048
FIELDS = (
    "came_in_frames",
    "refused_frames",
    "crossed_frames",
    "crossed_bytes",
    "lost_frames",
    "cut_frames",
    "duplicated_frames",
    "handed_on_frames",
    "dropped_frames",
    "waiting_frames",
    "waiting_bytes",
    "held_frames",
    "most_waiting_frames",
    "most_waiting_bytes",
)
"""The counts of a direction, in this order."""
ACTS = ("put_on_wire", "handed_on")
"""The acts whose lateness is counted."""

_BUCKETS = 1024
_HEAD = 8 + len(ACTS) * (_BUCKETS + 1)
_SOCKET_DROPS, _CLOCK_JUMPS = 0, 1
_LINE = Struct(f"={len(FIELDS)}q")
_WORDS = 1 + len(FIELDS)
SIZE_BYTES = 8 * (_HEAD + 2 * MAX_LINKS * _WORDS)
_RETRIES = 100
PATIENCE_S = 5.0
"""A reader waits so long for a writer that is in the middle of a change."""


class Block:
    """The memory block, mapped from a file descriptor that both processes have."""

    def __init__(self, descriptor: int) -> None:
        self._map = mmap.mmap(descriptor, SIZE_BYTES)
        self._words = memoryview(self._map).cast("q")

    @classmethod
    def create(cls) -> tuple[Block, int]:
        """A new block of zeros, and its descriptor."""
        descriptor = os.memfd_create("link-counts")
        os.ftruncate(descriptor, SIZE_BYTES)
        return cls(descriptor), descriptor

    def close(self) -> None:
        self._words.release()
        self._map.close()

    def write(self, direction: int, values: Sequence[int]) -> None:
        """Publish the counts of a direction, in the order of :data:`FIELDS`."""
        start = _HEAD + direction * _WORDS
        self._words[start] += 1
        _LINE.pack_into(self._map, 8 * (start + 1), *values)
        self._words[start] += 1

    def read(self, direction: int) -> tuple[int, ...]:
        """The counts of a direction, all of the same moment.

        Raises:
            OSError: the writer stopped in the middle of a change.
        """
        start, give_up_s = _HEAD + direction * _WORDS, time.monotonic() + PATIENCE_S
        while time.monotonic() < give_up_s:
            for _ in range(_RETRIES):
                before = self._words[start]
                values: tuple[int, ...] = _LINE.unpack_from(self._map, 8 * (start + 1))
                if before % 2 == 0 and self._words[start] == before:
                    return values
            time.sleep(0.001)
        raise OSError("the link process stopped while it wrote its counts")

    @property
    def socket_dropped_frames(self) -> int:
        return self._words[_SOCKET_DROPS]

    @socket_dropped_frames.setter
    def socket_dropped_frames(self, frames: int) -> None:
        self._words[_SOCKET_DROPS] = frames

    @property
    def clock_jumps(self) -> int:
        return self._words[_CLOCK_JUMPS]

    @clock_jumps.setter
    def clock_jumps(self, jumps: int) -> None:
        self._words[_CLOCK_JUMPS] = jumps

    def histogram(self, act: int) -> Histogram:
        start = 8 + act * (_BUCKETS + 1)
        return Histogram(self._words[start : start + _BUCKETS + 1])


class Histogram:
    """How often an act was how late: buckets no wider than a sixteenth of their time, and the maximum."""

    def __init__(self, words: memoryview) -> None:
        self._words = words

    def add(self, late_ns: int) -> None:
        words = self._words
        if late_ns < 32:
            late_ns = max(late_ns, 0)
            words[late_ns] += 1
        else:
            shift = late_ns.bit_length() - 5
            words[16 * shift + (late_ns >> shift)] += 1
        if late_ns > words[_BUCKETS]:
            words[_BUCKETS] = late_ns

    def clear(self) -> None:
        for bucket in range(_BUCKETS + 1):
            self._words[bucket] = 0

    @property
    def count(self) -> int:
        return sum(self._words[:_BUCKETS])

    @property
    def max_ns(self) -> int:
        return self._words[_BUCKETS]

    def percentile_ns(self, share: float) -> int:
        """The upper end of the bucket that holds the nearest rank; 0 without any act."""
        rank, seen = max(1, -(-self.count * share // 1)), 0
        for bucket in range(_BUCKETS):
            seen += self._words[bucket]
            if seen >= rank:
                shift = max(0, bucket // 16 - 1)
                return min(((bucket - 16 * shift + 1) << shift) - 1, self.max_ns)
        return 0
