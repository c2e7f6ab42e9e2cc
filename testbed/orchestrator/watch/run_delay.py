"""Looks now and then, beside a replay, at how long containers' threads waited for a CPU."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress

from testbed.errors import TestbedError
from testbed.host.cgroup import ContainerGroup, NodeGroup

INTERVAL_S = 1.0
MOST_OF_TIME = 0.02
"""Share of the time that looking may take: with many containers it is done less often."""


@contextmanager
def run_delay_watch(
    groups: Iterable[ContainerGroup | NodeGroup], interval_s: float = INTERVAL_S
) -> Iterator[None]:
    """Look at each container now and then while the block runs, so that little of ended threads is lost and
    times of throttling are kept apart from others.

    Containers take turns: a look at all of them at once, 10 ms for four, would hold up requests and probes.
    """
    watched = list(groups)
    ended = threading.Event()

    def look() -> None:
        wait_s = each_s = interval_s / max(1, len(watched))
        for group in itertools.cycle(watched):
            if ended.wait(wait_s):
                return
            started_s = time.thread_time()
            with suppress(TestbedError):  # the container has ended, which is reported elsewhere
                group.look()
            wait_s = max(each_s, (time.thread_time() - started_s) / MOST_OF_TIME)

    thread = threading.Thread(target=look, name="run-delay-watch", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
