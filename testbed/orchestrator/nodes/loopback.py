"""HTTP to a node over its own loopback, which is not waited for while it cannot answer.

A container that is paused still takes connections, and bytes: its kernel does. Only its control group, and
the states of its processes, tell that nobody there will read them.
"""

from __future__ import annotations

import http.client
import select
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from testbed.host.processes.reporting import Report
from testbed.host.standstill import How
from testbed.network.kernel.netns import socket_in
from testbed.results.standstill import HOW
from tiers.protocol import TIER_PORT
from tiers.stamped import StampedSocket

STILL_PATIENCE_S = 10.0
"""How long a node that stands still is waited for: it may be about to go on."""
LONG_S = 10.0
"""From then on it is said that a node is waited for that is at work."""
LOOKED_EVERY_S = 0.5


class StandsStill(TimeoutError):
    """A node does not answer, for its processes stand still."""


@dataclass
class Patience:
    """How long one is waited for who may stand still, and who is told of that."""

    name: str
    stands_still: Callable[[], How | None]
    tell: Report
    _spent: bool = False
    _still_since_s: float | None = None

    def require_going_on(self) -> None:
        """Raise :class:`StandsStill` if the node was waited for in vain, and still stands still."""
        if self._spent and (how := self.stands_still()):
            raise StandsStill(f"it stands still, {HOW[how]}")
        self._spent = False

    def look(self, what: str) -> None:
        """Look whether the node stands still that is asked for ``what``, and tell so once.

        Raises:
            StandsStill: it has stood still at each look for :data:`STILL_PATIENCE_S`.
        """
        now_s, how = time.monotonic(), self.stands_still()
        if how is None:
            self._still_since_s = None
        elif self._still_since_s is None:
            self._still_since_s = now_s
            self.tell(
                f"{self.name} stands still, {HOW[how]}: waiting for it to answer {what}, "
                f"for {STILL_PATIENCE_S:g} s at most"
            )
        elif now_s - self._still_since_s > STILL_PATIENCE_S:
            self._spent, self._still_since_s = True, None
            raise StandsStill(f"it has stood still for {STILL_PATIENCE_S:g} s, {HOW[how]}")

    def wait(self, sock: socket.socket, what: str, timeout_s: float) -> None:
        """Wait until there is something to read, or ``timeout_s`` are over; otherwise as :meth:`look`."""
        began_s, told = time.monotonic(), False
        poll = select.poll()
        poll.register(sock, select.POLLIN)
        while not poll.poll(1000 * min(LOOKED_EVERY_S, timeout_s)):
            self.look(what)
            waited_s = time.monotonic() - began_s
            if waited_s > timeout_s:
                return
            if waited_s > LONG_S and not told and self._still_since_s is None:
                told = True
                self.tell(f"waiting for {self.name} to answer {what}: for {timeout_s:.0f} s at most")
        self._still_since_s = None


class _WaitedFor(StampedSocket):
    """A socket whose other end may stand still."""

    wait: Callable[[float], None]
    """Returns when there may be something to read; it is given the seconds to wait at most."""

    def recv_into(self, buffer: Any, nbytes: int = 0, flags: int = 0) -> int:
        assert self.give_up_s is not None
        self.wait(max(0.0, self.give_up_s - time.monotonic()))
        return super().recv_into(buffer, nbytes, flags)


class LoopbackConnection(http.client.HTTPConnection):
    """HTTP to 127.0.0.1 inside another network namespace, for ``timeout_s`` in all, byte by byte or not.

    Args:
        what: is asked; for who is told that it is waited for.
    """

    def __init__(self, netns_path: str, timeout_s: float, patience: Patience, what: str) -> None:
        super().__init__("127.0.0.1", TIER_PORT, timeout=timeout_s)
        self._netns_path = netns_path
        self._patience = patience
        self._what = what

    def connect(self) -> None:
        sock = _WaitedFor.of(socket_in(self._netns_path, socket.AF_INET, socket.SOCK_STREAM))
        sock.settimeout(self.timeout)
        sock.give_up_s = time.monotonic() + (self.timeout or 0.0)
        sock.wait = lambda left_s: self._patience.wait(sock, self._what, left_s)
        self.sock = sock
        try:
            sock.connect((self.host, self.port))
        except ConnectionRefusedError:
            self._patience.look(self._what)  # it may stand still before it listens
            raise
