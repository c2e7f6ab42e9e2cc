"""The link process as a run sees it: started, asked, watched, ended."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from array import array
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Self

from testbed.errors import TestbedError
from testbed.network.kernel.netns import Popen_in
from testbed.network.link_process import loop, shared
from testbed.network.readings import LinkCounts
from testbed.scenario.reports import ActLateness, ProcessReport
from testbed.scenario.topology import DIRECTIONS, Direction, Shape

START_TIMEOUT_S = 30.0
ANSWER_TIMEOUT_S = 20.0
END_TIMEOUT_S = 5.0
CPU_INTERVAL_S = 1.0


class LinkProcess:
    """All links of a run in one process, in the network namespace at ``netns_path``.

    It is a context manager: left, the process has ended. It also ends by itself when we do, however we end.

    Raises:
        TestbedError: on entering: it cannot be started, or the kernel refuses packet sockets.

    Attributes:
        refused: what of precedence over other processes the host did not grant (``priority``, ``lock``,
            ``oom``), and why.
        ended: called, from a thread, if the process ends before it is told to.
    """

    def __init__(self, netns_path: str) -> None:
        self._netns_path = netns_path
        self._lock = threading.Lock()
        self._numbers: dict[str, int] = {}
        self._socket_drops_before = self._jumps_before = 0
        self._closing = False
        self.refused: dict[str, str] = {}
        self.ended: Callable[[], None] = lambda: None

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as stack:
            self._words = stack.enter_context(tempfile.TemporaryFile())
            self._block, descriptor = shared.Block.create()
            stack.callback(self._block.close)
            self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            stack.callback(self._control.close)
            try:
                self._process = Popen_in(
                    self._netns_path,
                    [sys.executable, "-I", "-S", str(Path(loop.__file__).parent),
                     str(theirs.fileno()), str(descriptor)],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=self._words,
                    pass_fds=(theirs.fileno(), descriptor),
                    start_new_session=True,  # Ctrl-C is the run's to handle
                )  # fmt: skip
            finally:
                theirs.close()
                os.close(descriptor)
            stack.callback(self._end)
            self.refused = self._reply(START_TIMEOUT_S)["refused"]
            self._cpu = _CpuBySecond(self._process.pid)
            self._watch = threading.Thread(target=self._watch_it, name="link-process-watch", daemon=True)
            self._watch.start()
            stack.callback(self._watch.join)
            stack.callback(self._stop_watching)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @property
    def lacks(self) -> list[str]:
        """A sentence for each thing that the host did not grant and that may cost the verdict on latency."""
        costs = {"priority": "real-time priority: frames may be late while the CPUs are busy"}
        costs["lock"] = "to lock its memory: frames may be late while memory is short"
        return [
            f"the link process was refused {cost} ({self.refused[what]})"
            for what, cost in costs.items()
            if what in self.refused
        ]

    @property
    def pid(self) -> int:
        return int(self._process.pid)

    @property
    def has_ended(self) -> bool:
        """Whether it has ended without having been told to."""
        return not self._closing and self._process.poll() is not None

    def add(
        self, name: str, child: tuple[str, str], parent: tuple[str, str], shapes: dict[Direction, Shape]
    ) -> None:
        """Carry a link from now on; ``child`` and ``parent`` are port and end of the wire at either side."""
        number = self._numbers.setdefault(name, len(self._numbers))
        up, down = (_figures(shapes[direction]) for direction in DIRECTIONS)
        self._ask("add", name=name, number=number, child=child, parent=parent, up=up, down=down)
        for direction, shape in shapes.items():
            if shape.delay_file is not None:
                self.change(name, direction, shape)

    def change(
        self,
        link: str,
        direction: Direction,
        shape: Shape,
        *,
        opportunities_ms: Sequence[int] | None = None,
        following: bool = False,
        same_delays: bool = False,
    ) -> None:
        """Give a direction of a link another shape, at once.

        Args:
            opportunities_ms: a rate file's, in place of the rate from now on.
            following: leave the rate file that it follows as it is.
            same_delays: leave the file of delays that it follows as it is.
        """
        figures, numbers = _figures(shape), None
        if opportunities_ms is not None:
            figures["opportunities"], numbers = "new", array("I", opportunities_ms)
        elif following:
            figures["opportunities"] = "keep"
        if shape.delay_file is not None:
            figures["way"]["delays_ns"] = "keep" if same_delays else "new"
        if opportunities_ms is not None and figures["way"]["delays_ns"] == "new":
            raise ValueError("one file at a time")
        if figures["way"]["delays_ns"] == "new":
            from testbed.scenario.reading.delay_file import read_delay_file

            numbers = array("q", [round(ms * 1e6) for ms in read_delay_file(Path(str(shape.delay_file)))])
        self._ask("change", numbers, link=link, direction=direction, figures=figures)

    def cut(self, link: str, *, cut: bool) -> None:
        """From now on lose every frame of a link behind its wire, both ways; or no longer."""
        self._ask("cut", link=link, cut=cut)

    def begin(self, seed: int, method: str) -> None:
        """Begin a method: fates are drawn from ``seed`` and ``method``, for the next frame on each wire as
        for the first one; lateness and fullest queues are counted anew.
        """
        self._ask("begin", seed=seed, method=method)
        self._socket_drops_before = self._block.socket_dropped_frames
        self._jumps_before = self._block.clock_jumps
        self._cpu.restart()

    def counts(self, link: str, direction: Direction) -> LinkCounts:
        """Read a direction's counts, without asking the process."""
        try:
            return LinkCounts(*self._block.read(2 * self._numbers[link] + DIRECTIONS.index(direction)))
        except OSError as error:
            raise TestbedError(f"{error}; {self._last_words()}") from None

    def report(self) -> ProcessReport:
        """What it says of itself since the method began."""
        self._ask("count")
        put, handed = (self._lateness(act) for act in range(len(shared.ACTS)))
        return ProcessReport(
            put_on_wire=put,
            handed_on=handed,
            socket_dropped_frames=self._block.socket_dropped_frames - self._socket_drops_before,
            clock_jumps=self._block.clock_jumps - self._jumps_before,
            real_time="priority" not in self.refused,
            locked="lock" not in self.refused,
            cpu_by_second=self._cpu.shares(),
        )

    def require_alive(self) -> None:
        """Raise a TestbedError, with what it said last, if it has ended."""
        if self.has_ended:
            raise TestbedError(f"the link process has ended, and all links with it: {self._last_words()}")

    def _lateness(self, act: int) -> ActLateness:
        histogram = self._block.histogram(act)
        p50_ns, p99_ns = (histogram.percentile_ns(share) for share in (0.5, 0.99))
        return ActLateness(histogram.count, p50_ns / 1e6, p99_ns / 1e6, histogram.max_ns / 1e6)

    def _ask(self, do: str, numbers: array[int] | None = None, **arguments: Any) -> None:
        """Have one thing done, and return when it is."""
        message = json.dumps({"do": do, **arguments}).encode()
        with self._lock, contextlib.ExitStack() as stack:
            descriptors = []
            if numbers is not None:
                descriptors = [os.memfd_create("link-figures")]
                stack.callback(os.close, descriptors[0])
                with open(descriptors[0], "wb", closefd=False) as file:
                    numbers.tofile(file)
            try:
                socket.send_fds(self._control, [message], descriptors)
            except OSError:
                self._gone()
            reply = self._reply(ANSWER_TIMEOUT_S)
        if "error" in reply:
            raise TestbedError(f"the link process refused to {do}: {reply['error']}")

    def _reply(self, timeout_s: float) -> dict[str, Any]:
        ready, _, _ = select.select([self._control], [], [], timeout_s)
        if not ready:
            raise TestbedError(
                f"the link process does not answer within {timeout_s:.0f} s; is the host short of CPU?"
            )
        message = b""
        with contextlib.suppress(ConnectionError):
            message = self._control.recv(loop.MAX_MESSAGE_BYTES)
        if not message:
            self._gone()
        reply: dict[str, Any] = json.loads(message)
        if set(reply) == {"error"}:
            raise TestbedError(f"the link process cannot work here: {reply['error']}")
        return reply

    def _gone(self) -> None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(END_TIMEOUT_S)
        raise TestbedError(f"the link process has ended, and all links with it: {self._last_words()}")

    def _last_words(self) -> str:
        status = self._process.poll()
        self._words.seek(0)
        said = self._words.read()[-2000:].decode(errors="replace").strip().splitlines()
        if said:
            return said[-1][:300]
        if status is None:
            return "it still runs"
        return signal.Signals(-status).name if status < 0 else f"exit status {status}"

    def _watch_it(self) -> None:
        """The thread: note its CPU time each second, and tell if it ends."""
        descriptor = os.pidfd_open(self._process.pid)
        try:
            while not self._closing:
                ready, _, _ = select.select([descriptor], [], [], self._cpu.wait_s())
                if ready:
                    if not self._closing:
                        self.ended()
                    return
                self._cpu.note()
        finally:
            os.close(descriptor)

    def _stop_watching(self) -> None:
        self._closing = True
        self._control.shutdown(socket.SHUT_RDWR)  # it ends, and with it the wait for its end

    def _end(self) -> None:
        self._closing = True
        self._control.close()
        try:
            self._process.wait(END_TIMEOUT_S)
        except subprocess.TimeoutExpired:  # it stands still
            self._process.kill()
            self._process.wait()


