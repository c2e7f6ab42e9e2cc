"""Looks now and then, beside a replay, at how long containers' threads waited for a CPU."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Iterable
from contextlib import suppress
from typing import Protocol, Self

from testbed.errors import TestbedError

INTERVAL_S = 1.0
MOST_OF_TIME = 0.02
"""Share of the time that looking may take: with many containers it is done less often."""


class Waiting(Protocol):
    """A container whose threads' delays are to be looked at: :class:`testbed.host.cgroup.ContainerGroup`."""

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
