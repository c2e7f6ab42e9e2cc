"""Connections that no client can hold for ever, or fill with more than there is room for.

What has begun a request and does not end it, and what does not take its answer, is closed after a time; what
has not begun one is left alone, since tiers keep their connections on purpose.
"""

from __future__ import annotations

import math
import socket
import time
from dataclasses import dataclass
from heapq import nsmallest
from typing import Any

from waitress.channel import HTTPChannel
from waitress.server import TcpWSGIServer
from waitress.utilities import BadRequest, Error

from tiers.framing import Parser
from tiers.poll import Sockets
from tiers.stamped import StampedSocket


@dataclass(frozen=True, slots=True)
class Limits:
    """What a client may take of a server: seconds, bytes of request bodies in all, and connections."""

    idle_s: float = 3600
    """Without a request; the tier below (tiers.upstream) never waits as long."""
    head_s: float = 30
    """From a request's first byte to the last of its head."""
    pause_s: float = 60
    """Without a byte more of a body, or a byte of an answer taken. A request that has said its deadline may
    pause until then, so that a run whose link is cut for a while is none the worse for it, but for no longer
    than :attr:`whole_s`: anybody may say a deadline."""
    whole_s: float = 600
    """From a request's first byte to its last, and for an answer likewise; the deadline, if that is later."""
    linger_s: float = 5
    """For a client that is still sending when it is refused to hear why."""
    held_bytes: int = 32 << 20
    """Of bodies in all, whether they are whole or not."""
    connections: int = 10_000

    def pause_until_s(self, deadline_s: float) -> float:
        """How long a request that said this deadline may be without a byte more, or its answer untaken."""
        return max(self.pause_s, min(deadline_s, self.whole_s))


_Channel: Any = HTTPChannel
_TcpServer: Any = TcpWSGIServer
"""Of both the type stubs know half."""
_OVERDUE_EVERY_S = 1.0
_RECOUNT_S = 0.1


class _TimedOut(BadRequest):
    code = 408
    reason = "Request Timeout"


class _NoRoom(Error):
    code = 503
    reason = "Service Unavailable"


_FULL = "the tier holds as many bytes of requests as it may; send it again later"


class Connection(_Channel):  # type: ignore[misc]
    """One client's."""

    parser_class = Parser
    request: Parser | None
    requests: list[Parser]
    close_when_flushed: bool
    waits_since_s: float | None = None
    refused = False
    """It was told why, and is closed when it has been."""
    _lingers_since_s: float | None = None
    began_s = 0.0
    """When the request did that has not been read whole, or the answer that has not been taken whole."""
    deadline_s = 0.0
    """What the last whole request gave for its answer."""

    def __init__(self, server: Listener, sock: socket.socket, *rest: Any, **options: Any) -> None:
        self._limits = server.limits
        self.moved_s = time.monotonic()
        super().__init__(server, StampedSocket.of(sock), *rest, **options)

    def received(self, data: bytes) -> bool:
        self.server.took(len(data))
        before = self.request
        took = bool(super().received(data))
        self.moved_s = time.monotonic()
        if self.request is not before or self.requests:
            self.began_s = self.moved_s
        return took

    def send_continue(self) -> None:
        request = self.request
        assert request is not None, "its head has been read"
        if request.completed:  # refused, or there already: who waits for leave would wait for ever
            request.expect_continue = False
        else:
            super().send_continue()

    def write_soon(self, data: bytes) -> int:
        if not self.total_outbufs_len:
            self.began_s = self.moved_s = time.monotonic()
        return int(super().write_soon(data))

    def _flush_some(self, do_close: bool = True) -> bool:
        sent = bool(super()._flush_some(do_close=do_close))
        if sent:
            self.moved_s = time.monotonic()
        return sent

    def handle_write(self) -> None:
        """As Waitress's, but a client that was refused may go on sending for a while.

        What it sends is thrown away. Closed at once, the kernel would answer it with a reset, and the reason
        would be lost on the way (RFC 9112, 9.6).
        """
        if not (self.refused and self.close_when_flushed) or self.will_close:
            super().handle_write()
            return
        self._flush_exception(self._flush_some)
        if self.will_close:
            self.handle_close()
        elif self.connected and not self.total_outbufs_len:
            self.close_when_flushed = False
            self._lingers_since_s = time.monotonic()
            self.socket.shutdown(socket.SHUT_WR)  # of what fails here the loop closes the connection

    def handle_read(self) -> None:
        if self._lingers_since_s is None:
            super().handle_read()
        else:
            self.recv(1 << 16)  # closes at the end

    @property
    def is_idle(self) -> bool:
        """Whether nothing has been asked of the server that was not answered."""
        return self.request is None and not self.requests and not self.total_outbufs_len

    @property
    def is_unfinished(self) -> bool:
        """Whether the client is to send the rest of a request."""
        return self.request is not None and not self.requests

    def stalled_since(self) -> float:
        """Since when for its client: where a request has begun, a byte more of it does not count."""
        return self.moved_s if self.request is None else self.began_s

    @property
    def held_bytes(self) -> int:
        """What it holds of requests' bodies."""
        unfinished = self.request
        return sum(request.body_bytes for request in [*self.requests, *([unfinished] if unfinished else [])])

    def check(self, now_s: float) -> None:
        """End it if it has taken longer than it may; in the loop's thread, as all that follows."""
        limits = self._limits
        still_s, since_s = now_s - self.moved_s, now_s - self.began_s
        if self._lingers_since_s is not None:
            late = now_s - self._lingers_since_s > limits.linger_s
        elif self.total_outbufs_len:
            patience_s = limits.pause_until_s(self.deadline_s)
            late = still_s > patience_s or since_s > max(limits.whole_s, self.deadline_s)
        elif self.requests:
            self.began_s = self.moved_s = now_s  # the server's turn: nothing is read meanwhile
            late = False
        elif self.request is not None:
            self._check_request(self.request, still_s, since_s)
            return
        else:
            late = still_s > limits.idle_s
        if late:
            self.handle_close()

    def _check_request(self, request: Parser, still_s: float, since_s: float) -> None:
        limits = self._limits
        if not request.headers_finished:
            if since_s > limits.head_s:
                self.refuse(_TimedOut(f"the head must be whole within {limits.head_s:g} s"))
            return
        deadline_s = min(request.deadline_s, limits.idle_s)
        if still_s > limits.pause_until_s(deadline_s):
            self.refuse(_TimedOut(f"no byte of the body came for {still_s:.0f} s"))
        elif since_s > max(limits.whole_s, deadline_s):
            self.refuse(_TimedOut(f"the body must be whole within {limits.whole_s:g} s"))

    def refuse(self, error: Error) -> None:
        """Answer a request that is not whole with an error, and close."""
        with self.requests_lock:
            request, self.request = self.request, None
            assert request is not None, "asked of one that is unfinished"
            request.error = error
            self.error_task_class(self, request).service()
            request.close()
            self.close_when_flushed = True
            self.server.sockets.wake(self)


