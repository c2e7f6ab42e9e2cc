"""TCP connections between two namespaces, with time-outs."""

from __future__ import annotations

import socket

from testbed.network.endpoint import Endpoint
from testbed.network.kernel.netns import socket_in
from tiers.protocol import TIER_PORT

TIMEOUT_S = 30.0


def receive_all(receiver: socket.socket, size_bytes: int) -> None:
    """Receive that many bytes and drop them.

    Raises:
        OSError: the other end closed before, or sent nothing for half a minute.
    """
    while size_bytes > 0:
        piece = receiver.recv(min(1 << 16, size_bytes))
        if not piece:
            raise ConnectionError("the connection closed early")
        size_bytes -= len(piece)


def listening(end: Endpoint) -> socket.socket:
    """A listening socket at ``end``."""
    listener = socket_in(end.netns_path)
    listener.settimeout(TIMEOUT_S)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((end.ip, TIER_PORT))
    listener.listen()
    return listener


def connecting(end: Endpoint) -> socket.socket:
    """A socket at ``end`` that is to connect."""
    client = socket_in(end.netns_path)
    client.settimeout(TIMEOUT_S)
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return client
