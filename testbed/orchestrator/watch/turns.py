"""Looks at containers beside a replay, one after another, and for a small share of the time at most."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

MOST_OF_TIME = 0.02
"""Share of the time that looking may take: with many containers each is looked at less often."""


@contextmanager
def in_turns(looks: Sequence[Callable[[], object]], interval_s: float, name: str) -> Iterator[None]:
    """Call each of ``looks`` every ``interval_s`` seconds while the block runs, in a thread of that name.

    They take turns: a look at all containers at once, 10 ms for four, would hold up requests and probes.
    """
    ended = threading.Event()

    def look() -> None:
        wait_s = each_s = interval_s / max(1, len(looks))
        for one in itertools.cycle(looks):
            if ended.wait(wait_s):
                return
            started_s = time.thread_time()
            one()
            wait_s = max(each_s, (time.thread_time() - started_s) / MOST_OF_TIME)

    thread = threading.Thread(target=look, name=name, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