class Listener(_TcpServer):  # type: ignore[misc]
    """What accepts connections, and keeps what all of them hold within limits."""

    channel_class = Connection
    next_channel_cleanup = math.inf
    """Waitress's own looks at the wall clock, which may be set at any time."""

    def __init__(self, app: Any, sockets: Sockets, limits: Limits, **options: Any) -> None:
        self.sockets = sockets
        self.limits = limits
        self._next_check_s = 0.0
        self.every_s = min(_OVERDUE_EVERY_S, limits.head_s / 4, limits.pause_s / 4)
        self._held_at_most = 0
        self._counted_s = 0.0
        self._full = False
        super().__init__(app, sockets, **options)

    def readable(self) -> bool:
        now_s = time.monotonic()
        if now_s >= self._next_check_s:
            self._next_check_s = now_s + self.every_s
            for connection in list(self.active_channels.values()):
                connection.check(now_s)
        return bool(super().readable())

    def handle_accept(self) -> None:
        if len(self.active_channels) >= self.limits.connections:
            self._make_room()
        super().handle_accept()

    def _make_room(self) -> None:
        """Close a hundredth of the connections: those that have been idle, or unfinished, for the longest.

        A tier below whose idle connection is closed opens another with its next request.
        """
        connections = self.active_channels.values()
        spare = [connection for connection in connections if connection.is_idle or connection.is_unfinished]
        most = max(1, self.limits.connections // 100)
        for connection in nsmallest(most, spare, key=Connection.stalled_since):
            connection.handle_close()

    def took(self, size_bytes: int) -> None:
        """Bytes came in; if too many are held, requests that are not whole are given up, oldest first."""
        self._held_at_most += size_bytes
        now_s = time.monotonic()
        if self._held_at_most <= self.limits.held_bytes or now_s < self._counted_s + _RECOUNT_S:
            return
        self._counted_s = now_s
        connections = list(self.active_channels.values())
        held = sum(connection.held_bytes for connection in connections)
        aim = self.limits.held_bytes * 3 // 4
        unfinished = [found for found in connections if found.is_unfinished and found.request.body_bytes]
        for connection in sorted(unfinished, key=lambda found: found.began_s):
            if held <= aim:
                break
            held -= connection.request.body_bytes
            connection.refuse(_NoRoom(_FULL))
        self._held_at_most, self._full = held, held > self.limits.held_bytes

    def add_task(self, channel: Connection) -> None:
        """A request is whole; where those that are whole take all the room, it is refused."""
        request = channel.requests[0]
        channel.deadline_s = min(request.deadline_s, self.limits.idle_s)
        if self._full and request.body_bytes and request.error is None:
            request.error = _NoRoom(_FULL)
            request.close()
        super().add_task(channel)
