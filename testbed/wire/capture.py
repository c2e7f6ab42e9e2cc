"""Captures one WAN link into a pcap, and proves that it holds all that the kernel saw.

The kernel's ring buffer feeds tcpdump, which writes the file: a sniffer that handles each frame in Python
loses most of a fast link and does not say so. tcpdump stopped at once leaves what is still in the ring and
reports none of it as dropped; :meth:`Capture.stop` therefore waits until the numbers meet.
"""

from __future__ import annotations

import os
import re
import select
import shutil
import signal
import subprocess
import time
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import TracebackType

from testbed.errors import TestbedError
from testbed.wire.pcap import count_frames

START_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 30.0

_RING_SECONDS = 2.0
"""How long tcpdump may wait for a CPU while the link carries its full rate in both directions."""
_RING_BYTES = (2 << 20, 64 << 20)
_STOPPED_AT_A_TIME = 16
_POLL_S = 0.05
_NOBODY = "65534"
_PROGRAMS = {"tcpdump": "tcpdump", "nsenter": "util-linux", "setpriv": "util-linux"}
"""Each with the Debian package that has it."""
_COUNTS = re.compile(
    rb"(\d+) packets? captured[,\n]\s*"
    rb"(\d+) packets? received by filter[,\n]\s*"
    rb"(\d+) packets? dropped by kernel"
)


@cache
def _launcher() -> ThreadPoolExecutor:
    """The thread that starts every tcpdump.

    A process that asked for PR_SET_PDEATHSIG (prctl(2)) gets the signal when the thread that started it ends,
    and not only when its parent does: this thread lasts as long as the program.
    """
    return ThreadPoolExecutor(max_workers=1, thread_name_prefix="capture")


@dataclass(frozen=True, slots=True)
class CaptureReport:
    """What became of a capture."""

    frames: int
    """Whole frames in the file."""
    frame_bytes: int
    dropped_by_kernel: int
    faults: tuple[str, ...]
    """Why the file may lack frames, in sentences; empty if it lacks none."""


@dataclass(frozen=True, slots=True)
class _Counts:
    captured: int = 0
    received: int = 0
    dropped: int = 0


def ring_bytes(rate_bps: int | None) -> int:
    """Size of the kernel's ring for a link of this rate in each direction: 2 s of it, 2 to 64 MiB."""
    least, most = _RING_BYTES
    if rate_bps is None:
        return most
    return int(min(most, max(least, 2 * rate_bps / 8 * _RING_SECONDS)))


