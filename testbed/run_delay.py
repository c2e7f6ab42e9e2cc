"""How long a container's threads waited for a CPU that its quota allowed.

The kernel counts for each thread how long it was ready to run and did not (*run delay*, the second figure of
/proc/TID/schedstat, proc_pid_schedstat(5)). While a quota throttles the container its threads are ready and
do not run either, and that counts as well; it is the emulation at work, and is taken off.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Protocol, Self

from testbed.errors import TestbedError

INTERVAL_S = 1.0
MOST_OF_TIME = 0.02
"""Share of the time that looking may take: with many containers it is done less often."""
PROC = Path("/proc")


class RunDelay:
    """The waiting of one container, summed over its threads; each look adds what came since the last.

    Of what a thread's delay grew by between two looks at most as much was throttling as the container was
    throttled in that time, on all CPUs together. So the sum is never too high, and is exact where nothing was
    throttled or one thread alone was ready. What a thread waited since the last look before it ended is lost.

    Attributes:
        waited_s: so far; 0 at the first look.
    """

    def __init__(self) -> None:
        self.waited_s = 0.0
        self._delays_s: Mapping[int, float] | None = None
        self._throttled_s = 0.0

    def add(self, delays_s: Mapping[int, float], throttled_s: tuple[float, float]) -> None:
        """``delays_s`` of each thread; how long the container was throttled, read before and after them."""
        before_s, after_s = throttled_s
        if self._delays_s is not None:
            allowed_s = after_s - self._throttled_s
            self.waited_s += sum(
                max(0.0, self._grown(thread, delay_s) - allowed_s) for thread, delay_s in delays_s.items()
            )
        self._delays_s, self._throttled_s = delays_s, before_s

    def _grown(self, thread: int, delay_s: float) -> float:
        assert self._delays_s is not None
        last_s = self._delays_s.get(thread, 0.0)
        return delay_s - last_s if delay_s >= last_s else delay_s  # a new thread that bears an ended one's id


def thread_delays(threads: Iterable[int], proc: Path = PROC) -> dict[int, float]:
    """The run delay of each of these threads that has not ended, in seconds."""
    delays_s = {}
    for thread in threads:
        with suppress(OSError, IndexError, ValueError):
            delays_s[thread] = int((proc / str(thread) / "schedstat").read_text().split()[1]) / 1e9
    return delays_s


def kernel_tells(proc: Path = PROC) -> bool:
    """Whether this kernel counts run delays: one that does not says that this process never ran."""
    try:
        return int((proc / "self" / "schedstat").read_text().split()[0]) > 0
    except (OSError, IndexError, ValueError):
        return False


class Waiting(Protocol):
    """A container whose threads' delays are to be looked at: :class:`testbed.cgroup.ContainerGroup`."""

    def look(self) -> None: ...


class RunDelayWatch:
    """Looks at containers now and then while it is entered, so that little of ended threads is lost and times
    of throttling are kept apart from others.
    """

    def __init__(self, containers: Iterable[Waiting], interval_s: float = INTERVAL_S) -> None:
        self._containers, self._interval_s = list(containers), interval_s
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._look, name="run-delay-watch", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _look(self) -> None:
        wait_s = self._interval_s
        while self._containers and not self._ended.wait(wait_s):
            started_s = time.thread_time()
            for container in self._containers:
                with suppress(TestbedError):  # it has ended, which is said elsewhere
                    container.look()
            wait_s = max(self._interval_s, (time.thread_time() - started_s) / MOST_OF_TIME)
