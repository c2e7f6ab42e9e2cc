"""Traffic that measures a link: a flood that fills it, and trains of datagrams that are timed or counted.

All of it is UDP and ICMP on sockets made inside the two namespaces, sent from one thread here: no process
is started in a container, and inside user-mode Linux, where each system call is dear, one call sends many
full-size datagrams (sendmmsg(2)) of which none is ever fragmented.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import heapq
import os
import select
import socket
import struct
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Self

from testbed.netns import socket_in
from testbed.topology import FRAME_BYTES

UDP_HEADERS_BYTES = 42
"""Ethernet, IPv4 and UDP headers of a datagram, as the kernel counts a frame."""
FULL_PAYLOAD_BYTES = FRAME_BYTES - UDP_HEADERS_BYTES
LEAST_PAYLOAD_BYTES = 18
"""Fills a minimal Ethernet frame of 60 bytes, FCS not counted."""
SMALL_FRAME_BYTES = UDP_HEADERS_BYTES + LEAST_PAYLOAD_BYTES
PING_PAYLOAD_BYTES = 56
PING_FRAME_BYTES = UDP_HEADERS_BYTES + PING_PAYLOAD_BYTES

_libc = ctypes.CDLL(None, use_errno=True)
_SO_TIMESTAMPNS = 35
_SO_RCVBUFFORCE = 33
_SOL_RAW, _ICMP_FILTER = 255, 1
_ECHO_REPLY, _ECHO_REQUEST = 0, 8
_SEQUENCE = struct.Struct("!I")
_BURST = 64


@dataclass(frozen=True)
class End:
    """One end of a path: a network namespace and the address in it that the other end reaches."""

    netns_path: str
    ip: str


@contextlib.contextmanager
def promptly() -> Iterator[None]:
    """Let the calling thread run before all others meanwhile (sched(7)), where it may.

    A sender that waits for a CPU lets a short queue run dry, and the link would look slow. Whether the
    machine is short of CPU is asked elsewhere; here it must not blur the answer.
    """
    policy, parameters = os.sched_getscheduler(0), os.sched_getparam(0)
    with contextlib.suppress(OSError):  # not root, or a control group without real time
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    try:
        yield
    finally:
        os.sched_setscheduler(0, policy, parameters)


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
        """Send the first ``count`` of them; returns how many the kernel took."""
        wanted = len(self._messages) if count is None else min(count, len(self._messages))
        sent = int(_libc.sendmmsg(sender.fileno(), self._messages, wanted, 0))
        if sent >= 0:
            return sent
        number = ctypes.get_errno()
        if number in (errno.EAGAIN, errno.ENOBUFS, errno.EINTR):
            return 0
        raise OSError(number, f"sendmmsg: {os.strerror(number)}")


class UdpPath:
    """A socket at ``source`` connected to one at ``sink``. Close it only when the path is empty:
    a datagram that finds no socket is answered by an ICMP error across the link."""

    def __init__(self, source: End, sink: End, *, sink_buffer_bytes: int = 1 << 12) -> None:
        self.sender = socket_in(source.netns_path, socket.AF_INET, socket.SOCK_DGRAM)
        self.receiver = socket_in(sink.netns_path, socket.AF_INET, socket.SOCK_DGRAM)
        try:
            _set_receive_buffer(self.receiver, sink_buffer_bytes)
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


def _set_receive_buffer(receiver: socket.socket, size_bytes: int) -> None:
    receiver.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, size_bytes)
    with contextlib.suppress(OSError):  # beyond net.core.rmem_max, where we may
        receiver.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, size_bytes)


class Flood:
    """Full-size datagrams at ``overload`` times a bottleneck's rate; :meth:`keep_up` sends what is due.

    Attributes:
        frames_per_s: how many fall due.
        starved_s: for how long the bottleneck's queue may have been empty, since :meth:`keep_up` came late.
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
        """How often to call :meth:`keep_up`: for a few frames each, and for half of what the queue holds.

        Not oftener than 50 µs: that would be a spin, which the kernel stops now and then (sched(7)).
        """
        few_frames_s = min(max(8 / self.frames_per_s, 0.002), 0.02)
        return max(min(few_frames_s, 0.5 * self._queue_frames / self.frames_per_s), 50e-6)

    def keep_up(self, ahead: int = 0) -> None:
        """Send what is due by now, and once ``ahead`` frames on top of it.

        After a pause longer than a tenth of a second the rest is forgone: the queue would refuse it anyway.
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


@dataclass
class Train:
    """Datagrams sent ``interval_s`` apart and looked out for at ``receiver``, one after the other.

    ``build`` gives the bytes of the datagram with a number, ``number_of`` the number of one that came.
    """

    sender: socket.socket
    receiver: socket.socket
    count: int
    interval_s: float
    build: Callable[[int], bytes]
    number_of: Callable[[bytes], int | None]
    sent_ns: dict[int, int] = field(default_factory=dict)
    arrived_ns: dict[int, int] = field(default_factory=dict)
    duplicates: int = 0
    out_of_order: int = 0
    _highest: int = -1

    def send(self, number: int) -> None:
        data = self.build(number)
        self.sent_ns[number] = time.time_ns()
        with contextlib.suppress(BlockingIOError, TimeoutError):  # then it is missing at the other end
            self.sender.send(data)

    def receive(self) -> None:
        """Take all that is there, with the kernel's own time of arrival (SO_TIMESTAMPNS)."""
        with contextlib.suppress(BlockingIOError):
            while True:
                data, control, _, _ = self.receiver.recvmsg(2048, 64)
                number = self.number_of(data)
                if number is not None and number in self.sent_ns:
                    self._note(number, control)

    def _note(self, number: int, control: list[tuple[int, int, bytes]]) -> None:
        if number in self.arrived_ns:
            self.duplicates += 1
            return
        stamps = [data for _, kind, data in control if kind == _SO_TIMESTAMPNS]
        if stamps:
            seconds, nanoseconds = struct.unpack("@ll", stamps[0][:16])
            self.arrived_ns[number] = seconds * 1_000_000_000 + nanoseconds
        else:
            self.arrived_ns[number] = time.time_ns()
        self.out_of_order += number < self._highest
        self._highest = max(self._highest, number)

    @property
    def times_ms(self) -> list[float]:
        """Time of each datagram that came, in the order of sending."""
        return [(self.arrived_ns[n] - sent) / 1e6 for n, sent in self.sent_ns.items() if n in self.arrived_ns]

    @property
    def missing(self) -> int:
        return len(self.sent_ns) - len(self.arrived_ns)


