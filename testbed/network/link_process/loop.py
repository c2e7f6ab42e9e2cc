"""The link process: packet sockets, one timer, one control socket, and the virtual links between them.

It is started in the run's network namespace by :mod:`~testbed.network.link_process.client` and ends when its
control socket does. One ring (packet(7), TPACKET_V2) takes what arrives at all ports, with the kernel's
stamps and without a system call for each frame. In each turn the time is noted and the ring emptied; then
arrivals and what is due are played in the order of time.
"""

from __future__ import annotations

import ctypes
import errno
import gc
import heapq
import json
import mmap
import os
import select
import socket
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

from testbed.network.link_process.core import Figures, OneWayLink, Opportunities
from testbed.network.link_process.fates import Fates, WayFigures, variant
from testbed.network.link_process.ring import Ring, Timer
from testbed.network.link_process.shared import Block

MAX_MESSAGE_BYTES = 1 << 16
PRIORITY = 10
"""Above the orchestrator's and the probe's (sched(7))."""
CLOCK_JUMP_NS = 1_000_000
LOOK_NS = 20_000
"""Reading the clocks may take so long."""
PUBLISHED_EVERY_NS = 1_000_000
"""Published counts are at most that old, and never older than the last moment at which something was due."""
SOON_NS = 15_000
"""What is due sooner is waited for without sleeping: to sleep and be woken takes as long."""

_MCL_CURRENT_AND_FUTURE = 3
_SEND_RETRIES = 3

_libc = ctypes.CDLL(None, use_errno=True)
_now_ns = time.monotonic_ns


class Line:
    """One direction: its virtual link, and its place among the counts."""

    __slots__ = ("direction", "dropped_frames", "link", "name", "number", "scheduled_ns")

    def __init__(self, name: str, direction: str, number: int, link: OneWayLink) -> None:
        self.name, self.direction, self.number, self.link = name, direction, number, link
        self.dropped_frames = 0
        self.scheduled_ns: int | None = None

    def counts(self) -> tuple[int, ...]:
        """Its counts in the order of :data:`testbed.network.link_process.shared.FIELDS`."""
        link, way = self.link, self.link.way
        return (
            link.came_in_frames, link.refused_frames, link.crossed_frames, link.crossed_bytes,
            way.lost_frames, link.cut_frames, way.duplicated_frames, link.handed_on_frames,
            self.dropped_frames, link.waiting_frames, link.waiting_bytes, link.held_frames,
            link.most_waiting_frames, link.most_waiting_bytes,
        )  # fmt: skip


