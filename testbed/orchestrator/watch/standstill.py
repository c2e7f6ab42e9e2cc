"""Looks ten times a second, beside a replay, whether a container stands still, and at what it has done.

It tells of one that stands still, or has ended, while that happens.
"""

from __future__ import annotations

import time
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import NamedTuple, Self

from testbed.host.cgroup import ContainerGroup, NodeGroup
from testbed.host.processes.reporting import Report, silent
from testbed.host.standstill import Glance, How, any_is_stopped
from testbed.orchestrator.watch.turns import in_turns
from testbed.results.standstill import HOW

INTERVAL_S = 0.1
TOLD_S = 4.0
MOST_TOLD = 5
"""Containers that have ended, each by itself; if the Docker engine ends them, it is all of them."""
THROTTLING_S = 0.3
"""How much later throttling may be counted than it was: the kernel counts it when it is over, and a quota
that was overdrawn is paid back for some periods of 100 ms."""


class Stretch(NamedTuple):
    """A time in which a container stood still, on ``time.monotonic()``'s clock.

    It was seen to from ``since_s`` to ``seen_s``, and not any more at ``until_s``, the next look.
    """

    how: How
    since_s: float
    seen_s: float
    until_s: float


@dataclass
class Seen:
    """What was seen of a container, look by look.

    Attributes:
        still: the times in which it stood still, in order.
        cpus: each quota that it had, in order.
    """

    still: list[Stretch] = field(default_factory=list)
    cpus: list[float | None] = field(default_factory=list)
    _at_s: array[float] = field(default_factory=lambda: array("d"))
    _ran_s: array[float] = field(default_factory=lambda: array("d"))
    _throttled_s: array[float] = field(default_factory=lambda: array("d"))
    _how: How | None = None

    def add(self, glance: Glance | None) -> None:
        """Take in one look; nothing is seen of a container that has ended."""
        if glance is None:
            return
        if self._how is not None:  # it lasted until now, or ended since
            last = self.still[-1]
            seen_s = glance.at_s if glance.how == self._how else last.seen_s
            self.still[-1] = last._replace(seen_s=seen_s, until_s=glance.at_s)
        if glance.how is not None and glance.how != self._how:
            self.still.append(Stretch(glance.how, glance.at_s, glance.at_s, glance.at_s))
        self._how = glance.how
        if self.cpus[-1:] != [glance.cpus]:
            self.cpus.append(glance.cpus)
        if self._nothing_done_until(glance):  # a look between two that are alike says nothing more
            self._at_s[-1] = glance.at_s
            return
        self._at_s.append(glance.at_s)
        self._ran_s.append(glance.ran_s)
        self._throttled_s.append(glance.throttled_s)

    def _nothing_done_until(self, glance: Glance) -> bool:
        """Whether the last two looks were like this one."""
        ran_s, throttled_s = self._ran_s[-2:], self._throttled_s[-2:]
        return ran_s.count(glance.ran_s) == 2 and throttled_s.count(glance.throttled_s) == 2

    def busy_s(self, since_s: float, until_s: float) -> float:
        """How long the container ran, on all CPUs, or was held back by its quota, within a time.

        It is never too low: what was done between two looks of which one is within counts whole.
        """
        return _grown(self._at_s, self._ran_s, since_s, until_s) + _grown(
            self._at_s, self._throttled_s, since_s, until_s + THROTTLING_S
        )


def _grown(at_s: array[float], figures: array[float], since_s: float, until_s: float) -> float:
    """By how much a figure grew between the last look before a time and the first after it."""
    if not at_s:
        return 0.0
    first = max(0, bisect_right(at_s, since_s) - 1)
    last = min(len(at_s) - 1, bisect_left(at_s, until_s))
    return max(0.0, figures[last] - figures[first])


class StandstillWatch:
    """Looks at containers, and at the relays to engines outside, while it is entered.

    Attributes:
        seen: by node, what was seen of its container.
        behind: the same of what is behind nodes, by its name: ``edge1's engine``, or ``edge1's relay``.
    """

    def __init__(
        self,
        groups: Mapping[str, NodeGroup],
        relays: Mapping[str, int],
        interval_s: float = INTERVAL_S,
        *,
        tell: Report = silent,
        asked: Collection[str] = (),
        why: Callable[[str], str] = lambda _: "",
    ) -> None:
        """
        Args:
            relays: the process ids of relays, by node.
            tell: is told of a container that has stood still for :data:`TOLD_S`, unless events ask for it;
                and of one that has ended, which no event asks for: those end a tier's process alone.
            asked: the nodes of which events ask for it.
            why: says why the container of that id has ended; it may take its time.
        """
        self._tell, self._asked, self._why = tell, asked, why
        self.seen: dict[str, Seen] = {}
        self.behind: dict[str, Seen] = {}
        self._interval_s = interval_s
        self._looks: list[Callable[[], None]] = []
        for node, group in groups.items():
            self._watch_container(self.seen, node, group.own)
            if group.engine is not None:
                self._watch_container(self.behind, f"{node}'s engine", group.engine)
        for node, pid in relays.items():
            self._watch(self.behind, f"{node}'s relay", partial(_glance, str(pid)))
        self._ended: list[str] = []
        self._teller = ThreadPoolExecutor(1, "ended-containers")
        self._ending = ExitStack()

    def _watch_container(self, into: dict[str, Seen], name: str, group: ContainerGroup) -> None:
        def glance() -> Glance | None:
            found = group.glance()
            if found is None and name not in self._ended:
                self._ended.append(name)
                if len(self._ended) <= MOST_TOLD:
                    self._teller.submit(self._tell_end, name, group.container_id, datetime.now(UTC))
                elif len(self._ended) == MOST_TOLD + 1:
                    self._teller.submit(
                        self._tell, "more containers have ended, and are not named one by one"
                    )
            return found

        self._watch(into, name, glance)

    def _tell_end(self, name: str, container_id: str, at: datetime) -> None:
        """Tell it, in a thread of its own: the Docker engine is asked why, and may take its time."""
        ended = f"{name} has ended at {at:%H:%M:%S} UTC, and requests to it fail from now on"
        why = self._why(container_id)
        self._tell(f"{ended}: {why}" if why else ended)

    def _watch(self, into: dict[str, Seen], name: str, glance: Callable[[], Glance | None]) -> None:
        seen = into[name] = Seen()
        told: list[float] = []

        def look() -> None:
            seen.add(glance())
            last = seen.still[-1] if seen.still else None
            if last and last.until_s - last.since_s > TOLD_S and last.since_s not in told:
                told.append(last.since_s)
                if name not in self._asked:
                    self._tell(f"{name} has stood still for {TOLD_S:g} s by now, {HOW[last.how]}")

        self._looks.append(look)

    def __enter__(self) -> Self:
        self._look_at_all()
        self._ending.enter_context(in_turns(self._looks, self._interval_s, "standstill-watch"))
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.close()
        self._look_at_all()
        self._teller.shutdown()  # why a container ended is not known any more when it is removed

    def _look_at_all(self) -> None:
        for look in self._looks:
            look()


def _glance(pid: str) -> Glance:
    """Of a process of the host's own, which no quota holds back; what it does is not looked at."""
    return Glance(time.monotonic(), "stopped" if any_is_stopped([pid]) else None, 0.0, 0.0)
