"""The kernel's counters of interfaces, read by rtnetlink(7).

They are read often, so without a process and without a dump: one request, one answer.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
import threading
from dataclasses import dataclass

from testbed.errors import TestbedError
from testbed.network.kernel.netns import in_namespace, socket_in

_RTM_GETSTATS = 94
_NLMSG_ERROR = 2
_NLM_F_REQUEST = 1
_IFLA_STATS_LINK_64 = 1

_HEADER = struct.Struct("=IHHII")  # struct nlmsghdr
_IF_STATS = struct.Struct("=BxxxII")  # struct if_stats_msg
_LINK_STATS = struct.Struct("=8Q")  # rx, tx of: packets, bytes, errors, dropped
_ATTRIBUTE_HEADER_BYTES = 4
_TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True)
class Counters:
    """Frames and their bytes, with Ethernet header and without FCS, since the interface was made."""

    frames: int
    bytes: int


@dataclass(frozen=True, slots=True)
class InterfaceCounters:
    """An interface's 64-bit counters; ``dropped_frames`` found no room at the other end."""

    sent: Counters
    received: Counters
    dropped_frames: int


class CounterReader:
    """Counters of the interfaces of one network namespace, read by a socket that stays open.

    It may be used from several threads. It keeps the namespace alive until it is closed.
    """

    def __init__(self, netns_path: str) -> None:
        self._path = netns_path
        self._socket = socket_in(netns_path, socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
        self._socket.settimeout(_TIMEOUT_S)
        self._socket.bind((0, 0))
        self._lock = threading.Lock()
        self._sequence = 0
        self._indices: dict[str, int] = {}

    def close(self) -> None:
        self._socket.close()

    def interface(self, name: str) -> InterfaceCounters:
        """Counters of an interface, all of the same moment.

        Raises:
            TestbedError: there is no such interface.
        """
        request = _IF_STATS.pack(0, self._index(name), 1 << (_IFLA_STATS_LINK_64 - 1))
        answer = self._ask(request, name)
        # The one attribute asked for follows (struct rtattr).
        stats = _LINK_STATS.unpack_from(answer, _IF_STATS.size + _ATTRIBUTE_HEADER_BYTES)
        rx_packets, tx_packets, rx_bytes, tx_bytes, _, _, _, tx_dropped = stats
        return InterfaceCounters(Counters(tx_packets, tx_bytes), Counters(rx_packets, rx_bytes), tx_dropped)

    def _index(self, name: str) -> int:
        if name not in self._indices:
            with in_namespace(self._path):
                try:
                    self._indices[name] = socket.if_nametoindex(name)
                except OSError as error:
                    raise TestbedError(f"interface {name} is gone") from error
        return self._indices[name]

    def _ask(self, payload: bytes, name: str) -> bytes:
        with self._lock:
            self._sequence += 1
            header = _HEADER.pack(
                _HEADER.size + len(payload), _RTM_GETSTATS, _NLM_F_REQUEST, self._sequence, 0
            )
            self._socket.send(header + payload)
            while True:
                try:
                    answer = self._socket.recv(65536)
                except TimeoutError as error:
                    raise TestbedError(
                        f"the kernel gave no counters of {name} in {_TIMEOUT_S:g} s"
                    ) from error
                length, answered, _, sequence, _ = _HEADER.unpack_from(answer)
                if sequence == self._sequence:
                    break  # an answer to a request that timed out earlier would have another number
        if answered == _NLMSG_ERROR:
            number = -struct.unpack_from("=i", answer, _HEADER.size)[0]
            if number in (errno.ENODEV, errno.ENOENT):
                raise TestbedError(f"interface {name} is gone")
            raise OSError(number, f"counters of {name}: {os.strerror(number)}")
        return answer[_HEADER.size : length]
