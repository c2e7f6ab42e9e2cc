"""One process at a time, across processes and clones; a process that dies lets go."""

from __future__ import annotations

import contextlib
import fcntl
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from testbed.errors import TestbedError

_POLL_S = 0.2


@contextlib.contextmanager
def exclusive(path: Path, what: str, timeout_s: float, report: Callable[[str], None]) -> Iterator[None]:
    """Hold the lock file ``path`` (flock(2)) while the block runs; ``what`` says in words what it guards.

    Raises:
        TestbedError: ``path`` cannot be written, or another process held it for ``timeout_s`` seconds.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = path.open("w")
    except OSError as error:
        raise TestbedError(f"cannot write {path} ({error.strerror}); make its directory writable") from error
    with lock:
        deadline = time.monotonic() + timeout_s
        waiting = False
        while not _taken(lock.fileno()):
            if not waiting:
                report(f"another process is {what}: waiting for it")
                waiting = True
            if time.monotonic() > deadline:
                raise TestbedError(
                    f"another process has been {what} for {timeout_s:.0f} s (`fuser {path}` names it); end it"
                )
            time.sleep(_POLL_S)
        yield


def _taken(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
