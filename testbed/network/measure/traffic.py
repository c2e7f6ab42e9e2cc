"""Traffic that measures a link: datagrams between its two ends, in bursts, and a flood that fills it.

It is UDP on sockets made inside the two namespaces and sent from a thread of this process: no process is
started in a container, and one call sends many full-size datagrams (sendmmsg(2)), none of them fragmented.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import socket
import time
from collections.abc import Sequence
from typing import Self

from testbed.network.endpoint import Endpoint
from testbed.network.kernel.netns import socket_in
from testbed.scenario.topology import FRAME_BYTES

UDP_HEADERS_BYTES = 42
"""The Ethernet, IPv4 and UDP headers of a datagram, as the kernel counts a frame."""
FULL_PAYLOAD_BYTES = FRAME_BYTES - UDP_HEADERS_BYTES
LEAST_PAYLOAD_BYTES = 18
"""The payload that fills a minimal Ethernet frame of 60 bytes without FCS."""
SMALL_FRAME_BYTES = UDP_HEADERS_BYTES + LEAST_PAYLOAD_BYTES
PING_PAYLOAD_BYTES = 56
PING_FRAME_BYTES = UDP_HEADERS_BYTES + PING_PAYLOAD_BYTES

_libc = ctypes.CDLL(None, use_errno=True)
_SO_RCVBUFFORCE = 33
MOST_BUFFER_BYTES = 1 << 30
"""Of a socket; the kernel takes no larger number for it (socket(7))."""
_BURST = 64


class _IoVec(ctypes.Structure):
    _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))


class _MsgHdr(ctypes.Structure):
    _fields_ = (
        ("name", ctypes.c_void_p),
        ("name_length", ctypes.c_uint32),
        ("vectors", ctypes.POINTER(_IoVec)),
        ("vector_count", ctypes.c_size_t),
        ("control", ctypes.c_void_p),
        ("control_length", ctypes.c_size_t),
        ("flags", ctypes.c_int),
    )


class _MMsgHdr(ctypes.Structure):
    _fields_ = (("header", _MsgHdr), ("sent_bytes", ctypes.c_uint))


class Burst:
    """Datagrams of one connected socket that leave in one system call (sendmmsg(2))."""

    def __init__(self, payloads: Sequence[bytes]) -> None:
        count = len(payloads)
        self._buffers = [ctypes.create_string_buffer(payload, len(payload)) for payload in payloads]
        self._vectors = (_IoVec * count)()
        self._messages = (_MMsgHdr * count)()
        for vector, message, buffer in zip(self._vectors, self._messages, self._buffers, strict=True):
            vector.base, vector.length = ctypes.addressof(buffer), len(buffer)
            message.header.vectors, message.header.vector_count = ctypes.pointer(vector), 1

    def send(self, sender: socket.socket, count: int | None = None) -> int:
        """Send the first ``count`` datagrams; return how many the kernel took."""
        wanted = len(self._messages) if count is None else min(count, len(self._messages))
        sent = int(_libc.sendmmsg(sender.fileno(), self._messages, wanted, 0))
        if sent >= 0:
            return sent
        number = ctypes.get_errno()
        if number in (errno.EAGAIN, errno.ENOBUFS, errno.EINTR):
            return 0
        raise OSError(number, f"sendmmsg: {os.strerror(number)}")


class UdpPath:
    """A UDP socket at ``source`` that is connected to a UDP socket at ``sink``.

    Close it only when the path is empty: a datagram that finds no socket is answered by an ICMP error across
    the link.
    """

    def __init__(self, source: Endpoint, sink: Endpoint, *, sink_buffer_bytes: int = 1 << 12) -> None:
        self.sender = socket_in(source.netns_path, socket.AF_INET, socket.SOCK_DGRAM)
        self.receiver = socket_in(sink.netns_path, socket.AF_INET, socket.SOCK_DGRAM)
        try:
            set_receive_buffer(self.receiver, sink_buffer_bytes)
            self.receiver.bind((sink.ip, 0))
            self.receiver.setblocking(False)
            self.sender.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 << 20)
            self.sender.bind((source.ip, 0))
            self.sender.connect(self.receiver.getsockname())
            self.sender.settimeout(1.0)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        self.sender.close()
        self.receiver.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def set_receive_buffer(receiver: socket.socket, size_bytes: int) -> None:
    """Give a socket room for so many bytes that wait, the kernel's own for each datagram included.

    It gets :data:`MOST_BUFFER_BYTES` at most: a tap at a link of 100 Gbit/s would ask for twenty times that.
    """
    size_bytes = min(size_bytes, MOST_BUFFER_BYTES)
    receiver.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, size_bytes)
    with contextlib.suppress(OSError):  # beyond net.core.rmem_max, where we may
        receiver.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, size_bytes)


class Flood:
    """Full-size datagrams at ``overload`` times a bottleneck's rate; :meth:`keep_up` sends what is due.

    Attributes:
        frames_per_s: how many are due in a second.
        starved_s: for how long the bottleneck's queue may have been empty because :meth:`keep_up` was late.
    """

    def __init__(self, path: UdpPath, rate_bps: float, overload: float, queue_frames: int) -> None:
        self._path = path
        self._burst = Burst([bytes(FULL_PAYLOAD_BYTES)] * _BURST)
        self._queue_frames = queue_frames
        self._lasts_s = (queue_frames - 1) * 8 * FRAME_BYTES / rate_bps  # one frame has begun to leave
        self.frames_per_s = overload * rate_bps / (8 * FRAME_BYTES)
        self.starved_s = 0.0
        self._started_s = self._called_s = time.monotonic()
        self._sent = 0

    @property
    def period_s(self) -> float:
        """How long to pause between calls of :meth:`keep_up`: for a few frames, and for half a queue at most.

        It is at least 50 µs: a thread that never sleeps is stopped by the kernel now and then (sched(7)).
        """
        few_frames_s = min(max(8 / self.frames_per_s, 0.002), 0.02)
        return max(min(few_frames_s, 0.5 * self._queue_frames / self.frames_per_s), 50e-6)

    def keep_up(self, ahead: int = 0) -> None:
        """Send what is due by now, and ``ahead`` frames more.

        After a pause of more than a tenth of a second the rest is not sent: the queue would refuse it anyway.
        """
        now_s = time.monotonic()
        self.starved_s += max(0.0, now_s - self._called_s - self._lasts_s)
        self._called_s = now_s
        due = int((now_s - self._started_s) * self.frames_per_s) - self._sent
        self._sent += due
        left = ahead + min(due, int(self.frames_per_s * 0.1) + 1)
        while left > 0:
            taken = self._burst.send(self._path.sender, left)
            if taken == 0:
                return
            left -= taken
