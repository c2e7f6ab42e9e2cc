"""Puts one direction of a TCP connection back in order, from its segments as a tap saw them.

Every payload byte is either new (its sequence range had not crossed the tap before) or a repeat. New bytes
reach the sink once and in order; sequence numbers may wrap around (RFC 9293, section 3.4). Memory is bounded
by the holes in flight.
"""

from __future__ import annotations

import re
from typing import Protocol

_MASK = 0xFFFFFFFF
_HALF = 0x80000000

HELD_LIMIT_BYTES = 16 << 20
"""More than any receive window here (tcp_rmem's largest is 6 MiB): a hole this far behind never closes."""
UNSYNCED_LIMIT_BYTES = 64 << 10

START_LINE = re.compile(
    rb"HTTP/1\.[01] [1-5]\d\d[ \r]|(?:GET|POST|PUT|HEAD|DELETE|OPTIONS|PATCH) [!-~]{1,200} HTTP/1\.[01]\r\n"
)
"""How an HTTP/1 message begins (RFC 9112, section 2.1). Control characters are escaped in JSON, so no prompt
holds one.
"""


class Sink(Protocol):
    """Takes the bytes in order; ``lost`` says that some are missing before the next ones."""

    def feed(self, data: bytes) -> None: ...

    def lost(self) -> None: ...


