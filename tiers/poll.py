"""Waits for a server's sockets by epoll(7): those that are silent cost nothing.

Waitress asks every connection, each time that it waits, what it waits for: with 5,000 idle ones that took
20 ms of each request. Here only those are asked of which that may have changed.
"""

from __future__ import annotations

import select
from typing import Any

from waitress import wasyncore

_READING = select.EPOLLIN
"""Not ``EPOLLPRI``: of a byte sent as urgent it would tell again and again, and nobody reads those."""


class Sockets(dict[int, Any]):
    """What listens and what is connected, by file descriptor: the map that Waitress keeps them in.

    One that waits for nothing but bytes to read is left alone until some come. What makes it wait for
    something else happens to it after that: a request, which it has until its answer has left. What happens
    to it without a byte of its own has to :meth:`wake` it.
    """

    def __init__(self) -> None:
        super().__init__()
        self._epoll = select.epoll()
        self._awaited: dict[int, int] = {}
        self._awake: set[int] = set()

    def __setitem__(self, descriptor: int, waiting: Any) -> None:
        super().__setitem__(descriptor, waiting)
        self._awake.add(descriptor)

    def __delitem__(self, descriptor: int) -> None:
        super().__delitem__(descriptor)
        self._awake.discard(descriptor)
        self._await(descriptor, 0)

    def wake(self, waiting: Any) -> None:
        """Ask it, before the next wait, what it waits for."""
        self._awake.add(waiting.socket.fileno())

    def turn(self, timeout_s: float) -> None:
        """Wait for one of them, ``timeout_s`` at most, and let each that can read or write do so."""
        for descriptor in list(self._awake):
            waiting = self.get(descriptor)
            if waiting is not None:  # else one before it closed it
                self._ask(descriptor, waiting)
        for descriptor, ready in self._epoll.poll(timeout_s):
            if (waiting := self.get(descriptor)) is not None:
                self._awake.add(descriptor)
                wasyncore.readwrite(waiting, ready)

    def _ask(self, descriptor: int, waiting: Any) -> None:
        # Writable first: neither may close it, and a listening socket's readable() looks after the others.
        wanted = select.EPOLLOUT if waiting.writable() and not waiting.accepting else 0
        if waiting.readable():
            wanted |= _READING
        self._await(descriptor, wanted)
        if wanted == _READING and not waiting.accepting:
            self._awake.discard(descriptor)

    def _await(self, descriptor: int, wanted: int) -> None:
        before = self._awaited.pop(descriptor, 0)
        if wanted:
            self._awaited[descriptor] = wanted
        if wanted == before:
            return
        if not wanted:  # with nothing wanted epoll still tells of connections that broke, again and again
            self._epoll.unregister(descriptor)
        elif before:
            self._epoll.modify(descriptor, wanted)
        else:
            self._epoll.register(descriptor, wanted)

    def close(self) -> None:
        """Give the kernel's part back."""
        self._epoll.close()
