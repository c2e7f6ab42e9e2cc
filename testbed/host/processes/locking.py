"""A lock file that one process at a time holds, released when the process ends."""

from __future__ import annotations

import contextlib
import fcntl
from collections.abc import Iterator
from pathlib import Path

from testbed.errors import TestbedError
from testbed.host.processes.reporting import Report
from testbed.host.processes.waiting import wait_until

_POLL_S = 0.2


@contextlib.contextmanager
def exclusive(path: Path, what: str, timeout_s: float, report: Report) -> Iterator[None]:
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
        if not _taken(lock.fileno()):
            report(f"another process is {what}: waiting for it")
            sentence = (
                f"another process has been {what} for {timeout_s:.0f} s (`fuser {path}` names it); end it"
            )
            wait_until(lambda: _taken(lock.fileno()), timeout_s, _POLL_S, or_raise=sentence)
        yield


def _taken(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
