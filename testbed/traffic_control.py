"""A tc(8) that stays: in user-mode Linux a new process is a third of a second, an event's whole allowance."""

from __future__ import annotations

import os
import select
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from testbed.errors import TestbedError
from testbed.netns import Popen_in

if TYPE_CHECKING:
    from testbed.link import WanLink

_TIMEOUT_S = 30.0
_END = "end-of-batch"
"""No command of tc's: it complains, with the number of the line, once everything before it is done."""


@contextmanager
def standing_by(links: Sequence[WanLink]) -> Iterator[None]:
    """Let a tc stand by for all changes of ``links``, which are in one namespace, while the context lasts."""
    before = [link.tc for link in links]
    tc = TrafficControl(links[0].netns_path)
    try:
        for link in links:
            link.tc = tc
        yield
    finally:
        for link, one in zip(links, before, strict=True):
            link.tc = one
        tc.close()


class TrafficControl:
    """tc(8) in batch mode in the namespace at ``netns_path``.

    Called with lines, from any thread, it returns when the kernel has them.

    Raises:
        TestbedError: when called: a line was refused; those after it were carried out.
    """

    def __init__(self, netns_path: str) -> None:
        self._process = Popen_in(
            netns_path,
            ["tc", "-force", "-batch", "-"],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C is the run's to handle
        )
        self._lock = threading.Lock()
        self._line = 0

    def __call__(self, lines: Sequence[str]) -> None:
        with self._lock:
            first, self._line = self._line + 1, self._line + len(lines) + 1
            assert self._process.stdin is not None
            self._process.stdin.write("".join(f"{line}\n" for line in (*lines, _END)).encode())
            self._process.stdin.flush()
            said = self._answer(f"Command failed -:{self._line}\n".encode())
        failed = [one for one in said if one.startswith("Command failed -:")]
        if failed:
            line = lines[int(failed[0].rpartition(":")[2]) - first]
            others = " ".join(one for one in said if one not in failed and _END not in one)
            raise TestbedError(f"tc refused {line!r}: {others}")

    def close(self) -> None:
        """End it."""
        self._process.kill()
        self._process.communicate()

    def _answer(self, end: bytes) -> list[str]:
        """What tc says up to its complaint about the last line."""
        assert self._process.stderr is not None
        said, deadline = b"", time.monotonic() + _TIMEOUT_S
        while not said.endswith(end):
            ready, _, _ = select.select([self._process.stderr], [], [], max(0.0, deadline - time.monotonic()))
            more = os.read(self._process.stderr.fileno(), 65536) if ready else b""
            if not more:
                raise TestbedError(
                    f"tc does not answer ({said.decode(errors='replace').strip() or 'no word'})"
                )
            said += more
        return said.removesuffix(end).decode(errors="replace").splitlines()
