"""Requests to the tier above: kept-alive connections, one segment a message, one repeat at most."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

import urllib3
from urllib3.connection import HTTPConnection
from urllib3.util import SKIP_HEADER

from tiers.breaker import PROBE_CONNECT_S, Breaker, Sign, sign_of
from tiers.errors import RequestError, deadline_passed
from tiers.protocol import (
    COMPLETIONS_PATH,
    DEADLINE_HEADER,
    MAX_ANSWER_BYTES,
    REQUEST_ID_HEADER,
    TIER_PORT,
    ErrorKind,
    encode_deadline,
)
from tiers.records import Reply
from tiers.stamped import StampedSocket

CONNECT_S = 20.0
"""For a handshake, beside its round trip: SYNs are lost on lossy links too, and are sent again some times."""
HANDOVER_S = 0.1
"""What a node keeps of the time for a request to hand its own answer over, and again to hear the tier above;
of a short time a 20th.
"""
_WAITING = "while the tier above was waited for"


@dataclass(slots=True)
class Crossing:
    """How a request went up: its times, on ``time.monotonic()``'s clock, and its repeats."""

    began_s: float | None = None
    """Before the first byte, or the connecting, of its first sending; ``None`` if it came to none."""
    answered_s: float | None = None
    """The answer's last byte arrived; ``None`` if it never did."""
    repeats: int = 0
    tripped: bool = False
    """Its failure opened the breaker."""


_crossing: ContextVar[Crossing] = ContextVar("crossing")
"""Of the request that this thread sends up: urllib3 hands nothing of ours to the connection that it picks."""
_give_up: ContextVar[float] = ContextVar("give_up")
"""When it is given up: urllib3's own time-out is one for each read, so that a trickle would never end."""
_heard: ContextVar[StampedSocket] = ContextVar("heard")
"""The socket by which its answer comes."""


class ClosedBeforeAnswer(ConnectionError):
    """The connection ended before a byte of answer: the request may be repeated once (RFC 9112, 9.3.1)."""


