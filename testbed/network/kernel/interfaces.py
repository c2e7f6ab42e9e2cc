"""Interfaces: offloads off, and up before anybody sends."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import socket
import struct
import time
from collections.abc import Mapping, Sequence

from testbed.errors import TestbedError
from testbed.network.kernel.netns import _disable_ipv6, in_namespace

CARRIER_TIMEOUT_S = 30.0
_SIOCGIFFLAGS = 0x8913
_IFF_RUNNING = 0x40
# Socket ioctl and commands of linux/ethtool.h that turn an offload off.
_SIOCETHTOOL = 0x8946
_OFFLOADS: Mapping[str, tuple[int, int]] = {  # name: (get, set)
    "rx checksums": (0x14, 0x15),
    "tx checksums": (0x16, 0x17),
    "tso": (0x1E, 0x1F),
    "gso": (0x23, 0x24),
    "gro": (0x2B, 0x2C),
}


def quieten_interfaces(path: str, interfaces: Sequence[str]) -> None:
    """Switch IPv6 and all offloads of ``interfaces`` off; to be done before they come up."""
    with in_namespace(path):
        _disable_ipv6(interfaces)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
            for interface in interfaces:
                for _, command in _OFFLOADS.values():
                    _ethtool(control, interface, command, 0)


def wait_running(path: str, interfaces: Sequence[str]) -> None:
    """Return when ``interfaces`` carry frames.

    One that was brought up drops all it is given until the kernel has noticed its carrier, in its own time.
    """
    waiting = list(interfaces)
    deadline = time.monotonic() + CARRIER_TIMEOUT_S
    with in_namespace(path), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        while waiting := [name for name in waiting if not _flags(control, name) & _IFF_RUNNING]:
            if time.monotonic() > deadline:
                raise TestbedError(f"interface {waiting[0]} did not come up in {CARRIER_TIMEOUT_S:.0f} s")
            time.sleep(0.002)
        # The kernel tells bridges while it holds the lock that this question waits for.
        _ethtool(control, interfaces[0], _OFFLOADS["gro"][0], 0)


def _flags(control: socket.socket, interface: str) -> int:
    """Flags of an interface (netdevice(7))."""
    answer = fcntl.ioctl(control, _SIOCGIFFLAGS, struct.pack("16sH22x", interface.encode(), 0))
    return int(struct.unpack_from("16sH", answer)[1])


def offloads(path: str, interface: str) -> dict[str, bool]:
    """Which offloads of an interface are on."""
    with in_namespace(path), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        return {name: _ethtool(control, interface, get, 0) != 0 for name, (get, _) in _OFFLOADS.items()}


def _ethtool(control: socket.socket, interface: str, command: int, value: int) -> int:
    """One legacy ethtool command (linux/ethtool.h, ``struct ethtool_value``); its value afterwards."""
    answer = ctypes.create_string_buffer(struct.pack("=II", command, value), 8)
    request = struct.pack("16sQ16x", interface.encode(), ctypes.addressof(answer))
    try:
        fcntl.ioctl(control, _SIOCETHTOOL, request)
    except OSError as error:
        if error.errno != errno.EOPNOTSUPP:  # cannot be changed: the device has no such offload
            raise
        return 0
    return int(struct.unpack("=II", answer.raw)[1])