class Loop:
    """All links of a run."""

    def __init__(self, control: socket.socket, block: Block) -> None:
        self._control, self._block = control, block
        self._ring, self._timer = Ring(), Timer()
        self._lines: dict[tuple[str, str], Line] = {}
        self._by_port: dict[int, Line] = {}
        self._due: list[tuple[int, int, Line]] = []
        self._changed: set[Line] = set()
        self._late = [block.histogram(act) for act in (0, 1)]
        self._offset_ns = time.time_ns() - _now_ns()
        self._commands: Mapping[str, Callable[..., None]] = {
            "add": self._add,
            "change": self._change,
            "cut": self._cut,
            "begin": self._begin,
            "count": self._count_drops,
        }

    def run(self) -> None:
        """Carry frames until the control socket's other end is closed."""
        poller = select.epoll()
        for descriptor in (self._ring.socket.fileno(), self._timer.descriptor, self._control.fileno()):
            poller.register(descriptor, select.EPOLLIN)
        control, due, published_ns = self._control.fileno(), self._due, 0
        while True:
            self._turn()
            while due and due[0][0] != due[0][2].scheduled_ns:
                heapq.heappop(due)  # something else is due there by now
            now_ns = _now_ns()
            wait_ns = due[0][0] - now_ns if due else PUBLISHED_EVERY_NS
            if wait_ns < SOON_NS:
                continue
            if wait_ns >= PUBLISHED_EVERY_NS or now_ns >= published_ns + PUBLISHED_EVERY_NS:
                self._publish()
                published_ns = now_ns
            self._timer.set(due[0][0] if due else 0)
            for descriptor, _ in poller.poll(-1, 3):
                if descriptor == control:
                    self._turn()  # what came before the command comes before it
                    if not self._answer():
                        return

    def _turn(self) -> None:
        now_ns, due = _now_ns(), self._due
        if arrivals := self._ring.take():
            offset_ns = self._clock_offset_ns()
            for stamp_ns, port, frame in arrivals:
                at_ns = now_ns if offset_ns is None else stamp_ns - offset_ns
                if due and due[0][0] <= at_ns:
                    self._play_until(at_ns)
                self._arrive(port, at_ns, frame)
        if due and due[0][0] <= now_ns:
            self._play_until(now_ns)

    def _publish(self) -> None:
        for line in self._changed:
            self._block.write(line.number, line.counts())
        self._changed.clear()

    def _clock_offset_ns(self) -> int | None:
        """The realtime clock minus the monotonic one; ``None`` if it has jumped, and stamps are useless."""
        for _ in range(3):  # once more where this process was held up between two looks
            before_ns, real_ns, after_ns = _now_ns(), time.time_ns(), _now_ns()
            if after_ns - before_ns < LOOK_NS:
                break
        before, self._offset_ns = self._offset_ns, real_ns - (before_ns + after_ns) // 2
        if abs(self._offset_ns - before) <= CLOCK_JUMP_NS:
            return self._offset_ns
        self._block.clock_jumps += 1
        return None

    def _arrive(self, port: int, at_ns: int, frame: bytes) -> None:
        line = self._by_port.get(port)
        if line is None:
            return
        if frame:
            line.link.arrive(at_ns, frame)
            self._schedule(line)
        else:
            line.dropped_frames += 1
        self._changed.add(line)

    def _play_until(self, until_ns: int) -> None:
        """Do what is due by then on all lines, in the order of time: each until another's turn."""
        due = self._due
        while due and due[0][0] <= until_ns:
            due_ns, _, line = heapq.heappop(due)
            if due_ns == line.scheduled_ns:
                line.scheduled_ns = None
                line.link.play(min(due[0][0], until_ns) if due else until_ns)
                self._schedule(line)
                self._changed.add(line)

    def _schedule(self, line: Line) -> None:
        next_ns = line.link.next_ns
        if next_ns != line.scheduled_ns:
            line.scheduled_ns = next_ns
            if next_ns is not None:
                heapq.heappush(self._due, (next_ns, line.number, line))

    def _answer(self) -> bool:
        """Carry out one command; ``False`` if there will be no more."""
        message, descriptors, _, _ = socket.recv_fds(self._control, MAX_MESSAGE_BYTES, 1)
        if not message:
            return False
        reply: dict[str, Any] = {}
        try:
            command = json.loads(message)
            self._commands[command.pop("do")](*descriptors, **command)
        except (OSError, ValueError, KeyError, TypeError) as error:
            reply["error"] = f"{type(error).__name__}: {error}"
        finally:
            for descriptor in descriptors:
                os.close(descriptor)
        self._publish()
        self._control.send(json.dumps(reply | {"at_ns": _now_ns()}).encode())
        return True

    def _add(self, name: str, number: int, child: list[str], parent: list[str], up: Any, down: Any) -> None:
        """Add a link; ``child`` and ``parent`` are the port and the end of the wire on each side."""
        for place, direction, near, far, figures in (
            (0, "up", child, parent, up),
            (1, "down", parent, child, down),
        ):
            line = Line(name, direction, 2 * number + place, None)  # type: ignore[arg-type]
            put, hand = self._sender(line, near[1], 0), self._sender(line, far[0], 1)
            line.link = OneWayLink(_figures(figures), Fates(0, "", name, direction), put, hand)
            self._lines[name, direction] = line
            self._by_port[socket.if_nametoindex(near[0])] = line
            self._changed.add(line)

    def _sender(self, line: Line, interface: str, act: int) -> Callable[[int, bytes], None]:
        """A function that sends frames out of an interface, and notes how late each is."""
        sender = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        sender.bind((interface, 0))
        sender.setblocking(False)
        descriptor, write, late = sender.detach(), os.write, self._late[act].add

        def send(due_ns: int, frame: bytes) -> None:
            late(_now_ns() - due_ns)
            for _ in range(_SEND_RETRIES):
                try:
                    write(descriptor, frame)
                    return
                except OSError as error:
                    if error.errno not in (errno.EAGAIN, errno.ENOBUFS):
                        break
            line.dropped_frames += 1

        return send

    def _change(
        self, descriptor: int | None = None, *, link: str, direction: str, figures: dict[str, Any]
    ) -> None:
        """Change figures at once. A descriptor is that of a file of numbers to which they refer."""
        line, now_ns = self._lines[link, direction], _now_ns()
        line.link.change(now_ns, _figures(figures, line.link.figures, now_ns, descriptor))
        self._schedule(line)
        self._changed.add(line)

    def _cut(self, link: str, cut: bool) -> None:
        for direction in ("up", "down"):
            line = self._lines[link, direction]
            line.link.play(_now_ns())
            line.link.is_cut = cut
            self._schedule(line)

    def _begin(self, descriptor: int | None = None, *, seed: Any, method: str) -> None:
        """Begin a method: draw other fates, and count lateness and the fullest queues anew.

        A descriptor is that of a file of variants of the method's name, one for each direction.
        """
        variants = None if descriptor is None else _numbers(descriptor, "q")
        for line in self._lines.values():
            name = method if variants is None else variant(method, variants[line.number])
            line.link.begin(Fates(seed, name, line.name, line.direction))
            self._changed.add(line)
        for histogram in self._late:
            histogram.clear()

    def _count_drops(self) -> None:
        self._block.socket_dropped_frames += self._ring.new_drops()


