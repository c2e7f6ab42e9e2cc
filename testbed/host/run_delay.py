"""How long a container's threads waited for a CPU that its quota allowed.

The kernel counts for each thread how long it was ready to run and did not (*run delay*), and how often it
ran after that: the second and third figure of /proc/TID/schedstat (proc_pid_schedstat(5)). While a quota
throttles the container its threads are ready and do not run either. That counts as well, though it is what
the quota is for. How much of a delay it was cannot be known for certain (Linux 6.18 counted a throttled
thread as waiting while it slept). So what a thread waited while its container was throttled is left out
altogether.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from testbed.host.files import quick_text_of

FORGOTTEN_S = 60.0
"""A thread that was not seen for so long has ended."""
LONGEST_S = 0.005
"""So much of a single wait counts. Linux 6.18 takes a thread's sleep for a wait now and then: in a trial with
7,000 threads that rarely ran, twice in 10 s, and up to 136 s of it. Where CPUs are short, waits are many.
"""
PROC = Path("/proc")


class Waits(NamedTuple):
    """How long a thread has waited for a CPU since it began, and how many waits those were."""

    sum_s: float
    times: int


@dataclass(frozen=True, slots=True)
class Look:
    """What a container's threads had waited at one moment.

    The container had been throttled for ``throttled_before_s`` and ``throttled_after_s`` in all right before
    and after they were read.
    """

    at_s: float
    waits: Mapping[int, Waits]
    throttled_before_s: float = 0.0
    throttled_after_s: float = 0.0


class RunDelay:
    """How long a container's threads waited in all; each look adds what they waited since the last one.

    What a thread's delay grew by counts if its container was not throttled since the delay last grew, if it
    is not longer than the thread was out of sight, and up to :data:`LONGEST_S` a wait. So the sum is hardly
    ever too high, and too low where single waits were long. What a thread waited since the last look before
    it ended is lost.

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
        """Add what the threads waited since the last look."""
        if self._last is not None:
            self.waited_s += sum(self._grown_s(thread, look, self._last) for thread in look.waits)
        self._last = look
        recent = {thread: seen for thread, seen in self._seen.items() if look.at_s - seen.at_s < FORGOTTEN_S}
        self._seen = recent | dict.fromkeys(look.waits, look)
        self._grew = {thread: grew for thread, grew in self._grew.items() if thread in self._seen}

    def _grown_s(self, thread: int, look: Look, last: Look) -> float:
        """By how much a thread's delay grew that counts: since it was seen, or the last look if it is new."""
        seen = self._seen.get(thread, last)
        now, then = look.waits[thread], seen.waits.get(thread, Waits(0.0, 0))
        grown_s = now.sum_s - then.sum_s
        if grown_s <= 0:
            return 0.0
        before, self._grew[thread] = self._grew.get(thread, seen), look
        throttled = look.throttled_after_s > before.throttled_before_s
        slept = grown_s > look.at_s - seen.at_s
        return 0.0 if throttled or slept else min(grown_s, LONGEST_S * (now.times - then.times))


def thread_waits(threads: Iterable[int], proc: Path = PROC) -> dict[int, Waits]:
    """What each of these threads that has not ended has waited."""
    waits = {}
    for thread in threads:
        with suppress(ValueError):
            _, delay_ns, count = quick_text_of(f"{proc}/{thread}/schedstat").split()
            waits[thread] = Waits(int(delay_ns) / 1e9, int(count))
    return waits


def kernel_tells(proc: Path = PROC) -> bool:
    """Whether this kernel counts run delays; if not, it shows that this process never ran."""
    try:
        return int((proc / "self" / "schedstat").read_text().split()[0]) > 0
    except (OSError, IndexError, ValueError):
        return False
