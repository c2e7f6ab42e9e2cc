"""The link process from a run's side: starts it, sends it commands, watches it, ends it."""

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
from array import array
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn, Self

from testbed.errors import TestbedError
from testbed.host.processes.reporting import last_line
from testbed.network.kernel.netns import Popen_in
from testbed.network.link_process import loop, shared
from testbed.network.link_process.cpu import CpuBySecond
from testbed.network.readings import LinkCounts
from testbed.scenario.reports import NO_REAL_TIME, NOT_LOCKED, ActLateness, ProcessReport
from testbed.scenario.topology import DIRECTIONS, Direction, Shape

START_TIMEOUT_S = 30.0
ANSWER_TIMEOUT_S = 20.0
END_TIMEOUT_S = 5.0


class LinkProcess:
    """The process that emulates all links of a run, in the network namespace at ``netns_path``.

    It is a context manager: left, the process has ended. The process also ends when ours does.

    Raises:
        TestbedError: on entering: it cannot be started, or the kernel refuses packet sockets.

    Attributes:
        refused: the privileges that the host did not grant (``priority``, ``lock``, ``oom``), and why.
        ended: called, from a thread, if the process ends before it should.
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
            self._errors = stack.enter_context(tempfile.TemporaryFile())
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
                    stderr=self._errors,
                    pass_fds=(theirs.fileno(), descriptor),
                    start_new_session=True,  # Ctrl-C is the run's to handle
                )  # fmt: skip
            finally:
                theirs.close()
                os.close(descriptor)
            stack.callback(self._end)
            self.refused = self._reply(START_TIMEOUT_S)["refused"]
            self._cpu = CpuBySecond(self._process.pid)
            self._watch = threading.Thread(target=self._watch_process, name="link-process-watch", daemon=True)
            self._watch.start()
            stack.callback(self._watch.join)
            stack.callback(self._stop_watching)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @property
    def lacks(self) -> list[str]:
        """A sentence for each privilege that the host did not grant, without which frames may be late."""
        sentences = {"priority": NO_REAL_TIME, "lock": NOT_LOCKED}
        return [
            f"{sentence} ({self.refused[privilege]})"
            for privilege, sentence in sentences.items()
            if privilege in self.refused
        ]

    @property
    def pid(self) -> int:
        return int(self._process.pid)

    @property
    def has_ended(self) -> bool:
        """Whether it has ended though it should not."""
        return not self._closing and self._process.poll() is not None

    def add(
        self, name: str, child: tuple[str, str], parent: tuple[str, str], shapes: dict[Direction, Shape]
    ) -> None:
        """Carry a link from now on; ``child`` and ``parent`` are port and end of the wire on each side."""
        number = self._numbers.setdefault(name, len(self._numbers))
        up, down = (_figures(shapes[direction]) for direction in DIRECTIONS)
        self._command("add", name=name, number=number, child=child, parent=parent, up=up, down=down)
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
            opportunities_ms: those of a rate file, which take the place of the rate.
            following: go on with the rate file that the direction follows.
            same_delays: go on with the file of delays that the direction follows.
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
        self._command("change", numbers, link=link, direction=direction, figures=figures)

    def cut(self, link: str, *, cut: bool) -> None:
        """From now on lose every frame of a link after its wire, in both directions; or no longer."""
        self._command("cut", link=link, cut=cut)

    def begin(
        self, seed: int, method: str, variants: Mapping[tuple[str, Direction], int] | None = None
    ) -> None:
        """Begin a method: draw fates by ``seed`` and ``method``, the next frame on each wire being the first.

        Lateness and the fullest queues are counted anew.

        Args:
            variants: by link and direction, of the method's name
                (:func:`testbed.network.link_process.fates.variant`); 0 of those that are not in it.
        """
        numbers = None
        if variants:
            numbers = array("q", bytes(8 * 2 * len(self._numbers)))
            for (link, direction), number in variants.items():
                numbers[2 * self._numbers[link] + DIRECTIONS.index(direction)] = number
        self._command("begin", numbers, seed=seed, method=method)
        self._socket_drops_before = self._block.socket_dropped_frames
        self._jumps_before = self._block.clock_jumps
        self._cpu.restart()

    def counts(self, link: str, direction: Direction) -> LinkCounts:
        """Read a direction's counts, without asking the process."""
        try:
            return LinkCounts(*self._block.read(2 * self._numbers[link] + DIRECTIONS.index(direction)))
        except OSError as error:
            raise TestbedError(f"{error}; {self._state()}") from None

    def report(self) -> ProcessReport:
        """What the process did since the method began."""
        self._command("count")
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
        """Raise a TestbedError, with what it printed last, if it has ended."""
        if self.has_ended:
            self._raise_ended()

    def _lateness(self, act: int) -> ActLateness:
        histogram = self._block.histogram(act)
        p50_ns, p99_ns = (histogram.percentile_ns(share) for share in (0.5, 0.99))
        return ActLateness(histogram.count, p50_ns / 1e6, p99_ns / 1e6, histogram.max_ns / 1e6)

    def _command(self, do: str, numbers: array[int] | None = None, **arguments: Any) -> None:
        """Have something done, and return when it is."""
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
                self._raise_ended()
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
            self._raise_ended()
        reply: dict[str, Any] = json.loads(message)
        if set(reply) == {"error"}:
            raise TestbedError(f"the link process cannot work here: {reply['error']}")
        return reply

    def _raise_ended(self) -> NoReturn:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(END_TIMEOUT_S)
        raise TestbedError(f"the link process has ended, and all links with it: {self._state()}")

    def _state(self) -> str:
        """What the process printed last; if nothing, whether it runs, or how it ended."""
        status = self._process.poll()
        self._errors.seek(0)
        if printed := self._errors.read()[-2000:].strip():
            return last_line(printed)[:300]
        if status is None:
            return "it still runs"
        return signal.Signals(-status).name if status < 0 else f"exit status {status}"

    def _watch_process(self) -> None:
        """The thread's: note the CPU time of each second, and call :attr:`ended` if the process ends."""
        descriptor = os.pidfd_open(self._process.pid)
        try:
            while not self._closing:
                ready, _, _ = select.select([descriptor], [], [], self._cpu.wait_s())
                if ready:
                    # Here no signal comes between the kernel's word on how it ended and its being kept.
                    self._process.wait()
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


def _figures(shape: Shape) -> dict[str, Any]:
    """A shape as the process takes it; :meth:`LinkProcess.change` adds what is in files."""
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