class OneWriteConnection(HTTPConnection):
    """Sends header and body in one write; ``http.client`` makes two segments of them.

    Before it parses an answer it waits for that answer's first byte, so that a connection which closed
    without one can be told from one that broke off later.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._unsent: bytearray | None = None

    def request(self, *args: Any, **kwargs: Any) -> None:
        self._unsent = bytearray()
        try:
            super().request(*args, **kwargs)
            message = bytes(self._unsent)
        finally:
            self._unsent = None
        crossing = _crossing.get()
        if crossing.began_s is None:
            crossing.began_s = time.monotonic()
        if self.sock is None:
            self.connect()  # its failure is the parent's absence, never a reason to repeat
        cast(StampedSocket, self.sock).give_up_s = _give_up.get()
        try:
            self.sock.sendall(message)
        except ConnectionError as error:
            raise ClosedBeforeAnswer(str(error)) from error

    def connect(self) -> None:
        super().connect()
        self.sock = StampedSocket.of(self.sock)

    def send(self, data: Any) -> None:
        if self._unsent is None:
            super().send(data)
        else:
            self._unsent += data

    def getresponse(self) -> Any:
        sock = self.sock
        assert sock is not None, "a request was sent"
        try:
            first = sock.recv(1, socket.MSG_PEEK)
        except ConnectionError as error:
            raise ClosedBeforeAnswer(str(error)) from error
        if not first:
            raise ClosedBeforeAnswer("closed without an answer")
        _heard.set(cast(StampedSocket, sock))
        return super().getresponse()  # its body is read later


class OneWritePool(urllib3.HTTPConnectionPool):
    ConnectionCls = OneWriteConnection


def divided(deadline: float, now: float, round_trip_s: float) -> tuple[float, float]:
    """When a node gives the tier above up, and the deadline that it tells it, on the same clock.

    The tier above is to answer, with what it has by then, so that its answer crosses back and is heard in
    time; and the node's own answer is to leave before the node's own deadline. At least half of the time
    that remains goes up.
    """
    remaining_s = deadline - now
    handover_s = min(HANDOVER_S, remaining_s / 20)
    give_up = deadline - handover_s
    return give_up, max(give_up - handover_s - round_trip_s, now + remaining_s / 2)


class Upstream:
    """A node's way up: a tier above, the connections to it, ``connections`` at most, and their breaker."""

    def __init__(self, parent: str, connections: int, round_trip_s: float = 0.0) -> None:
        """Note where the parent is; :meth:`forward` connects to it.

        Args:
            parent: ``host`` or ``host:port``; the port is :data:`~tiers.protocol.TIER_PORT` unless given.
            connections: upper bound on open connections; further requests wait for one.
            round_trip_s: the longest to the parent.
        """
        host, _, port = parent.partition(":")
        self._address = (host, int(port) if port else TIER_PORT)
        self._round_trip_s = round_trip_s
        self._new_pool = partial(OneWritePool, *self._address, maxsize=connections, block=True, retries=False)
        self._lock = threading.Lock()
        self._pool = self._new_pool()
        self._breaker = Breaker()

    def reset(self, round_trip_s: float | None = None) -> None:
        """Begin a method: no connections, and a breaker that has seen nothing.

        Args:
            round_trip_s: the longest to the parent from now on, if it is another.
        """
        if round_trip_s is not None:
            self._round_trip_s = round_trip_s
        self._breaker = Breaker()
        self.disconnect()

    def disconnect(self) -> None:
        """Close every connection: idle ones now, others when their answer is in."""
        with self._lock:
            old, self._pool = self._pool, self._new_pool()
        old.close()

    def forward(self, body: bytes, request_id: str, deadline: float, crossing: Crossing) -> Reply:
        """Send ``body`` up as it is and wait for the answer, which may be an error's.

        Args:
            body: JSON of the request, untouched.
            request_id: goes along in a header.
            deadline: this node's, on ``time.monotonic()``'s clock; it is :func:`divided` with those above.
            crossing: is told the times and the repeats, whatever comes of it.

        Raises:
            RequestError: ``deadline``, ``unreachable`` (no connection, or closed without an answer twice),
                ``upstream`` (an answer that breaks off or is not HTTP), or ``breaker_open`` (nothing was
                sent).
        """
        now = time.monotonic()
        if deadline <= now:
            raise deadline_passed(_WAITING)
        breaker = self._breaker
        permit = breaker.admit()
        sign: Sign = "failed"
        _crossing.set(crossing)
        give_up, told = divided(deadline, now, self._round_trip_s)
        _give_up.set(give_up)
        connect_s = (PROBE_CONNECT_S if permit.is_probe else CONNECT_S) + self._round_trip_s
        attempt = partial(self._attempt, body, request_id, give_up, told, connect_s)
        try:
            try:
                reply = attempt()
            except ClosedBeforeAnswer:
                crossing.repeats += 1
                reply = self._last(attempt)
            sign = sign_of(reply)
            return reply
        except RequestError as error:
            sign = "silent" if error.kind == "deadline" else "failed"
            raise
        finally:
            if breaker.settle(permit, sign):
                crossing.tripped = True
                self.disconnect()  # a probe on an old connection would wait for TCP's next repeat

    def _last(self, attempt: Callable[[], Reply]) -> Reply:
        try:
            return attempt()
        except ClosedBeforeAnswer as error:
            raise self._error("unreachable", f"closed twice without an answer ({error})") from error

    def _attempt(self, body: bytes, request_id: str, give_up: float, told: float, connect_s: float) -> Reply:
        now = time.monotonic()
        remaining = give_up - now
        if remaining <= 0:
            raise deadline_passed(_WAITING)
        pool: Any = self._pool  # Any: its stubs want whole seconds of pool_timeout
        try:
            response = pool.urlopen(
                "POST",
                COMPLETIONS_PATH,
                body=body,
                headers=_headers(request_id, told - now),
                timeout=urllib3.Timeout(total=remaining, connect=min(remaining, connect_s)),
                pool_timeout=remaining,
                redirect=False,
                preload_content=False,  # that would be of any length
                decode_content=False,
            )
            return Reply(response.status, self._body_of(response))
        except urllib3.exceptions.ClosedPoolError as error:  # disconnected between the two lines
            raise ClosedBeforeAnswer(str(error)) from error
        except urllib3.exceptions.HTTPError as error:
            raise self._named(error, give_up) from error

    def _body_of(self, response: urllib3.BaseHTTPResponse) -> bytes:
        """What the answer holds. One that is not wanted is not read: its connection is closed.

        Raises:
            RequestError: ``upstream``; it is too long, or compressed, so that its length says nothing.
            urllib3.exceptions.HTTPError: it breaks off, or does not come in time.
        """
        try:
            if response.headers.get("Content-Encoding", "identity").lower() != "identity":
                raise self._error("upstream", "compressed its answer, which nobody asked it to")
            body = response.read(MAX_ANSWER_BYTES + 1)
            if len(body) > MAX_ANSWER_BYTES:
                raise self._error("upstream", f"sent an answer of more than {MAX_ANSWER_BYTES} bytes")
            _crossing.get().answered_s = _heard.get().arrived_s
            return body
        except RequestError:
            response.close()
            raise
        finally:
            response.release_conn()

    def _named(self, error: Exception, give_up: float) -> Exception:
        cause = error.args[1] if len(error.args) > 1 else None
        if isinstance(cause, ClosedBeforeAnswer):
            return cause
        late = (urllib3.exceptions.ReadTimeoutError, urllib3.exceptions.EmptyPoolError)
        if time.monotonic() >= give_up or isinstance(error, late):
            return deadline_passed(_WAITING)
        unreachable = (urllib3.exceptions.NewConnectionError, urllib3.exceptions.ConnectTimeoutError)
        if isinstance(error, unreachable):
            return self._error("unreachable", f"cannot be reached ({error})")
        return self._error("upstream", f"broke off its answer ({error})")

    def _error(self, kind: ErrorKind, what: str) -> RequestError:
        host, port = self._address
        return RequestError(502, kind, f"the tier above, {host}:{port}, {what}")


def _headers(request_id: str, remaining: float) -> Mapping[str, str]:
    # No User-Agent and no Accept-Encoding: bytes of a library's version are not the method's.
    return {
        "User-Agent": SKIP_HEADER,
        "Accept-Encoding": SKIP_HEADER,
        "Content-Type": "application/json",
        REQUEST_ID_HEADER: request_id,
        DEADLINE_HEADER: encode_deadline(remaining),
    }
