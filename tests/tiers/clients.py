"""Clients that misbehave, and a tier's server that loses patience sooner."""

from __future__ import annotations

import resource
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.tiers.nodes import HOST, node_config, prompt_body, wait_until
from tiers.config import parse_config
from tiers.connections import Limits
from tiers.routes import make_app
from tiers.service import Service
from tiers.wsgi import Server


@contextmanager
def impatient(limits: Limits, **changes: Any) -> Iterator[tuple[Server, Service]]:
    """A top tier in this process, with these limits."""
    config = parse_config(node_config("cloud", None, **changes))
    service = Service(config)
    server = Server(make_app(service), HOST, 0, config.request_threads, limits)
    service.queue.load().result(10)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        yield server, service
    finally:
        server.close()
        service.queue.close()
        thread.join(5)


def connected(port: int, timeout_s: float = 10) -> socket.socket:
    return socket.create_connection((HOST, port), timeout=timeout_s)


def post(body: bytes | None, *fields: str, length: int | None = None) -> bytes:
    """A request as it is sent: of a length that may be another than the body's."""
    if body is not None:
        fields = (*fields, f"Content-Length: {len(body) if length is None else length}")
    head = "\r\n".join(["POST /v1/chat/completions HTTP/1.1", "Host: x", *fields])
    return head.encode() + b"\r\n\r\n" + (body or b"")


PROMPT = post(prompt_body("good"))


def rest_of(connection: socket.socket) -> bytes:
    """All that comes until the server closes; a reset ends it too."""
    came = bytearray()
    try:
        while piece := connection.recv(1 << 16):
            came += piece
    except ConnectionResetError:
        pass
    return bytes(came)


def is_closed(connection: socket.socket) -> bool:
    """Whether the server has closed a connection by which nothing else was to come."""
    connection.settimeout(0.001)
    try:
        return connection.recv(1) == b""
    except TimeoutError:
        return False
    except ConnectionResetError:
        return True


def reset(connection: socket.socket) -> None:
    """Be gone, as a client whose process was killed with bytes unread."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def may_open(files: int) -> None:
    """Let this process have as many files open."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < files:
        resource.setrlimit(resource.RLIMIT_NOFILE, (files, hard))


def wait_idle(server: Server) -> None:
    """Until no thread of the server has a request."""
    wait_until(lambda: server.threads.active_count == 0)
