"""Real-time priority for threads that must be on time."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

_THREADS = Path("/proc/self/task")


def all_threads_promptly() -> AbstractContextManager[None]:
    """Give every thread of this process real-time priority in the block (sched(7)), if the host grants it.

    All need it: a thread that held the interpreter's lock and waited for a CPU would hold up the others. What
    is started meanwhile does not get it. Only for work that sleeps most of the time.
    """
    return _raised(int(entry.name) for entry in _THREADS.iterdir())


def promptly() -> AbstractContextManager[None]:
    """Give the calling thread real-time priority in the block (sched(7)), if the host grants it.

    A sender that waits for a CPU lets a short queue run dry, and the link would look slow. Whether the host
    is short of CPU is measured elsewhere.
    """
    return _raised([0])


@contextlib.contextmanager
def _raised(threads: Iterable[int]) -> Iterator[None]:
    policy, parameters = os.SCHED_FIFO | os.SCHED_RESET_ON_FORK, os.sched_param(1)
    before: dict[int, tuple[int, os.sched_param]] = {}
    for thread in threads:
        with contextlib.suppress(OSError):  # ended, or not root, or a control group without real time
            had = os.sched_getscheduler(thread), os.sched_getparam(thread)
            os.sched_setscheduler(thread, policy, parameters)
            before[thread] = had
    try:
        yield
    finally:
        for thread, (policy, parameters) in before.items():
            with contextlib.suppress(OSError):
                os.sched_setscheduler(thread, policy, parameters)


def as_started_by_hand() -> None:
    """Give this process, and those that it will start, the priority of one that a user starts in a shell.

    Ray's workers run with the least, and are the first that a kernel short of memory kills. A network that
    is emulated with the least priority is late, and would say so of its links.
    """
    for entry in _THREADS.iterdir():
        with contextlib.suppress(OSError):  # not root: it stays as it is
            os.setpriority(os.PRIO_PROCESS, int(entry.name), 0)
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("0")
