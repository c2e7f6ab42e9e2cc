"""What the link process gets from the kernel: frames that arrive at ports, and a timer."""

from __future__ import annotations

import ctypes
import mmap
import os
import socket
import struct

from testbed.network.link_process.core import NS_PER_S

FIRST_PORT_INDEX = 1_000_000
"""Interfaces with this index or a higher one are ports, so that the kernel's filter is one comparison."""
MAX_FRAME_BYTES = 1514

_SOL_PACKET = 263
_PACKET_RX_RING, _PACKET_STATISTICS, _PACKET_VERSION, _PACKET_IGNORE_OUTGOING = 5, 6, 10, 23
_TPACKET_V2 = 1
_SO_TIMESTAMPNS, _SO_ATTACH_FILTER = 35, 26
_ETH_P_ALL = 0x0003
_SLOT_BYTES, _SLOTS, _BLOCK_BYTES = 2048, 16384, 1 << 16
_SLOT = struct.Struct("=IIIHHII12xi")
"""struct tpacket2_hdr and sockaddr_ll: status, length, length here, offset, (net), s, ns, interface."""
_FREE = bytes(4)
_VLAN_VALID = 1 << 4
_CLOCK_MONOTONIC, _TFD_TIMER_ABSTIME = 1, 1

_libc = ctypes.CDLL(None, use_errno=True)


class Ring:
    """Receives frames at all ports, with the index of the port and the kernel's stamp (realtime clock)."""

    def __init__(self) -> None:
        self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ETH_P_ALL))
        self.socket.setsockopt(_SOL_PACKET, _PACKET_IGNORE_OUTGOING, 1)
        self._accept_ports_alone()
        self.socket.setsockopt(_SOL_PACKET, _PACKET_VERSION, _TPACKET_V2)
        self.socket.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)  # stamped on entry, not by this socket
        blocks = _SLOTS * _SLOT_BYTES // _BLOCK_BYTES
        request = struct.pack("=IIII", _BLOCK_BYTES, blocks, _SLOT_BYTES, _SLOTS)
        self.socket.setsockopt(_SOL_PACKET, _PACKET_RX_RING, request)
        self._map = mmap.mmap(self.socket.fileno(), _SLOTS * _SLOT_BYTES)
        self._slot = 0

    def _accept_ports_alone(self) -> None:
        """Attach a BPF filter that accepts frames of interfaces whose index is a port's."""
        code = struct.pack(
            "=HBBIHBBIHBBIHBBI",
            *(0x20, 0, 0, 0xFFFFF008),  # ld the interface's index
            *(0x35, 0, 1, FIRST_PORT_INDEX),  # jge
            *(0x06, 0, 0, 0x40000),  # accept
            *(0x06, 0, 0, 0),  # refuse
        )
        program = ctypes.create_string_buffer(code, len(code))
        request = struct.pack("@HP", 4, ctypes.addressof(program))
        self.socket.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, request)

    def take(self) -> list[tuple[int, int, bytes]]:
        """Take all frames that have arrived: stamp in ns, port, bytes (empty if it is too long or tagged)."""
        ring, unpack = self._map, _SLOT.unpack_from
        taken: list[tuple[int, int, bytes]] = []
        while ring[start := self._slot * _SLOT_BYTES]:  # the lowest byte of the status: it is ours
            status, length, here, offset, _, seconds, nanoseconds, port = unpack(ring, start)
            whole = length == here <= MAX_FRAME_BYTES and not status & _VLAN_VALID
            frame = ring[start + offset : start + offset + here] if whole else b""
            ring[start : start + 4] = _FREE
            self._slot = (self._slot + 1) % _SLOTS
            taken.append((seconds * NS_PER_S + nanoseconds, port, frame))
        return taken

    def new_drops(self) -> int:
        """How many frames found no room since the last call."""
        answer = self.socket.getsockopt(_SOL_PACKET, _PACKET_STATISTICS, 8)
        return int(struct.unpack("=II", answer)[1])


class Timer:
    """A descriptor that is readable from a moment on (timerfd_create(2), which Python has since 3.13)."""

    def __init__(self) -> None:
        self.descriptor = int(_libc.timerfd_create(_CLOCK_MONOTONIC, os.O_NONBLOCK | os.O_CLOEXEC))
        if self.descriptor < 0:
            raise OSError(ctypes.get_errno(), "timerfd_create")
        self._spec = (ctypes.c_long * 4)()
        self._set_ns = 0

    def set(self, at_ns: int) -> None:
        """Be readable from ``at_ns`` of the monotonic clock on; never if it is 0."""
        if at_ns != self._set_ns:
            self._set_ns = at_ns
            self._spec[2], self._spec[3] = divmod(at_ns, NS_PER_S)
            _libc.timerfd_settime(self.descriptor, _TFD_TIMER_ABSTIME, self._spec, None)
