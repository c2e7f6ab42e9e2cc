"""A WAN link whose figures events change and put back."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from testbed.network.link import WanLink
from testbed.scenario.topology import DIRECTIONS, Direction


class LiveLink:
    """A link with the scenario's figures, and on top of them those that events have set.

    It may be used from several threads: each call is one change of the link.
    """

    def __init__(self, link: WanLink) -> None:
        self.link = link
        self._given: dict[Direction, dict[str, Any]] = {direction: {} for direction in DIRECTIONS}
        self._lock = threading.Lock()

    def change(self, directions: Iterable[Direction], figures: Mapping[str, Any]) -> None:
        """Set figures, by their names in :class:`testbed.scenario.topology.Shape`; others stay."""
        with self._lock:
            for direction in directions:
                self._given[direction].update(figures)
            self._reshape()

    def follow(self, directions: Iterable[Direction], opportunities_ms: Sequence[int]) -> None:
        """Let frames leave at a rate file's opportunities, from now on."""
        with self._lock:
            for direction in directions:
                self.link.follow(direction, opportunities_ms)

    def unfollow(self, directions: Iterable[Direction]) -> None:
        """Go back from a rate file to the rate."""
        with self._lock:
            for direction in directions:
                self.link.unfollow(direction)

    def put_back(self, directions: Iterable[Direction], names: Iterable[str]) -> None:
        """Set figures back to the scenario's."""
        names = list(names)
        with self._lock:
            for direction in directions:
                for name in names:
                    self._given[direction].pop(name, None)
            self._reshape()

    def _reshape(self) -> None:
        spec = self.link.spec
        self.link.reshape(*(replace(spec.shape(way), **self._given[way]) for way in DIRECTIONS))
