"""Where a network's front door listens: this host's loopback, unless another address is asked for by name."""

from __future__ import annotations

import errno
import ipaddress
import os
import socket

from testbed.errors import TestbedError

LOOPBACK = "127.0.0.1"
USUAL_PORT = 8000


def bind(host: str, port: int | None) -> tuple[socket.socket, list[str]]:
    """A socket that is bound and does not listen yet, and what is to be said of its address.

    Args:
        host: an address of this host, or a name that stands for one.
        port: it alone will do; without, a free one if :data:`USUAL_PORT` is taken.

    Raises:
        TestbedError: the address is not this host's, or the port is taken.
    """
    family, address = _resolved(host)
    notes = []
    if not is_loopback(address):
        notes.append(
            f"--host {host}: whoever reaches {address} can ask the tiers, without a password and unencrypted"
        )
    wanted = USUAL_PORT if port is None else port
    try:
        return _bound(family, address, wanted), notes
    except OSError as error:
        if error.errno == errno.EADDRINUSE and port is None:
            notes.append(f"port {USUAL_PORT} is taken, so a free one is used")
            return _bound(family, address, 0), notes
        if error.errno == errno.EADDRINUSE:
            raise TestbedError(f"--port: {address} port {port} is taken; name another, or none") from None
        raise TestbedError(f"--host: {host} port {wanted}: {os.strerror(error.errno or 0)}") from None


def is_loopback(address: str) -> bool:
    """Whether only this host reaches an IP address."""
    return ipaddress.ip_address(address.partition("%")[0]).is_loopback


def url_of(listening: socket.socket) -> str:
    """The address of a bound socket as clients write it, without a slash at the end."""
    host, port = listening.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _resolved(host: str) -> tuple[socket.AddressFamily, str]:
    try:
        (family, _, _, _, address), *_ = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise TestbedError(f"--host: {host!r} is no address; leave it out for {LOOPBACK}") from None
    return family, str(address[0])


def _bound(family: socket.AddressFamily, address: str, port: int) -> socket.socket:
    made = socket.socket(family, socket.SOCK_STREAM)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((address, port))
    except BaseException:
        made.close()
        raise
    made.setblocking(False)
    return made
