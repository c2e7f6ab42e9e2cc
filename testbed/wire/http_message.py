"""An HTTP/1.1 message, and how its head is read (RFC 9112)."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import lru_cache

from tiers.protocol import REQUEST_ID_HEADER

_ID_NAME = REQUEST_ID_HEADER.lower().encode()
_FIELD = re.compile(
    rb"\r\n(%s|content-length|transfer-encoding|content-encoding)[ \t]*:([^\r\n]*)" % re.escape(_ID_NAME),
    re.IGNORECASE,
)
"""The header lines that matter here, each with the line break before it."""


@dataclass(slots=True)
class Message:
    """One request or response, filled as its bytes arrive."""

    method: str = ""
    """Empty in a response."""
    target: str = ""
    status: int = 0
    """0 in a request."""
    request_id: str | None = None
    header_bytes: int = 0
    """Start line, header lines, trailers and chunk framing, without the request-id lines."""
    id_line_bytes: int = 0
    id_lines: tuple[tuple[int, int], ...] = ()
    """Where the request-id lines begin and end in the head, each with the line break before it."""
    body_bytes: int = 0
    body: bytearray = field(default_factory=bytearray)
    """Without chunk framing; empty if it was too long to keep."""
    whole: bool = False
    json: bool = True
    """False if a content coding hides the text."""
    length: bytes | None = None
    """Content-Length as it stands."""
    chunked: bool = False

    @property
    def kept(self) -> bool:
        return len(self.body) == self.body_bytes


@lru_cache(1024)
def _parse_start(line: bytes) -> tuple[str, str, int]:
    """Method, target and status of a start line; there are few of them."""
    first, second, *_ = line.split(b" ")
    return ("", "", int(second[:3])) if first.startswith(b"HTTP/") else (first.decode(), second.decode(), 0)


def parse_head(head: bytes, extra: int) -> Message:
    """The message that a head begins.

    Args:
        head: start line and header lines, each with its line break.
        extra: bytes of other line breaks around them: two behind, the others ahead.
    """
    method, target, status = _parse_start(head[: head.index(b"\r\n")])
    message = Message(method, target, status)
    for line in _FIELD.finditer(head):
        name, value = line[1].lower(), line[2].strip()
        if name == b"content-length":
            message.length = value
        elif name == _ID_NAME:
            message.request_id = value.decode("latin-1")
            message.id_line_bytes += line.end() - line.start()
            message.id_lines += ((line.start() + extra - 2, line.end() + extra - 2),)
        elif name == b"transfer-encoding":
            message.chunked = value.lower().endswith(b"chunked")
        else:
            message.json = value.lower() == b"identity"
    message.header_bytes = len(head) + extra - message.id_line_bytes
    return message