class _CpuBySecond:
    """A process's share of one CPU, second by second (/proc/PID/schedstat)."""

    def __init__(self, pid: int) -> None:
        self._path = Path(f"/proc/{pid}/schedstat")
        self._lock = threading.Lock()
        self.restart()

    def restart(self) -> None:
        with self._lock:
            self._last_s, self._last_ns = time.monotonic(), self._read_ns()
            self._shares: list[float] = []

    def wait_s(self) -> float:
        """How long until the second is over."""
        return max(0.01, self._last_s + CPU_INTERVAL_S - time.monotonic())

    def note(self) -> None:
        with self._lock:
            now_s, now_ns = time.monotonic(), self._read_ns()
            if now_s - self._last_s >= 0.9 * CPU_INTERVAL_S:
                self._shares.append((now_ns - self._last_ns) / 1e9 / (now_s - self._last_s))
                self._last_s, self._last_ns = now_s, now_ns

    def shares(self) -> tuple[float, ...]:
        with self._lock:
            return tuple(self._shares)

    def _read_ns(self) -> int:
        try:
            return int(self._path.read_text().split()[0])
        except (OSError, IndexError):  # it has ended
            return 0


def _figures(shape: Shape) -> dict[str, Any]:
    """A shape as the process takes it; what stands in files is announced by :meth:`LinkProcess.change`."""
    bursts = shape.bursts
    return {
        "rate_bps": shape.rate_bps,
        "queue_frames": shape.queue_frames,
        "opportunities": None,
        "way": {
            "delay_ns": round(shape.delay_ms * 1e6),
            "jitter_ns": round(shape.jitter_ms * 1e6),
            "distribution": shape.jitter_distribution,
            "loss": shape.loss,
            "bursts": None if bursts is None else (bursts.p, bursts.r, bursts.bad, bursts.good),
            "duplicate": shape.duplicate,
            "reorder": shape.reorder,
            "delays_ns": None,
        },
    }