def one_way_train(
    path: UdpPath, count: int, interval_s: float, payload_bytes: int = LEAST_PAYLOAD_BYTES
) -> Train:
    """Datagrams, small by default, timed from here to the kernel at the other end: both have one clock."""
    _want_stamps(path.receiver)
    padding = bytes(payload_bytes - _SEQUENCE.size)
    return Train(
        path.sender, path.receiver, count, interval_s,
        build=lambda number: _SEQUENCE.pack(number) + padding,
        number_of=lambda data: _SEQUENCE.unpack_from(data)[0] if len(data) >= _SEQUENCE.size else None,
    )  # fmt: skip


def ping_socket(source: End, sink: End) -> socket.socket:
    """A raw ICMP socket at ``source`` that sees echo replies of ``sink`` only."""
    pinger = socket_in(source.netns_path, socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
    try:
        pinger.setsockopt(_SOL_RAW, _ICMP_FILTER, struct.pack("=I", ~(1 << _ECHO_REPLY) & 0xFFFFFFFF))
        pinger.bind((source.ip, 0))
        pinger.connect((sink.ip, 0))
        pinger.setblocking(False)
        _want_stamps(pinger)
    except BaseException:
        pinger.close()
        raise
    return pinger


def ping_train(
    pinger: socket.socket, identity: int, count: int, interval_s: float, payload_bytes: int
) -> Train:
    """Echo requests (RFC 792) with an identifier of their own; the other kernel answers by itself."""
    padding = bytes(payload_bytes)

    def build(number: int) -> bytes:
        unchecked = struct.pack("!BBHHH", _ECHO_REQUEST, 0, 0, identity, number & 0xFFFF) + padding
        return unchecked[:2] + struct.pack("!H", internet_checksum(unchecked)) + unchecked[4:]

    def number_of(packet: bytes) -> int | None:
        reply = packet[(packet[0] & 0x0F) * 4 :]
        if len(reply) < 8 or reply[0] != _ECHO_REPLY:
            return None
        whose, number = struct.unpack_from("!HH", reply, 4)
        return int(number) if whose == identity else None

    return Train(pinger, pinger, count, interval_s, build, number_of)


def internet_checksum(data: bytes) -> int:
    """RFC 1071."""
    padded = data + b"\0" * (len(data) % 2)
    total: int = sum(struct.unpack(f"!{len(padded) // 2}H", padded))
    total = (total >> 16) + (total & 0xFFFF)
    return ~(total + (total >> 16)) & 0xFFFF


def run_trains(trains: Sequence[Train], last_wait_s: float) -> None:
    """Send all trains at the same time, and return ``last_wait_s`` after the last datagram, or when all came.

    Trains start spread over their interval, so that datagrams of different ones do not meet.
    """
    start_s = time.monotonic() + 0.01
    due = [(start_s + index * train.interval_s / len(trains), index, 0) for index, train in enumerate(trains)]
    heapq.heapify(due)
    watched = {train.receiver.fileno(): train for train in trains}
    poller = select.poll()
    for descriptor in watched:
        poller.register(descriptor, select.POLLIN)
    while due:
        at_s, index, number = due[0]
        wait_s = at_s - time.monotonic()
        if wait_s > 0:
            _receive(poller, watched, wait_s)
            continue
        heapq.heappop(due)
        train = trains[index]
        train.send(number)
        if number + 1 < train.count:
            heapq.heappush(due, (max(at_s + train.interval_s, time.monotonic()), index, number + 1))
    end_s = time.monotonic() + last_wait_s
    while any(train.missing for train in trains) and time.monotonic() < end_s:
        _receive(poller, watched, max(0.0, end_s - time.monotonic()))


def _receive(poller: select.poll, watched: dict[int, Train], wait_s: float) -> None:
    for descriptor, _ in poller.poll(wait_s * 1000):
        watched[descriptor].receive()


def _want_stamps(receiver: socket.socket) -> None:
    receiver.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
