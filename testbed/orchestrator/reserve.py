"""Keeps room on the disk for the last words of a run, and ends it while the disk becomes full.

tcpdump does not tell of frames that it cannot write: a full disk would show at a method's end, and the
manifest, the verdicts and the seal would have no room either.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

from testbed.errors import TestbedError, is_disk_full
from testbed.host.processes.signals import interrupt_main, undisturbed

RESERVE = ".reserve"
"""The file that takes up the room; no name of a sealed file begins with a dot."""
LEAST_FREE_BYTES = 256 << 10
LEAST_FREE_FILES = 64
"""A run's last words are some ten files, each of which is a second one until it is whole."""
LOOKED_EVERY_S = 0.2
T = TypeVar("T")


class Reserve:
    """Room in a directory from the block's begin until :meth:`close`, for what is to be written after it.

    If the disk becomes full in the block, the main thread is interrupted; and later, :meth:`write` uses the
    room.

    Attributes:
        was_needed: whether :meth:`write` used it.

    Raises:
        TestbedError: on entering: there is no such room. On leaving: the disk became full meanwhile, whatever
            else the block raises of it.
    """

    def __init__(self, directory: Path, size_bytes: int) -> None:
        self._directory, self._size_bytes = directory, size_bytes
        self._ended = threading.Event()
        self._lack: str | None = None
        self._counts_files = True
        self.was_needed = False
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
        self._counts_files = os.statvfs(self._directory).f_favail > 0  # if not, it made one all the same
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with undisturbed(forget=True) as arrived:
            self._ended.set()
            self._thread.join()
        if self._lack is not None:
            self.close()
            raise TestbedError(
                f"{self._directory}: {self._lack} on its disk while the run went on; make room and run again"
            ) from error
        for number in arrived[:1]:  # none of ours
            signal.raise_signal(number)

    def write(self, act: Callable[[], T]) -> T:
        """Do what writes whole files; where the disk is full, once more with the room that was kept.

        Raises:
            OSError: that was not enough.
        """
        try:
            return act()
        except OSError as error:
            if not is_disk_full(error):
                raise
            self.was_needed = True
            self.close()
            return act()

    def close(self) -> None:
        """Free the room."""
        (self._directory / RESERVE).unlink(missing_ok=True)

    def _watch(self) -> None:
        while not self._ended.wait(LOOKED_EVERY_S):
            try:
                found = os.statvfs(self._directory)
            except OSError:  # it has gone, and whoever writes there says so
                return
            self._lack = self._lack_in(found)
            if self._lack is not None:
                if self._interrupts:
                    interrupt_main()
                return

    def _lack_in(self, found: os.statvfs_result) -> str | None:
        if found.f_bavail * found.f_frsize < LEAST_FREE_BYTES:
            return "no space left"
        if self._counts_files and found.f_favail < LEAST_FREE_FILES:
            return "no room for more files (inodes)"
        return None
