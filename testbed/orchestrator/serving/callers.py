"""The connections to the front door: one by which nobody asks is not held for ever, nor are many."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Protocol

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

MOST_SILENT = 200
"""Connections by which nothing has been asked yet: this process has files to open for its run too."""
LOOK_EVERY_S = 0.5


class Connection(Protocol):
    """What aiohttp has for a connection."""

    def force_close(self) -> None: ...


class Callers:
    """Who is connected, since when, and who has asked something.

    Args:
        head_s: how long the first request's head may take.
    """

    def __init__(self, head_s: float) -> None:
        self._head_s = head_s
        self._since_s: dict[Connection, float] = {}
        self._asked: set[Connection] = set()

    @property
    def middleware(self) -> Middleware:
        """Notes who asks."""

        @web.middleware
        async def noting(request: web.Request, handler: Handler) -> web.StreamResponse:
            self._asked.add(request.protocol)
            return await handler(request)

        return noting

    def look(self, connections: Iterable[Connection]) -> None:
        """Close those that have asked nothing for too long; where they are too many, the oldest of them."""
        now_s = time.monotonic()
        self._since_s = {one: self._since_s.get(one, now_s) for one in connections}
        self._asked &= self._since_s.keys()
        silent = [one for one in self._since_s if one not in self._asked]
        silent.sort(key=self._since_s.__getitem__)
        too_many = len(silent) - MOST_SILENT
        for number, one in enumerate(silent):
            if number < too_many or now_s - self._since_s[one] > self._head_s:
                one.force_close()
