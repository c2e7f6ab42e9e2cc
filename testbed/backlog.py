"""How full the bottlenecks' queues were during a replay: looked at now and then, the fullest moment kept."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any, Protocol, Self

from testbed.counters import QdiscCounters
from testbed.errors import TestbedError
from testbed.topology import DIRECTIONS, Direction, Shape

INTERVAL_S = 0.1
MOST_OF_TIME = 0.02
"""Share of the time that looking may take: with many links, or dear system calls, it is done less often."""


class Bottlenecks(Protocol):
    """A link whose queues can be looked at: :class:`testbed.link.WanLink`."""

    @property
    def name(self) -> str: ...
    @property
    def shapes(self) -> dict[Direction, Shape]: ...
    def backlog(self) -> dict[Direction, QdiscCounters]: ...


@dataclass(frozen=True)
class BacklogReport:
    """The fullest that a bottleneck's queue was seen in one direction, of ``samples`` looks.

    ``queue_frames`` is what it had room for when it was seen to hold most frames. A queue that filled and
    emptied between two looks was not seen; what it refused is among the dropped frames all the same.
    """

    link: str
    direction: Direction
    queue_frames: int
    max_frames: int
    max_bytes: int
    samples: int

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


class BacklogWatch:
    """Looks at every bottleneck while it is entered; :attr:`reports` then has one for each direction."""

    def __init__(self, links: Sequence[Bottlenecks], interval_s: float = INTERVAL_S) -> None:
        self._links, self._interval_s = list(links), interval_s
        self._most = {
            (link.name, direction): (link.shapes[direction].queue_frames, 0, 0)
            for link in self._links
            for direction in DIRECTIONS
        }
        self._samples = 0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._sample, name="backlog-watch", daemon=True)
        self.reports: list[BacklogReport] = []

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join(timeout=10)
        self.reports = [
            BacklogReport(
                link.name,
                direction,
                *self._most[link.name, direction],
                samples=self._samples,
            )
            for link in self._links
            for direction in DIRECTIONS
        ]

    def _sample(self) -> None:
        wait_s = self._interval_s
        while self._links and not self._ended.wait(wait_s):
            started_s = time.thread_time()
            with suppress(TestbedError, OSError):  # a link that is being changed or taken down
                for link in self._links:
                    shapes = link.shapes  # before the look: a change on the way is seen by the next one
                    for direction, queue in link.backlog().items():
                        room, frames, size_bytes = self._most[link.name, direction]
                        if queue.held_frames > frames:
                            room, frames = shapes[direction].queue_frames, queue.held_frames
                        self._most[link.name, direction] = room, frames, max(size_bytes, queue.held_bytes)
                self._samples += 1
            wait_s = max(self._interval_s, (time.thread_time() - started_s) / MOST_OF_TIME)
