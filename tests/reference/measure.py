"""What can be seen of a link from its two ends alone, whatever it is made of.

Frames are timed where the kernel receives them. Standard library alone: it runs the same in user-mode Linux.
"""

from __future__ import annotations

import contextlib
import fcntl
import random
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from testbed.network.kernel.netns import socket_in
from testbed.scenario.topology import Direction, Shape

HEADER_BYTES = 14 + 20 + 8
"""Ethernet, IP, and UDP or ICMP."""
FULL_BYTES = 1514
PORT = 9000
SLACK_S = 0.5
"""So long after the last frame was due nothing comes any more."""
_SO_TIMESTAMPNS, _SO_SNDBUFFORCE, _SO_RCVBUFFORCE = 35, 32, 33
_BUFFER_BYTES = 64 << 20
_SIOCOUTQ = 0x5411
_RETRANSMISSIONS = struct.Struct("=100xI")  # tcpi_total_retrans of struct tcp_info (linux/tcp.h)
_ECHO_REQUEST = 8
_GAP_S = 0.002


@dataclass(frozen=True)
class Ends:
    """Paths of the network namespaces at a link's two ends, their addresses, and how to shape the link."""

    near: str
    far: str
    near_ip: str
    far_ip: str
    reshape: Callable[[Shape, Shape], None]


@dataclass(frozen=True)
class Train:
    """Numbered frames: when each was sent, and those that arrived, in order; CLOCK_REALTIME, ns."""

    sent_ns: list[int]
    arrived: list[tuple[int, int]]

    @property
    def numbers(self) -> list[int]:
        return [number for number, _ in self.arrived]

    @property
    def delays_ms(self) -> list[float]:
        return [(at_ns - self.sent_ns[number]) / 1e6 for number, at_ns in self.arrived]


def send_train(
    ends: Ends,
    frames: int,
    frame_bytes: int = FULL_BYTES,
    gap_s: float = 0.0,
    last_s: float = 0.0,
    direction: Direction = "up",
) -> Train:
    """Send frames, one each ``gap_s``; the last may need ``last_s``. They are read when all have come."""
    far, far_ip, near = ends.far, ends.far_ip, ends.near
    if direction == "down":
        far, far_ip, near = ends.near, ends.near_ip, ends.far
    kind = (socket.AF_INET, socket.SOCK_DGRAM)
    with socket_in(far, *kind) as receiver, socket_in(near, *kind) as sender:
        receiver.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _BUFFER_BYTES)
        receiver.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        receiver.bind((far_ip, PORT))
        receiver.settimeout(SLACK_S)
        sender.setsockopt(socket.SOL_SOCKET, _SO_SNDBUFFORCE, _BUFFER_BYTES)
        sender.connect((far_ip, PORT))
        data = bytes(frame_bytes - HEADER_BYTES - 4)
        sent_ns, start = [], time.monotonic()
        for number in range(frames):
            if gap_s and (pause := start + number * gap_s - time.monotonic()) > 0:
                time.sleep(pause)
            sent_ns.append(time.time_ns())
            sender.send(struct.pack("!I", number) + data)
        time.sleep(last_s)
        return Train(sent_ns, list(_arrivals(receiver)))


def _arrivals(receiver: socket.socket) -> Iterator[tuple[int, int]]:
    with contextlib.suppress(TimeoutError):
        while True:
            data, ancillary, _, _ = receiver.recvmsg(2048, 64)
            yield struct.unpack_from("!I", data)[0], _stamp_ns(ancillary)


def _stamp_ns(ancillary: list[tuple[int, int, bytes]]) -> int:
    seconds, nanoseconds = struct.unpack("qq", ancillary[0][2][:16])
    return int(seconds * 10**9 + nanoseconds)


def round_trips_ms(ends: Ends, frame_bytes: int, pings: int) -> list[float]:
    """Of lone pings: each is sent when the one before has come back."""
    kind = (socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_ICMP)
    times_ms = []
    with socket_in(ends.near, *kind) as near:
        near.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        near.settimeout(5)
        near.connect((ends.far_ip, 0))
        for number in range(pings + 1):  # the first one wakes what sleeps
            header = struct.pack("!BBHHH", _ECHO_REQUEST, 0, 0, 0, number)
            sent_ns = time.time_ns()
            near.send(header + bytes(frame_bytes - HEADER_BYTES))
            _, ancillary, _, _ = near.recvmsg(2048, 64)
            times_ms.append((_stamp_ns(ancillary) - sent_ns) / 1e6)
            time.sleep(_GAP_S * (1 + random.random()))  # in step with no timer
    return times_ms[1:]


@dataclass(frozen=True)
class Transfer:
    """Bytes over one TCP connection: seconds from before its first frame until the last byte was read."""

    seconds: float
    retransmissions: int


def transfer(ends: Ends, congestion: str, total_bytes: int) -> Transfer:
    """Send bytes up over a connection of their own.

    Raises:
        OSError: this kernel has no such congestion control.
    """
    with socket_in(ends.far) as listener, socket_in(ends.near) as near:
        listener.bind((ends.far_ip, 0))
        listener.listen()
        listener.settimeout(30)
        near.settimeout(60)
        ended: list[float] = []
        thread = threading.Thread(target=_receive_all, args=(listener, total_bytes, ended), daemon=True)
        thread.start()
        start = time.monotonic()
        near.connect(listener.getsockname())
        # Only now: connecting takes the control that the route asks for.
        near.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, congestion.encode())
        near.sendall(bytes(total_bytes))
        thread.join(60)
        while struct.unpack("i", fcntl.ioctl(near, _SIOCOUTQ, bytes(4)))[0]:
            time.sleep(0.01)
        info = near.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _RETRANSMISSIONS.size)
        return Transfer(ended[0] - start, _RETRANSMISSIONS.unpack(info)[0])


def _receive_all(listener: socket.socket, total_bytes: int, ended: list[float]) -> None:
    accepted, _ = listener.accept()
    with accepted:
        accepted.settimeout(30)
        buffer, got = bytearray(1 << 16), 0
        while got < total_bytes and (count := accepted.recv_into(buffer)):
            got += count
        if got == total_bytes:
            ended.append(time.monotonic())
