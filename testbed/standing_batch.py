"""A process of ``tc`` or ``ip`` that stands by, for changes of links that are due at their moment.

To start a process takes milliseconds, and in user-mode Linux a tenth of a second and more, in which the
whole machine stands still. One that is there carries out a change in a few milliseconds.
"""

from __future__ import annotations

import os
import select
import subprocess
import threading
import time
from collections.abc import Sequence

from testbed.errors import TestbedError
from testbed.netns import COMMAND_TIMEOUT_S, Popen_in

_MARK = "all-of-it"
"""No object that iproute2 knows: it complains of it when all lines before are done."""


class StandingBatch:
    """``program`` in the network namespace at ``path``, its standard input open; end it with :meth:`close`.

    May be used from several threads: each call is carried out as a whole.
    """

    def __init__(self, path: str, program: str) -> None:
        # Unbuffered pipes: a line is given, and an answer taken, at once.
        self._process = Popen_in(
            path, [program, "-force", "-batch", "-"], bufsize=0,
            stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        )  # fmt: skip
        self._program = program
        self._lines = 0
        self._said = b""
        self._lock = threading.Lock()

    def run(self, lines: Sequence[str]) -> None:
        """Carry out the commands, each whatever becomes of the others; return when the kernel has done so.

        Raises:
            TestbedError: one was refused, and the message quotes it and the kernel's answer; or the process
                has ended.
        """
        with self._lock:
            before = self._lines
            self._lines += len(lines) + 1
            self._give("".join(f"{line}\n" for line in [*lines, _MARK]).encode())
            said = self._take_until(f"Command failed -:{self._lines}")
        words = [line for line in said if line and _MARK not in line]
        for line in words:
            if line.startswith("Command failed -:"):
                refused = lines[int(line.rpartition(":")[2]) - before - 1]
                others = " ".join(one for one in words if not one.startswith("Command failed"))
                raise TestbedError(f"`{self._program}` failed: {others} (at {refused!r})")

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()

    def _give(self, data: bytes) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(data)
        except OSError as error:
            raise TestbedError(f"`{self._program}` has ended ({error.strerror})") from error

    def _take_until(self, last: str) -> list[str]:
        """Lines of its standard error before ``last``, which is taken too."""
        assert self._process.stderr is not None
        descriptor, end_s = self._process.stderr.fileno(), time.monotonic() + COMMAND_TIMEOUT_S
        marker = f"{last}\n".encode()
        while marker not in self._said:
            ready, _, _ = select.select([descriptor], [], [], max(0.0, end_s - time.monotonic()))
            data = os.read(descriptor, 65536) if ready else b""
            if not data:
                raise TestbedError(f"`{self._program}` has ended, or did not answer")
            self._said += data
        taken, _, self._said = self._said.partition(marker)
        return taken.decode(errors="replace").splitlines()