class Capture:
    """A capture of an interface into a pcap file: both directions, whole frames.

    A context manager: it captures from its start to its end, whether :meth:`stop` was called or not. tcpdump
    runs in the network namespace at ``netns_path`` alone, as nobody with CAP_NET_RAW only (its file is opened
    for it), in a session of its own so that Ctrl-C does not end it first, and dies with this process.
    """

    def __init__(
        self, interface: str, netns_path: str | Path, pcap: Path, rate_bps: int | None = None
    ) -> None:
        self.interface, self.netns_path, self.pcap, self.rate_bps = interface, str(netns_path), pcap, rate_bps
        self._process: subprocess.Popen[bytes] | None = None
        self._printed = b""

    @property
    def pid(self) -> int | None:
        return None if self._process is None else self._process.pid

    @property
    def alive(self) -> bool:
        """Whether tcpdump is running."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> Capture:
        """Start capturing; every frame that crosses after the return will be in the file.

        Raises:
            TestbedError: a program or the interface is missing, or the file cannot be written.
        """
        self._launch()
        self._wait_until_it_listens()
        return self

    def _launch(self) -> None:
        if self._process is not None:
            raise RuntimeError(f"the capture on {self.interface} was started before")
        for program, package in _PROGRAMS.items():
            if shutil.which(program) is None:
                raise TestbedError(f"{program} is missing; install the package {package}.")
        launched = _launcher().submit(_launch, self._command(), self.pcap)
        try:
            self._process = launched.result(START_TIMEOUT_S)
        except TimeoutError as error:
            launched.add_done_callback(lambda late: late.result().kill())
            raise TestbedError(f"capture on {self.interface}: no process in {START_TIMEOUT_S:g} s") from error
        except OSError as error:
            raise self._not_started(f"{error.filename}: {error.strerror}") from error

    def _wait_until_it_listens(self) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        while b"listening on" not in self._printed:
            if not self._listen(deadline):
                reason = self._reason()
                self.abort()
                raise self._not_started(reason)

    def _not_started(self, reason: str) -> TestbedError:
        return TestbedError(f"capture on {self.interface}: {reason}; check the interface and the disk.")

    def stop(self, expected_frames: int = 0, timeout_s: float = STOP_TIMEOUT_S) -> CaptureReport:
        """End the capture as soon as the file holds all that the kernel received for it.

        Args:
            expected_frames: by how much the interface's counters (sent and received) rose since the start.
            timeout_s: how long to wait for frames; what is missing then is a fault.
        """
        if self._process is None:
            raise RuntimeError(f"the capture on {self.interface} was not started")
        faults = []
        if self.alive:
            faults += self._settle(expected_frames, timeout_s)
        if self.alive:
            self._process.terminate()
        else:
            faults.append(f"tcpdump on {self.interface} ended before it was stopped ({self._reason()})")
        self._end()
        return self._report(expected_frames, faults)

    def abort(self) -> None:
        """End the capture at once; the file may be cut off. Does nothing the second time."""
        if self._process is not None:
            self._process.kill()
            self._end()

    def __enter__(self) -> Capture:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.alive:
            self.abort()

    def _command(self) -> list[str]:
        enter = ["nsenter", f"--net={self.netns_path}", "--"]
        drop = ["setpriv", "--reuid", _NOBODY, "--regid", _NOBODY, "--clear-groups", "--no-new-privs"]
        drop += ["--inh-caps=-all,+net_raw", "--ambient-caps=-all,+net_raw", "--bounding-set=-all,+net_raw"]
        drop += ["--pdeathsig", "TERM", "--"]
        ring_kib = str(ring_bytes(self.rate_bps) // 1024)
        # No name resolution, no promiscuous mode, whole frames, into the file that was opened for it.
        options = ["-n", "-p", "-s", "0", "-B", ring_kib, "-i", self.interface, "-w", "-"]
        return [*enter, *drop, "tcpdump", *options]

    def _listen(self, deadline: float) -> bool:
        """Read what tcpdump prints next; False if it prints no more, or nothing by ``deadline``."""
        process = self._process
        if process is None or process.stderr is None or process.stderr.closed:
            return False
        ready, _, _ = select.select([process.stderr], [], [], max(0.0, deadline - time.monotonic()))
        printed = os.read(process.stderr.fileno(), 65536) if ready else b""
        self._printed += printed
        return bool(printed)

    def _counts(self) -> _Counts:
        """The last figures that tcpdump has printed."""
        printed = _COUNTS.findall(self._printed)
        return _Counts(*map(int, printed[-1])) if printed else _Counts()

    def _ask(self, deadline: float) -> _Counts | None:
        """tcpdump's figures as of now (SIGUSR1, tcpdump(8)); ``None`` if it does not answer."""
        seen = len(_COUNTS.findall(self._printed))
        if not self.alive or self._process is None:
            return None
        self._process.send_signal(signal.SIGUSR1)
        while len(_COUNTS.findall(self._printed)) == seen:
            if not self._listen(deadline):
                return None
        return self._counts()

    def _settle(self, expected_frames: int, timeout_s: float) -> list[str]:
        """Wait until tcpdump has written what the kernel received; say what is missing after the time-out."""
        deadline = time.monotonic() + timeout_s
        while True:
            counts = self._ask(deadline)
            if counts is None:
                return [f"tcpdump on {self.interface} gave no figures"] if self.alive else []
            if counts.captured + counts.dropped >= max(counts.received, expected_frames):
                return []
            if time.monotonic() >= deadline:
                return [f"tcpdump on {self.interface} was not done after {timeout_s:.0f} s"]
            time.sleep(_POLL_S)

    def _end(self) -> None:
        """Read what tcpdump still prints, and wait for its end."""
        process = self._process
        if process is None or process.stderr is None or process.stderr.closed:
            return
        try:
            _, printed = process.communicate(timeout=STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            try:
                _, printed = process.communicate(timeout=STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired as error:
                raise TestbedError(
                    f"tcpdump on {self.interface} cannot be ended; does the disk hang?"
                ) from error
        self._printed += printed

    def _reason(self) -> str:
        """Why tcpdump ended, or what it printed last."""
        while self._listen(time.monotonic()):
            pass
        lines = self._printed.decode(errors="replace").splitlines()
        notes = [line for line in lines if not _is_routine(line)]
        status = None if self._process is None else self._process.poll()
        if status is not None and status < 0:
            notes.append(signal.Signals(-status).name)
        reason = "; ".join(note.removeprefix("tcpdump: ") for note in notes)
        return reason or ("it said nothing" if status is None else f"exit status {status}")

    def _report(self, expected_frames: int, faults: list[str]) -> CaptureReport:
        counts = self._counts()
        frames = frame_bytes = 0
        try:
            frames, frame_bytes = count_frames(self.pcap)
        except TestbedError as error:
            faults.append(str(error))
        else:
            if frames != counts.captured:
                faults.append(
                    f"{self.pcap} holds {frames} of {counts.captured} captured frames; is the disk full?"
                )
            if frames < expected_frames:
                faults.append(
                    f"{self.pcap} holds {frames} of the {expected_frames} frames on {self.interface}"
                )
        if counts.dropped:
            faults.append(
                f"the kernel dropped {counts.dropped} frames before the capture on {self.interface}"
            )
        return CaptureReport(frames, frame_bytes, counts.dropped, tuple(faults))


@contextmanager
def capturing(captures: Iterable[Capture]) -> Iterator[None]:
    """Capture with all of them from the block's start to its end, as with each alone.

    They start at the same time, for a start is mostly waiting.

    Raises:
        TestbedError: one cannot start; then none is left.
    """
    captures = list(captures)
    with ExitStack() as stack:
        for capture in captures:
            stack.push(capture)
            capture._launch()
        for capture in captures:
            capture._wait_until_it_listens()
        yield


def stop_all(captures: Mapping[str, Capture], expected_frames: Mapping[str, int]) -> dict[str, CaptureReport]:
    """Stop captures as :meth:`Capture.stop` does, several at a time; ``expected_frames`` are by key too."""
    with ThreadPoolExecutor(_STOPPED_AT_A_TIME, thread_name_prefix="capture-end") as pool:
        stopping = {key: pool.submit(capture.stop, expected_frames[key]) for key, capture in captures.items()}
        return {key: future.result() for key, future in stopping.items()}


def _launch(command: list[str], pcap: Path) -> subprocess.Popen[bytes]:
    """Start tcpdump with its output in the file and its notes in a pipe."""
    with pcap.open("wb") as file:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )


def _is_routine(line: str) -> bool:
    return "listening on" in line or re.search(r"\d+ packets? (captured|received|dropped)", line) is not None
