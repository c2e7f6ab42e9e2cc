"""One direction of a WAN link in virtual time: bottleneck, wire and way, without sockets and without a clock.

Each frame has the kernel's stamp of its arrival, from which is computed when it is put on the wire and when
it is handed on. The caller may be late: that changes neither rates nor which frames are dropped. Times are
integers, in nanoseconds.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from testbed.network.link_process.fates import Fates, Way, WayFigures

NS_PER_S, NS_PER_MS = 1_000_000_000, 1_000_000
ETHERNET_HEADER_BYTES = 14
OPPORTUNITY_BYTES = 1500
"""What an opportunity of a rate file carries: a packet without its Ethernet header."""

Act = Callable[[int, bytes], None]
"""Called with a frame and the time at which something is to be done with it."""


@dataclass(frozen=True)
class Opportunities:
    """A rate file's delivery opportunities, repeated from ``start_ns`` on (mm-link(1)).

    Attributes:
        times_ms: ascending; the last one is the length of the file, and at least 1.
    """

    times_ms: Sequence[int]
    start_ns: int

    def at(self, number: int) -> int:
        """The time of the opportunity with that number, counted from 0."""
        turn, index = divmod(number, len(self.times_ms))
        return self.start_ns + (turn * self.times_ms[-1] + self.times_ms[index]) * NS_PER_MS

    def first_after(self, at_ns: int) -> int:
        """The number of the first opportunity after ``at_ns``."""
        if at_ns < self.start_ns:
            return 0
        turn, rest_ns = divmod(at_ns - self.start_ns, self.times_ms[-1] * NS_PER_MS)
        return turn * len(self.times_ms) + bisect_right(self.times_ms, rest_ns // NS_PER_MS)


@dataclass(frozen=True)
class Figures:
    """The figures of a direction of a link.

    A ``rate_bps`` of ``None`` is unlimited; ``opportunities``, if given, take its place.
    """

    rate_bps: int | None = None
    queue_frames: int = 100
    opportunities: Opportunities | None = None
    way: WayFigures = field(default_factory=WayFigures)


class OneWayLink:
    """Frames of one direction, from their arrival at the near port until they are handed to the far one.

    A queue of Q frames, the one being serialised included, refuses what comes when it is full. Its head
    leaves when it is serialised at the rate, or by a file's opportunities, and is put on the wire at that
    moment. The way then loses, doubles and delays it. A change of a figure applies to frames that wait; the
    frame that is being serialised leaves when it would have.

    Args:
        put_on_wire, hand_on: what is done with a frame, called in the order of time.
    """

    def __init__(self, figures: Figures, fates: Fates, put_on_wire: Act, hand_on: Act) -> None:
        self.figures = figures
        self.way = Way(figures.way, fates)
        self.is_cut = False
        self.came_in_frames = self.refused_frames = self.cut_frames = self.handed_on_frames = 0
        self.crossed_frames = self.crossed_bytes = 0
        self.waiting_bytes = self.most_waiting_frames = self.most_waiting_bytes = 0
        self.next_ns: int | None = None
        """When something is due next; ``None`` while the link is empty."""
        self._put_on_wire, self._hand_on = put_on_wire, hand_on
        self._queue: deque[bytes] = deque()
        self._on_way: deque[tuple[int, bytes]] = deque()
        self._service_ns: int | None = None  # the head leaves, or the next opportunity comes
        self._carry = 0  # of a division by the rate, so that a busy period is exact however long
        self._number = 0  # of the next opportunity
        self._left_bytes = 0  # of the head, for opportunities
        self._last_ns = 0

    @property
    def waiting_frames(self) -> int:
        return len(self._queue)

    @property
    def held_frames(self) -> int:
        return len(self._on_way)

    def begin(self, fates: Fates) -> None:
        """Begin a method: other fates, which begin with the next frame on the wire."""
        self.way.begin(fates)
        self.most_waiting_frames, self.most_waiting_bytes = len(self._queue), self.waiting_bytes

    def arrive(self, at_ns: int, frame: bytes) -> None:
        """Take a frame from the near port; what is due until then is done first.

        A stamp before the last event counts as that event's: stamps of two CPUs may be out of order.
        """
        if at_ns < self._last_ns:
            at_ns = self._last_ns
        self.play(at_ns)
        self.came_in_frames += 1
        waiting_frames = len(self._queue) + 1
        if waiting_frames > self.figures.queue_frames:
            self.refused_frames += 1
            return
        self._queue.append(frame)
        self.waiting_bytes += len(frame)
        if waiting_frames > self.most_waiting_frames:
            self.most_waiting_frames = waiting_frames
        if self.waiting_bytes > self.most_waiting_bytes:
            self.most_waiting_bytes = self.waiting_bytes
        if waiting_frames == 1:
            self._carry = 0
            self._start(at_ns)
            self._look_ahead()
            self.play(at_ns)

    def change(self, at_ns: int, figures: Figures) -> None:
        """Give the direction other figures from ``at_ns`` on, also for frames that wait."""
        at_ns = max(at_ns, self._last_ns)
        self.play(at_ns)
        before, self.figures, self.way.figures = self.figures, figures, figures.way
        if figures.rate_bps != before.rate_bps:
            self._carry = 0  # it was of a division by the other rate
        if not self._queue or figures.opportunities is before.opportunities is not None:
            return
        if figures.opportunities is not None:  # the head begins anew: its moment was the other rate's
            self._number = figures.opportunities.first_after(at_ns - 1)
            self._left_bytes = _packet_bytes(self._queue[0])
            self._service_ns = figures.opportunities.at(self._number)
        elif before.opportunities is not None:
            self._carry = 0
            self._start(at_ns, self._left_bytes + ETHERNET_HEADER_BYTES)
        self._look_ahead()

    def play(self, until_ns: int) -> None:
        """Do all that is due by ``until_ns``, in the order of time; what comes out precedes what is sent."""
        next_ns, on_way = self.next_ns, self._on_way
        while next_ns is not None and next_ns <= until_ns:
            if on_way and on_way[0][0] == next_ns:
                self._give(*on_way.popleft())
            else:
                self._serve(next_ns)
            next_ns = self._look_ahead()
        if until_ns > self._last_ns:
            self._last_ns = until_ns

    def _look_ahead(self) -> int | None:
        next_ns, on_way = self._service_ns, self._on_way
        if on_way and (next_ns is None or on_way[0][0] < next_ns):
            next_ns = on_way[0][0]
        self.next_ns = next_ns
        return next_ns

    def _start(self, at_ns: int, head_bytes: int | None = None) -> None:
        """Begin to serialise the head of the queue."""
        figures = self.figures
        if figures.opportunities is not None:
            self._left_bytes = _packet_bytes(self._queue[0])
            self._number = figures.opportunities.first_after(at_ns)
            self._service_ns = figures.opportunities.at(self._number)
        elif figures.rate_bps is None:
            self._service_ns = at_ns
        else:
            bits = 8 * (len(self._queue[0]) if head_bytes is None else head_bytes)
            took_ns, self._carry = divmod(bits * NS_PER_S + self._carry, figures.rate_bps)
            self._service_ns = at_ns + took_ns

    def _serve(self, at_ns: int) -> None:
        """Let the head leave; or use an opportunity, for parts of several frames or of one."""
        opportunities = self.figures.opportunities
        if opportunities is None:
            self._leave(at_ns)
            self._service_ns = None
            if self._queue:
                self._start(at_ns)
            return
        budget_bytes = OPPORTUNITY_BYTES
        while self._queue and self._left_bytes <= budget_bytes:
            budget_bytes -= self._left_bytes
            self._leave(at_ns)
            self._left_bytes = _packet_bytes(self._queue[0]) if self._queue else 0
        self._service_ns = None
        if self._queue:
            self._left_bytes -= budget_bytes
            self._number += 1
            self._service_ns = opportunities.at(self._number)

    def _leave(self, at_ns: int) -> None:
        frame = self._queue.popleft()
        self.waiting_bytes -= len(frame)
        self.crossed_frames += 1
        self.crossed_bytes += len(frame)
        self._put_on_wire(at_ns, frame)
        if self.is_cut:
            self.cut_frames += 1
        for due_ns in self.way.enter(at_ns, cut=self.is_cut):
            if due_ns <= at_ns:
                self._give(due_ns, frame)
            else:
                self._on_way.append((due_ns, frame))

    def _give(self, due_ns: int, frame: bytes) -> None:
        self.handed_on_frames += 1
        self._hand_on(due_ns, frame)


def _packet_bytes(frame: bytes) -> int:
    return max(0, len(frame) - ETHERNET_HEADER_BYTES)
