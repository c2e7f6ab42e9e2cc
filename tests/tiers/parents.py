"""A tier above that misbehaves on purpose, on a plain socket, and what a socket says of its segments."""

from __future__ import annotations

import json
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from tests.tiers.nodes import HOST


@dataclass
class Seen:
    """Requests as they came, whole, and the data segments that carried each connection's."""

    requests: list[bytes] = field(default_factory=list)
    segments: list[int] = field(default_factory=list)
    connections: int = 0


Behaviour = Callable[[int, socket.socket], bool]
"""Takes the number of the request, from 0, and its socket; says whether the connection goes on."""


@contextmanager
def parent(behaviour: Behaviour, tls: ssl.SSLContext | None = None) -> Iterator[tuple[int, Seen]]:
    """A listening port and what it has seen, within TLS if ``tls`` says how."""
    listener = socket.create_server((HOST, 0))
    seen, stopping = Seen(), threading.Event()

    def accept() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            seen.connections += 1
            if tls is not None:
                try:
                    connection = tls.wrap_socket(connection, server_side=True)
                except OSError:  # the client does not trust us
                    continue
            threading.Thread(target=serve, args=(connection,), daemon=True).start()

    def serve(connection: socket.socket) -> None:
        connection.settimeout(20)
        carried = 0
        with connection:
            while not stopping.is_set():
                request = read_message(connection)
                if not request:
                    return
                seen.segments.append(segments_in(connection) - carried)
                carried += seen.segments[-1]
                seen.requests.append(request)
                if not behaviour(len(seen.requests) - 1, connection):
                    return

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    try:
        yield listener.getsockname()[1], seen
    finally:
        stopping.set()
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(5)


def answering(text: str = "positive") -> Behaviour:
    """Answers each request as a cloud does."""

    def behave(_number: int, connection: socket.socket) -> bool:
        connection.sendall(answer(text))
        return True

    return behave


def answer(text: str) -> bytes:
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    step = {"node": "cloud1", "confidence": 0.9, "threshold": None, "kept": True}
    body = json.dumps({"choices": [choice], "recserve": {"tier": "cloud", "path": [step]}}).encode()
    head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\nContent-Type: application/json\r\n\r\n"
    return head.encode() + body


def read_message(connection: socket.socket) -> bytes:
    """One HTTP message with a Content-Length; empty if the other side closes or goes silent."""
    data = b""
    try:
        while b"\r\n\r\n" not in data:
            if not (part := connection.recv(65536)):
                return b""
            data += part
        head, _, body = data.partition(b"\r\n\r\n")
        fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
        while len(body) < int(fields[b"content-length"]):
            if not (part := connection.recv(65536)):
                return b""
            data, body = data + part, body + part
    except OSError:
        return b""
    return data


def segments_in(connection: socket.socket) -> int:
    """Segments with payload that came in: ``tcpi_data_segs_in`` of tcp(7)'s TCP_INFO."""
    info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 160)
    return int(struct.unpack_from("=I", info, 152)[0])