class TcpHalf:
    """What one end of a connection sent.

    ``next_seq`` is the sequence number that continues the bytes delivered so far, and ``position`` is the
    same without the wrapping around. ``in_order`` says that a segment with just that number can be delivered
    at once: given to ``feed``, with both numbers moved on. Anything else goes through :meth:`segment`.
    """

    __slots__ = (
        "_first",
        "_held_bytes",
        "_runs",
        "_synced",
        "ack",
        "early_bytes",
        "feed",
        "fin_seq",
        "frames",
        "gap_bytes",
        "in_order",
        "isn",
        "next_seq",
        "payload_bytes",
        "position",
        "retransmitted_frames",
        "sink",
    )  # fmt: skip

    def __init__(self, sink: Sink) -> None:
        self.sink = sink
        self.feed = sink.feed
        self.isn: int | None = None
        self.ack: int | None = None
        """Last acknowledgement that this end sent."""
        self.fin_seq: int | None = None
        self.next_seq = 0
        self.in_order = False
        self.frames = self.payload_bytes = self.retransmitted_frames = 0
        self.early_bytes = 0
        """Repeats of bytes from before the first one this tap saw."""
        self.gap_bytes = 0
        """Bytes that never crossed the tap although later ones did; before ``finish``, far later ones."""
        self._synced = False
        self.position = self._first = 0
        self._runs: list[tuple[int, bytearray]] = []  # beyond a hole: disjoint, ascending, never adjacent
        self._held_bytes = 0

    def open(self, isn: int) -> None:
        """The SYN: the stream starts behind its sequence number, also for what came ahead of it."""
        self.isn = isn
        if self._synced:
            return
        start = (isn + 1) & _MASK
        position = self._unwrap(start) if self._runs else 0
        if self._runs and self._runs[0][0] < position:
            self._sync_at_lowest()
        else:
            self._sync(position, start)
        self._first -= _HALF  # behind a SYN nothing is from before the capture
        self._release()

    def begins_anew(self, isn: int) -> bool:
        """Whether a SYN with this number opens another connection on the same ports, and is no repeat."""
        if self.isn is not None:
            return self.isn != isn
        if not self._synced and not self._runs:
            return self.fin_seq is not None
        lowest = self._first if self._synced else self._runs[0][0]
        return not 0 <= lowest - self._unwrap((isn + 1) & _MASK) <= HELD_LIMIT_BYTES

    def _deliver(self, data: bytes) -> None:
        length = len(data)
        self.position += length
        self.next_seq = (self.next_seq + length) & _MASK
        self.feed(data)

    def segment(self, seq: int, data: bytes, acked: int | None) -> int:
        """Take any segment; return how many of its bytes are new.

        ``acked`` is the other end's acknowledgement so far.
        """
        if not self._synced and not self._runs:
            self.position, self.next_seq = 0, seq
        start = self._unwrap(seq)
        if self._synced and start < self.position:
            self.early_bytes += max(0, min(start + len(data), self._first) - start)
            data = data[self.position - start :]
            start = self.position
        new = self._hold(start, data) if data else 0
        if not self._synced:
            self._try_sync(acked)
        self._release()
        while self._held_bytes > HELD_LIMIT_BYTES:
            self._skip_hole()
        return new

    def finish(self) -> None:
        """The capture or the connection ends: what waits behind holes is delivered as it is."""
        if not self._synced and self._runs:
            self._sync_at_lowest()
            self._release()
        while self._runs:
            self._skip_hole()

    def missing_before(self, ack: int) -> int:
        """Bytes up to the other end's ``ack`` that it has and this tap has not; ask before ``finish``."""
        if not self._synced:
            return 0
        acked = self._unwrap(ack)
        held = sum(max(0, min(start + len(run), acked) - start) for start, run in self._runs)
        missing = acked - self.position - held
        return max(0, missing - (self.fin_seq is not None)) + self.gap_bytes

    def _unwrap(self, seq: int) -> int:
        return self.position + ((seq - self.next_seq + _HALF) & _MASK) - _HALF

    def _sync(self, position: int, seq: int) -> None:
        self._synced = True
        self.position = self._first = position
        self.next_seq = seq
        self.in_order = not self._runs

    def _try_sync(self, acked: int | None) -> None:
        """Without a SYN the stream starts where the peer had got to, or where a message begins."""
        start, run = self._runs[0]
        seq = (self.next_seq + start - self.position) & _MASK
        if acked == seq or START_LINE.match(run):
            self._sync(start, seq)
        elif self._held_bytes > UNSYNCED_LIMIT_BYTES:
            self._sync_at_lowest()

    def _sync_at_lowest(self) -> None:
        start = self._runs[0][0]
        self._sync(start, (self.next_seq + start - self.position) & _MASK)
        self.sink.lost()

    def _hold(self, start: int, data: bytes) -> int:
        """Keep what no run has yet; join the runs that it touches."""
        runs, end = self._runs, start + len(data)
        if not runs or start > runs[-1][0] + len(runs[-1][1]):
            runs.append((start, bytearray(data)))
            self._held_bytes += len(data)
            return len(data)
        first = len(runs)
        while first and runs[first - 1][0] + len(runs[first - 1][1]) >= start:
            first -= 1
        last = first
        while last < len(runs) and runs[last][0] <= end:
            last += 1
        joined = runs[first:last]
        if not joined:
            runs.insert(first, (start, bytearray(data)))
            self._held_bytes += len(data)
            return len(data)
        return self._join(first, last, start, data)

    def _join(self, first: int, last: int, start: int, data: bytes) -> int:
        joined = self._runs[first:last]
        low, run = joined[0]
        had = sum(len(held) for _, held in joined)
        if start < low:
            run[:0] = data[: low - start]
            low = start
        for following, held in [*joined[1:], (start + len(data), bytearray())]:
            covered = low + len(run)
            if covered < following:
                run += data[covered - start : following - start]
            run += held
        self._runs[first:last] = [(low, run)]
        self._held_bytes += len(run) - had
        return len(run) - had

    def _release(self) -> None:
        while self._synced and self._runs and self._runs[0][0] == self.position:
            _, run = self._runs.pop(0)
            self._held_bytes -= len(run)
            self._deliver(bytes(run))
        self.in_order = self._synced and not self._runs

    def _skip_hole(self) -> None:
        start = self._runs[0][0]
        self.gap_bytes += start - self.position
        self.next_seq = (self.next_seq + start - self.position) & _MASK
        self.position = start
        self.sink.lost()
        self._release()