def _figures(
    sent: dict[str, Any], before: Figures | None = None, now_ns: int = 0, descriptor: int | None = None
) -> Figures:
    """The figures that the client sent.

    ``opportunities`` and ``delays_ns`` come from the descriptor's file; ``keep`` stands for those of before.
    """
    way = dict(sent["way"])
    if way["bursts"] is not None:
        way["bursts"] = tuple(way["bursts"])
    if way["delays_ns"] is not None:
        kept = before.way.delays_ns if before is not None and way["delays_ns"] == "keep" else None
        way["delays_ns"] = kept if kept is not None else _numbers(descriptor, "q")
    opportunities = None
    if sent["opportunities"] is not None:
        opportunities = before.opportunities if before is not None else None
        if sent["opportunities"] != "keep" or opportunities is None:
            opportunities = Opportunities(_numbers(descriptor, "I"), now_ns)
    return Figures(sent["rate_bps"], sent["queue_frames"], opportunities, WayFigures(**way))


def _numbers(descriptor: int | None, kind: Literal["I", "q"]) -> Sequence[int]:
    """The file's numbers, mapped and not copied, so that a large file does not hold up frames."""
    if descriptor is None:
        raise ValueError("numbers were announced, and no file of them came")
    content = mmap.mmap(descriptor, os.fstat(descriptor).st_size, prot=mmap.PROT_READ)
    return memoryview(content).cast(kind)


def _take_precedence() -> dict[str, str | None]:
    """Ask for real-time priority, locked memory and a low OOM score; return what was refused, and why."""
    refused: dict[str, str | None] = {}
    try:
        policy = os.SCHED_FIFO | os.SCHED_RESET_ON_FORK
        os.sched_setscheduler(0, policy, os.sched_param(PRIORITY))
    except OSError as error:
        refused["priority"] = error.strerror
    if _libc.mlockall(_MCL_CURRENT_AND_FUTURE) != 0:
        refused["lock"] = os.strerror(ctypes.get_errno())
    try:
        with open("/proc/self/oom_score_adj", "w") as file:
            file.write("-1000")
    except OSError as error:
        refused["oom"] = error.strerror
    return refused


def main() -> None:
    """Run with two descriptors as arguments: the control socket, and the block of counts."""
    control = socket.socket(fileno=int(sys.argv[1]))
    try:
        loop = Loop(control, Block(int(sys.argv[2])))
    except OSError as error:
        control.send(json.dumps({"error": f"packet sockets are refused: {error.strerror}"}).encode())
        return
    gc.collect()
    gc.freeze()
    gc.disable()  # nothing here makes cycles
    control.send(json.dumps({"refused": _take_precedence()}).encode())
    loop.run()
