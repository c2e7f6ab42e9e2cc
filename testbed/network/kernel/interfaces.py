"""Switches offloads of interfaces off, and waits until interfaces are up."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import socket
import struct
from collections.abc import Sequence
from functools import partial

from testbed.host.processes.waiting import wait_until
from testbed.network.kernel.netns import _disable_ipv6, in_namespace

CARRIER_TIMEOUT_S = 30.0
_SIOCGIFFLAGS = 0x8913
_IFF_RUNNING = 0x40
# The socket ioctl for ethtool, and its commands that turn an offload off (linux/ethtool.h).
_SIOCETHTOOL = 0x8946
_ETHTOOL_GGRO = 0x2B
_ETHTOOL_OFFLOADS = (0x15, 0x17, 0x1F, 0x24, 0x2C)
"""Checksums at reception, checksums at sending, TSO, GSO, GRO."""


def quieten_interfaces(path: str, interfaces: Sequence[str]) -> None:
    """Switch IPv6 and all offloads of ``interfaces`` off; to be done before they come up."""
    with in_namespace(path):
        _disable_ipv6(interfaces)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
            for interface in interfaces:
                for command in _ETHTOOL_OFFLOADS:
                    _ethtool(control, interface, command, 0)


def wait_running(path: str, interfaces: Sequence[str]) -> None:
    """Return when ``interfaces`` carry frames.

    An interface that was brought up drops frames until the kernel has noticed its carrier, some ms later.

    Raises:
        TestbedError: one does not come up.
    """
    with in_namespace(path), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        for interface in interfaces:
            sentence = f"interface {interface} did not come up in {CARRIER_TIMEOUT_S:.0f} s"
            is_running = partial(_is_running, control, interface)
            wait_until(is_running, CARRIER_TIMEOUT_S, 0.002, or_raise=sentence)
        # The kernel tells bridges while it holds the lock that this question waits for.
        _ethtool(control, interfaces[0], _ETHTOOL_GGRO, 0)


def _is_running(control: socket.socket, interface: str) -> bool:
    """Whether an interface carries frames, by its flags (netdevice(7))."""
    answer = fcntl.ioctl(control, _SIOCGIFFLAGS, struct.pack("16sH22x", interface.encode(), 0))
    return bool(struct.unpack_from("16sH", answer)[1] & _IFF_RUNNING)


def _ethtool(control: socket.socket, interface: str, command: int, value: int) -> None:
    """Have an ethtool command done (linux/ethtool.h, ``struct ethtool_value``), where the device knows it."""
    answer = ctypes.create_string_buffer(struct.pack("=II", command, value), 8)
    request = struct.pack("16sQ16x", interface.encode(), ctypes.addressof(answer))
    try:
        fcntl.ioctl(control, _SIOCETHTOOL, request)
    except OSError as error:
        if error.errno != errno.EOPNOTSUPP:  # the device has no such offload
            raise
