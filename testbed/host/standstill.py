"""Tells whether a container's processes stand still, and why: its control group is frozen, or one is stopped.

``docker pause`` freezes a container's control group (cgroups(7), version 1 and version 2). SIGSTOP, and a
debugger, stop a process. Neither shows in CPU time or in throttling.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from testbed.host.files import quick_text_of

How = Literal["frozen", "stopped"]
"""Why processes stand still: by their control group's freezer; by a signal or a debugger."""
_STOPPED = ("T", "t")
"""State of a process in proc_pid_stat(5): by a signal, by a debugger."""


@dataclass(frozen=True, slots=True)
class Glance:
    """A container at one moment of ``time.monotonic()``: does it stand still, and what has it done so far?

    Attributes:
        ran_s: its CPU time.
        throttled_s: how long its quota has held it back.
        cpus: its quota; ``None`` without one.
    """

    at_s: float
    how: How | None
    ran_s: float
    throttled_s: float
    cpus: float | None = None


def is_frozen(group: str, *, unified: bool) -> bool:
    """Whether a control group, or one above it, is frozen or about to be.

    ``group`` is its directory, of version 1's freezer or, ``unified``, of version 2.
    """
    if unified:
        events, asked = quick_text_of(f"{group}/cgroup.events"), quick_text_of(f"{group}/cgroup.freeze")
        return "frozen 1" in events.splitlines() or asked.strip() == "1"
    return quick_text_of(f"{group}/freezer.state").strip() in ("FROZEN", "FREEZING")


def any_is_stopped(pids: Iterable[str], proc: str = "/proc") -> bool:
    """Whether one of these processes has been stopped; one that has ended is none."""
    # The first thread's own line: that of the process sums up all its threads.
    states = (quick_text_of(f"{proc}/{pid}/task/{pid}/stat").rpartition(")")[2][1:2] for pid in pids)
    return any(state in _STOPPED for state in states)
