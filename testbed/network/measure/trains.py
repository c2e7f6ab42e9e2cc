"""Trains of numbered datagrams that measure times: sent at an interval, stamped by the receiving kernel."""

from __future__ import annotations

import contextlib
import heapq
import select
import socket
import struct
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from testbed.network.endpoint import Endpoint
from testbed.network.kernel.netns import socket_in
from testbed.network.measure.traffic import LEAST_PAYLOAD_BYTES, UdpPath

_SO_TIMESTAMPNS = 35
_SOL_RAW, _ICMP_FILTER = 255, 1
_ECHO_REPLY, _ECHO_REQUEST = 0, 8
_SEQUENCE = struct.Struct("!I")


@dataclass
class Train:
    """Datagrams that are sent ``interval_s`` apart and received at ``receiver``.

    ``build`` gives the bytes of the datagram with a number, ``number_of`` the number of a datagram that came.
    ``frames_each``: with its answer, if it has one.
    """

    sender: socket.socket
    receiver: socket.socket
    count: int
    interval_s: float
    build: Callable[[int], bytes]
    number_of: Callable[[bytes], int | None]
    frames_each: int = 1
    sent_ns: dict[int, int] = field(default_factory=dict)
    arrived_ns: dict[int, int] = field(default_factory=dict)
    out_of_order: int = 0
    _highest: int = -1

    def send(self, number: int) -> None:
        """Send the datagram with that number, and note when."""
        data = self.build(number)
        self.sent_ns[number] = time.time_ns()
        with contextlib.suppress(BlockingIOError, TimeoutError):  # then it is missing at the other end
            self.sender.send(data)

    def receive(self) -> None:
        """Take all datagrams that have come, with the kernel's time of arrival (SO_TIMESTAMPNS)."""
        with contextlib.suppress(BlockingIOError):
            while True:
                data, control, _, _ = self.receiver.recvmsg(2048, 64)
                number = self.number_of(data)
                if number is not None and number in self.sent_ns:
                    self._note(number, control)

    def _note(self, number: int, control: list[tuple[int, int, bytes]]) -> None:
        if number in self.arrived_ns:  # a second copy
            return
        stamp = stamp_ns(control)
        self.arrived_ns[number] = time.time_ns() if stamp is None else stamp
        self.out_of_order += number < self._highest
        self._highest = max(self._highest, number)

    @property
    def times_ms(self) -> list[float]:
        """The time of each datagram that came, in the order of sending."""
        return [(self.arrived_ns[n] - sent) / 1e6 for n, sent in self.sent_ns.items() if n in self.arrived_ns]

    @property
    def missing(self) -> int:
        return len(self.sent_ns) - len(self.arrived_ns)


def one_way_train(
    path: UdpPath, count: int, interval_s: float, payload_bytes: int = LEAST_PAYLOAD_BYTES
) -> Train:
    """Datagrams, small by default, timed from here to the other end's kernel, which has the same clock."""
    want_stamps(path.receiver)
    padding = bytes(payload_bytes - _SEQUENCE.size)
    return Train(
        path.sender, path.receiver, count, interval_s,
        build=lambda number: _SEQUENCE.pack(number) + padding,
        number_of=lambda data: _SEQUENCE.unpack_from(data)[0] if len(data) >= _SEQUENCE.size else None,
    )  # fmt: skip


def ping_socket(source: Endpoint, sink: Endpoint) -> socket.socket:
    """A raw ICMP socket at ``source`` that receives echo replies of ``sink`` only."""
    pinger = socket_in(source.netns_path, socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
    try:
        pinger.setsockopt(_SOL_RAW, _ICMP_FILTER, struct.pack("=I", ~(1 << _ECHO_REPLY) & 0xFFFFFFFF))
        pinger.bind((source.ip, 0))
        pinger.connect((sink.ip, 0))
        pinger.setblocking(False)
        want_stamps(pinger)
    except BaseException:
        pinger.close()
        raise
    return pinger


def ping_train(
    pinger: socket.socket, identity: int, count: int, interval_s: float, payload_bytes: int
) -> Train:
    """Echo requests (RFC 792) with the identifier ``identity``, which the other kernel answers."""
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

    return Train(pinger, pinger, count, interval_s, build, number_of, frames_each=2)


def internet_checksum(data: bytes) -> int:
    """The checksum of RFC 1071."""
    padded = data + b"\0" * (len(data) % 2)
    total: int = sum(struct.unpack(f"!{len(padded) // 2}H", padded))
    total = (total >> 16) + (total & 0xFFFF)
    return ~(total + (total >> 16)) & 0xFFFF


def run_trains(trains: Sequence[Train], last_wait_s: float) -> None:
    """Send all trains at the same time; return ``last_wait_s`` after the last datagram, or when all came.

    Their starts are spread over the interval, so that datagrams of different trains do not meet.
    """
    start_s = time.monotonic() + 0.01
    due = [(start_s + index * train.interval_s / len(trains), index, 0) for index, train in enumerate(trains)]
    heapq.heapify(due)
    watched = {train.receiver.fileno(): train for train in trains}
    with select.epoll() as poller:  # of many trains, it tells those that have something alone
        for descriptor in watched:
            poller.register(descriptor, select.EPOLLIN)
        _run(trains, due, watched, poller)
        end_s = time.monotonic() + last_wait_s
        while any(train.missing for train in trains) and time.monotonic() < end_s:
            _receive(poller, watched, max(0.0, end_s - time.monotonic()))


def _run(
    trains: Sequence[Train],
    due: list[tuple[float, int, int]],
    watched: dict[int, Train],
    poller: select.epoll,
) -> None:
    while due:
        at_s, index, number = due[0]
        if at_s > time.monotonic():
            _receive(poller, watched, 0)  # no sooner: what comes meanwhile is stamped all the same
            time.sleep(max(0.0, at_s - time.monotonic()))  # finer than a poller's milliseconds
        heapq.heappop(due)
        train = trains[index]
        train.send(number)
        if number + 1 < train.count:
            heapq.heappush(due, (max(at_s + train.interval_s, time.monotonic()), index, number + 1))


def _receive(poller: select.epoll, watched: dict[int, Train], wait_s: float) -> None:
    for descriptor, _ in poller.poll(wait_s):
        watched[descriptor].receive()


def want_stamps(receiver: socket.socket) -> None:
    """Have the kernel stamp what the socket receives (SO_TIMESTAMPNS, socket(7))."""
    receiver.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)


def stamp_ns(control: Sequence[tuple[int, int, bytes]]) -> int | None:
    """The kernel's stamp among a datagram's ancillary data, in ns of the realtime clock."""
    for _, kind, data in control:
        if kind == _SO_TIMESTAMPNS:
            seconds, nanoseconds = struct.unpack("@ll", data[:16])
            return int(seconds * 1_000_000_000 + nanoseconds)
    return None
