"""Listens at a link's wire: when each frame was put on it, by the kernel's stamp."""

from __future__ import annotations

import contextlib
import socket
import struct
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from testbed.network.endpoint import Wire
from testbed.network.kernel.netns import socket_in
from testbed.network.measure.traffic import set_receive_buffer
from testbed.network.measure.trains import stamp_ns, want_stamps
from testbed.scenario.topology import DIRECTIONS, Direction

_ETH_P_ALL = 3
_SOL_PACKET, _PACKET_STATISTICS = 263, 6
_HEAD_BYTES = 64
"""What is read of a frame; its length is told all the same."""


class Sent(NamedTuple):
    """A frame on the wire: its kernel's stamp (realtime, ns) and its length."""

    at_ns: int
    frame_bytes: int


class WireTap:
    """A packet socket at a wire's end below, where both directions are seen as sent (packet(7)).

    Frames wait in it until :meth:`take`; ``buffer_bytes`` must hold them, at about 2.5 KB each.

    Attributes:
        sent: by direction, the frames taken so far.
    """

    def __init__(self, wire: Wire, buffer_bytes: int) -> None:
        self.sent: dict[Direction, list[Sent]] = {direction: [] for direction in DIRECTIONS}
        self._head = bytearray(_HEAD_BYTES)
        self._socket = socket_in(wire.netns_path, socket.AF_PACKET, socket.SOCK_RAW, 0)
        try:
            set_receive_buffer(self._socket, buffer_bytes)
            want_stamps(self._socket)
            self._socket.setblocking(False)
            self._socket.bind((wire.interface, _ETH_P_ALL))
        except BaseException:
            self._socket.close()
            raise

    def take(self) -> None:
        """Take all frames that wait."""
        receive, buffers = self._socket.recvmsg_into, [self._head]
        with contextlib.suppress(BlockingIOError):
            while True:
                length, control, _, address = receive(buffers, 64, socket.MSG_TRUNC)
                direction: Direction = "up" if address[2] == socket.PACKET_OUTGOING else "down"
                if (at_ns := stamp_ns(control)) is not None:
                    self.sent[direction].append(Sent(at_ns, length))

    def dropped_frames(self) -> int:
        """How many frames found no room since this was asked last."""
        told = self._socket.getsockopt(_SOL_PACKET, _PACKET_STATISTICS, 8)
        return int(struct.unpack("=II", told)[1])

    def close(self) -> None:
        """Listen no more; the kernel takes some ms for it."""
        self._socket.close()


@contextlib.contextmanager
def tapped(buffers: Mapping[Wire, int]) -> Iterator[dict[Wire, WireTap]]:
    """Taps at wires, each with a buffer of so many bytes, for the block; closed at the same time."""
    taps: dict[Wire, WireTap] = {}
    try:
        for wire, buffer_bytes in buffers.items():
            taps[wire] = WireTap(wire, buffer_bytes)
        yield taps
    finally:
        with ThreadPoolExecutor(max(1, len(taps)), thread_name_prefix="tap-end") as pool:
            list(pool.map(WireTap.close, taps.values()))
