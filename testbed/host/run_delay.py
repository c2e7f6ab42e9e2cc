"""How long a container's threads waited for a CPU that its quota allowed.

The kernel counts for each thread how long it was ready to run and did not (*run delay*, the second figure of
/proc/TID/schedstat, proc_pid_schedstat(5)). While a quota throttles the container its threads are ready and
do not run either. That counts as well, though it is what the quota is for. How much of a delay it was cannot
be known for certain (Linux 6.18 counted a throttled thread as waiting while it slept). So what a thread
waited while its container was throttled is left out altogether.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from testbed.host.files import quick_text_of

FORGOTTEN_S = 60.0
"""A thread that was not seen for so long has ended."""
PROC = Path("/proc")


@dataclass(frozen=True, slots=True)
class Look:
    """Run delays of a container's threads at one moment, in seconds.

    The container had been throttled for ``throttled_before_s`` and ``throttled_after_s`` in all right before
    and after they were read.
    """

    at_s: float
    delays_s: Mapping[int, float]
    throttled_before_s: float = 0.0
    throttled_after_s: float = 0.0


class RunDelay:
    """How long a container's threads waited in all; each look adds what they waited since the last one.

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
        """Add what the threads waited since the last look."""
        if self._last is not None:
            self.waited_s += sum(self._grown_s(thread, look, self._last) for thread in look.delays_s)
        self._last = look
        recent = {thread: seen for thread, seen in self._seen.items() if look.at_s - seen.at_s < FORGOTTEN_S}
        self._seen = recent | dict.fromkeys(look.delays_s, look)
        self._grew = {thread: grew for thread, grew in self._grew.items() if thread in self._seen}

    def _grown_s(self, thread: int, look: Look, last: Look) -> float:
        """By how much a thread's delay grew that counts.

        It is not more than the time since the thread was seen, or since the last look if it is new: in trials
        (Linux 6.18) a container's sum grew by 17 to 37 s within one second.
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
    for thread in threads:
        with suppress(IndexError, ValueError):
            delays_s[thread] = int(quick_text_of(f"{proc}/{thread}/schedstat").split()[1]) / 1e9
    return delays_s


def kernel_tells(proc: Path = PROC) -> bool:
    """Whether this kernel counts run delays; if not, it shows that this process never ran."""
    try:
        return int((proc / "self" / "schedstat").read_text().split()[0]) > 0
    except (OSError, IndexError, ValueError):
        return False
