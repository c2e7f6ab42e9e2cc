"""How long a container's threads waited for a CPU that its quota allowed.

The kernel counts for each thread how long it was ready to run and did not (*run delay*, the second figure of
/proc/TID/schedstat, proc_pid_schedstat(5)). While a quota throttles the container its threads are ready and
do not run either, and that counts as well; it is the emulation at work. How much of a delay it was cannot be
told for certain (a thread that Linux 6.18 throttled was said to have waited while it slept), so that what a
thread waited while its container was throttled is left out altogether.
"""

from __future__ import annotations

import itertools
import os
import threading
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, Self

from testbed.errors import TestbedError

INTERVAL_S = 1.0
MOST_OF_TIME = 0.02
"""Share of the time that looking may take: with many containers it is done less often."""
FORGOTTEN_S = 60.0
"""A thread that was not seen for so long has ended."""
PROC = Path("/proc")


@dataclass(frozen=True, slots=True)
class Look:
    """Run delays of a container's threads at one moment, and how long the container had been throttled right
    before and after they were read; all in seconds.
    """

    at_s: float
    delays_s: Mapping[int, float]
    throttled_before_s: float = 0.0
    throttled_after_s: float = 0.0


class RunDelay:
    """The waiting of one container, summed over its threads; each look adds what came since the last.

    What a thread's delay grew by counts if its container was not throttled since the delay last grew. So the
    sum is never too high, and is exact where nothing was throttled. What a thread waited since the last look
    before it ended is lost.

    Attributes:
        waited_s: so far; 0 at the first look.
    """

    def __init__(self) -> None:
        self.waited_s = 0.0
        self._last: Look | None = None
        self._seen: dict[int, Look] = {}
        """When each thread was seen last: the kernel's list of threads may lack one for a moment."""
        self._grew: dict[int, Look] = {}
        """When each thread's delay was seen to have grown."""

    def add(self, look: Look) -> None:
        if self._last is not None:
            self.waited_s += sum(self._grown_s(thread, look, self._last) for thread in look.delays_s)
        self._last = look
        recent = {thread: seen for thread, seen in self._seen.items() if look.at_s - seen.at_s < FORGOTTEN_S}
        self._seen = recent | dict.fromkeys(look.delays_s, look)
        self._grew = {thread: grew for thread, grew in self._grew.items() if thread in self._seen}

    def _grown_s(self, thread: int, look: Look, last: Look) -> float:
        """Not more than the time since the thread was seen, or since the last look if it is new: in trials
        (Linux 6.18) a container's sum grew by 17 to 37 s within one second, which nobody can have waited.
        """
        seen = self._seen.get(thread, last)
        grown_s = look.delays_s[thread] - seen.delays_s.get(thread, 0.0)
        if grown_s <= 0:
            return 0.0
        before, self._grew[thread] = self._grew.get(thread, seen), look
        throttled = look.throttled_after_s > before.throttled_before_s
        return 0.0 if throttled else min(grown_s, look.at_s - seen.at_s)


def thread_delays(threads: Iterable[int], proc: Path = PROC) -> dict[int, float]:
    """The run delay of each of these threads that has not ended, in seconds."""
    delays_s = {}
    for thread in threads:  # some hundreds, beside a replay: without Path and file objects
        try:
            descriptor = os.open(f"{proc}/{thread}/schedstat", os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            continue
        try:
            delays_s[thread] = int(os.read(descriptor, 100).split()[1]) / 1e9
        except (OSError, IndexError, ValueError):
            pass
        finally:
            os.close(descriptor)
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
    """Looks at each container now and then while it is entered, so that little of ended threads is lost and
    times of throttling are kept apart from others.

    Containers take turns: a look at all of them at once, 10 ms for four, would hold up requests and probes.
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
        wait_s = each_s = self._interval_s / max(1, len(self._containers))
        for container in itertools.cycle(self._containers):
            if self._ended.wait(wait_s):
                return
            started_s = time.thread_time()
            with suppress(TestbedError):  # it has ended, which is said elsewhere
                container.look()
            wait_s = max(each_s, (time.thread_time() - started_s) / MOST_OF_TIME)
