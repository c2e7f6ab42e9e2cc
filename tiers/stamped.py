"""Sockets that know when what they read had arrived: by the kernel's stamp, not when the process was woken.

A tier that waits for its CPU quota reads late what came in time. Without the stamp that wait would look like
the network's. And they know when to give up: a time-out of Python's counts anew from each segment.
"""

from __future__ import annotations

import socket
import struct
import time
from typing import Any, Self

SO_TIMESTAMPNS = 35
"""socket(7); Python 3.11's module lacks it. Its control message has the same number."""
_TIMESPEC = struct.Struct("@ll")
_CONTROL_BYTES = socket.CMSG_SPACE(_TIMESPEC.size)
_TCP_INFO_BYTES = 104
_LAST_DATA_RECV = struct.Struct("=52xI")  # struct tcp_info: ms since data came in, in whole ticks
_TICKS_MS = 25
"""Two ticks and more, at 100 a second: what ``tcpi_last_data_recv`` may be off."""
_LEAST_WAIT_S = 0.001
"""0 would make the socket a non-blocking one."""


def stamp_arrivals(sock: socket.socket) -> None:
    """Let the kernel stamp what comes in by a socket; connections of a listening socket inherit it."""
    sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)


class StampedSocket(socket.socket):
    """A TCP socket whose :attr:`arrived_s` says when the last byte it has read arrived."""

    arrived_s = 0.0
    """On ``time.monotonic()``'s clock."""
    give_up_s: float | None = None
    """On the same clock: from then on nothing is waited for, though what has come is still read."""

    @classmethod
    def of(cls, plain: socket.socket) -> Self:
        """Take over a socket; ``plain`` is of no use afterwards."""
        timeout = plain.gettimeout()
        stamped = cls(plain.family, plain.type, plain.proto, fileno=plain.detach())
        stamped.settimeout(timeout)
        stamp_arrivals(stamped)
        return stamped

    def recv(self, bufsize: int, flags: int = 0, /) -> bytes:
        self._limit_wait()
        data, control, _, _ = self.recvmsg(bufsize, _CONTROL_BYTES, flags)
        self._note(len(data), control)
        return data

    def recv_into(self, buffer: Any, nbytes: int = 0, flags: int = 0) -> int:
        self._limit_wait()
        view = memoryview(buffer)[: nbytes or None]
        count, control, _, _ = self.recvmsg_into([view], _CONTROL_BYTES, flags)
        self._note(count, control)
        return count

    def sendall(self, data: Any, flags: int = 0, /) -> None:
        self._limit_wait()
        super().sendall(data, flags)

    def _limit_wait(self) -> None:
        if self.give_up_s is not None:
            self.settimeout(max(_LEAST_WAIT_S, self.give_up_s - time.monotonic()))

    def _note(self, count: int, control: list[tuple[int, int, bytes]]) -> None:
        if count == 0:
            return
        age_s = _age_s(control)
        now_s = time.monotonic()  # after the other clock, so that nothing arrives before it was sent
        if age_s * 1000 > _TICKS_MS:
            # The stamp is of the last byte's own segment; where an earlier one had been lost, all became
            # readable only when that came again.
            info = self.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO_BYTES)
            since_data_ms = _LAST_DATA_RECV.unpack_from(info)[0]
            if age_s * 1000 > since_data_ms + _TICKS_MS:
                age_s = since_data_ms / 1000
        self.arrived_s = now_s - age_s


def _age_s(control: list[tuple[int, int, bytes]]) -> float:
    """Seconds since what was read arrived; 0 where the kernel did not stamp it.

    Stamps are of the realtime clock, so their age is taken at once: the clock may be set at any time.
    """
    for level, kind, data in control:
        if (level, kind) == (socket.SOL_SOCKET, SO_TIMESTAMPNS):
            seconds, nanoseconds = map(int, _TIMESPEC.unpack_from(data))
            return max(0.0, (time.time_ns() - seconds * 10**9 - nanoseconds) / 1e9)
    return 0.0
