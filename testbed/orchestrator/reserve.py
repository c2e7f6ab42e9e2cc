"""Keeps room on the disk for the last words of a run, and ends it while the disk becomes full.

tcpdump does not tell of frames that it cannot write: a full disk would show at a method's end, and the
manifest, the verdicts and the seal would have no room either.
"""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path
from types import TracebackType
from typing import Self

from testbed.errors import TestbedError
from testbed.host.processes.signals import interrupt_main, undisturbed

RESERVE = ".reserve"
"""The file that takes up the room; no name of a sealed file begins with a dot."""
LEAST_FREE_BYTES = 256 << 10
LOOKED_EVERY_S = 0.2


class Reserve:
    """Room in a directory while the block runs; freed at its end, for what is to be written then.

    If the disk becomes full, the main thread is interrupted.

    Raises:
        TestbedError: on entering: there is no such room. On leaving: the disk became full meanwhile, whatever
            else the block raises of it.
    """

    def __init__(self, directory: Path, size_bytes: int) -> None:
        self._directory, self._size_bytes = directory, size_bytes
        self._ended = threading.Event()
        self._is_full = False
        self._thread = threading.Thread(target=self._watch, name="disk-watch", daemon=True)
        self._interrupts = threading.current_thread() is threading.main_thread()

    def __enter__(self) -> Self:
        path = self._directory / RESERVE
        try:
            with path.open("wb") as file:
                os.posix_fallocate(file.fileno(), 0, self._size_bytes)
        except OSError as error:
            path.unlink(missing_ok=True)
            raise TestbedError(f"{path}: {error.strerror}; make room on that disk and run again") from error
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with undisturbed(forget=True) as arrived:
            self._ended.set()
            self._thread.join()
            (self._directory / RESERVE).unlink(missing_ok=True)
        if self._is_full:
            raise TestbedError(
                f"{self._directory}: no space left on its disk while the run went on; make room and run again"
            ) from error
        for number in arrived[:1]:  # none of ours
            signal.raise_signal(number)

    def _watch(self) -> None:
        while not self._ended.wait(LOOKED_EVERY_S):
            try:
                found = os.statvfs(self._directory)
            except OSError:  # it has gone, and whoever writes there says so
                return
            if found.f_bavail * found.f_frsize < LEAST_FREE_BYTES:
                self._is_full = True
                if self._interrupts:
                    interrupt_main()
                return
