"""Splits one direction of a connection, its bytes in order, into HTTP/1.1 messages (RFC 9112).

Every byte goes to exactly one place: a message's head, its chunk framing, its body, or ``foreign`` (what is
no HTTP, or lies between a hole in the stream and the next message's start line).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from enum import Enum, auto

from testbed.wire.http_message import Message, parse_head
from testbed.wire.tcp_stream import START_LINE

LARGEST_HEAD_BYTES = 64 << 10
LARGEST_BODY_BYTES = 64 << 20
"""A longer body is counted, not kept, so that memory is bounded."""

_LONGEST_START_LINE = 256
_MOST_DIGITS = 18
"""A longer Content-Length is no length of anything."""
_PLAUSIBLE = re.compile(rb"[A-Z]{1,7}(?:[ /]|\Z)")
_CHUNK_SIZE = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;|\Z)")
"""RFC 9112, section 7.1."""


class State(Enum):
    """What the next bytes of a stream belong to."""

    HEAD = auto()
    """Start line and header lines of the next message."""
    BODY = auto()
    """The rest of a body whose length is known."""
    BODY_UNTIL_CLOSE = auto()
    """A body that the end of the connection ends."""
    CHUNK_SIZE = auto()
    CHUNK = auto()
    """The rest of a chunk, and the line break after it."""
    TRAILER = auto()
    """The lines after the last chunk, up to an empty line."""
    SEARCH = auto()
    """Unknown: bytes are missing or make no sense. The next start line is looked for."""

    __hash__ = object.__hash__  # by identity: Enum's own is slow, and states are looked up often


class HttpParser:
    """Splits a byte stream into messages.

    ``on_head(message)`` is called when a head is complete and returns whether a body may follow it (none
    follows the answer to HEAD); ``on_end(message)`` when the message is, or is cut; ``on_foreign(count)`` for
    bytes of no message.

    A stream begins in HEAD and goes from state to state::

        HEAD ─┬─ no body ────────────────────────────────┬─▶ HEAD
              ├─ Content-Length ─▶ BODY ─────────────────┤
              ├─ chunked ─▶ CHUNK_SIZE ─ 0 ─▶ TRAILER ───┘
              │                │   ▲
              │                ▼   │
              │                CHUNK
              └─ otherwise, in an answer ─▶ BODY_UNTIL_CLOSE

        any state ── bytes are missing, or make no sense ──▶ SEARCH ── start line ──▶ HEAD
    """

    def __init__(
        self,
        on_head: Callable[[Message], bool],
        on_end: Callable[[Message], None],
        on_foreign: Callable[[int], None],
    ) -> None:
        self._on_head, self._on_end, self._on_foreign = on_head, on_end, on_foreign
        self._buffer = bytearray()
        self._searched = 0
        self._message: Message | None = None
        self._left = 0  # of the body or the chunk
        self._state = State.HEAD
        self._steps: dict[State, Callable[[], bool]] = {
            State.HEAD: self._head,
            State.BODY: self._body,
            State.BODY_UNTIL_CLOSE: self._body_until_close,
            State.CHUNK_SIZE: self._chunk_size,
            State.CHUNK: self._chunk,
            State.TRAILER: self._trailer,
            State.SEARCH: self._search,
        }
        """By state: take what can be taken from the buffer; ``False`` if more bytes are needed."""

    def feed(self, data: bytes) -> None:
        if not self._buffer:
            if self._state is State.HEAD:
                data = self._begin_at_once(data)
            if self._state is State.BODY and len(data) <= self._left:
                self._add(data)
                if not self._left:
                    self._end()
                return
        self._buffer += data
        while self._buffer and self._steps[self._state]():
            pass

    def _begin_at_once(self, data: bytes) -> bytes:
        """Take a head that is whole in its segment, as nearly all are; return what follows it."""
        end = data.find(b"\r\n\r\n")
        if end < 0 or not START_LINE.match(data):
            return data
        self._begin(parse_head(data[: end + 2], 2))
        return data[end + 4 :]

    def lost(self) -> None:
        """Bytes are missing before the next ones: what was begun is cut."""
        self._cut()
        self._state = State.SEARCH

    def close(self) -> None:
        """No more bytes. Only a body that lasts until the connection closes is whole by that."""
        if self._state is State.BODY_UNTIL_CLOSE and self._message is not None:
            self._end()
        self._cut()

    def _cut(self) -> None:
        self._break_off()
        self._foreign(len(self._buffer))
        self._state = State.HEAD

    def _break_off(self) -> None:
        if self._message is not None:
            message, self._message = self._message, None
            self._on_end(message)

    def _stray(self) -> None:
        """The framing makes no sense (RFC 9112, section 6.3): where the message ends cannot be known."""
        self._break_off()
        self._state = State.SEARCH

    def _foreign(self, count: int) -> None:
        if count:
            del self._buffer[:count]
            self._on_foreign(count)
        self._searched = 0

    def _search(self) -> bool:
        """Look for the next start line; what lies before it is foreign."""
        version = self._buffer.find(b"HTTP/1.")  # thirty times as fast as the expression on what is no HTTP
        start_line = (
            START_LINE.search(self._buffer, max(0, version - _LONGEST_START_LINE)) if version >= 0 else None
        )
        if start_line:
            self._foreign(start_line.start())
            self._state = State.HEAD
            return True
        self._foreign(max(0, len(self._buffer) - _LONGEST_START_LINE))
        return False

    def _head(self) -> bool:
        buffer = self._buffer
        skipped = 0
        while buffer.startswith(b"\r\n", skipped):  # RFC 9112, section 2.2: empty lines before a request
            skipped += 2
        end = buffer.find(b"\r\n\r\n", max(skipped, self._searched))
        if end < 0:
            self._searched = max(0, len(buffer) - 3)
            rest = bytes(buffer[skipped : skipped + 8])
            too_long = len(buffer) > LARGEST_HEAD_BYTES
            if too_long:
                self._foreign(skipped + 1)  # or the search would find the same start line for ever
            if too_long or (rest and rest != b"\r" and not _PLAUSIBLE.match(rest)):
                self._state = State.SEARCH
                return True
            return False
        if not START_LINE.match(buffer, skipped):
            self._state = State.SEARCH
            return True
        head = bytes(buffer[skipped : end + 2])
        del buffer[: end + 4]
        self._searched = 0
        self._begin(parse_head(head, skipped + 2))
        return True

    def _begin(self, message: Message) -> None:
        self._message = message
        body_may_follow = self._on_head(message)
        status, length = message.status, message.length
        if not body_may_follow or 100 <= status < 200 or status in (204, 304):
            self._end()
        elif message.chunked:
            self._state = State.CHUNK_SIZE
        elif length is not None and not (length.isdigit() and len(length) <= _MOST_DIGITS):
            self._stray()
        elif length is not None:
            self._left = int(length)
            self._state = State.BODY
            if not self._left:
                self._end()
        elif status:
            self._state = State.BODY_UNTIL_CLOSE
        else:
            self._end()

    def _end(self) -> None:
        message, self._message = self._message, None
        self._state = State.HEAD
        if message is not None:
            message.whole = True
            self._on_end(message)

    def _take(self, count: int) -> None:
        """Move bytes from the buffer to the body."""
        self._add(self._buffer if count == len(self._buffer) else self._buffer[:count])
        del self._buffer[:count]

    def _add(self, data: bytes | bytearray) -> None:
        """Bytes of the body."""
        message = self._message
        if message is None:
            return
        if message.body_bytes + len(data) > LARGEST_BODY_BYTES:
            message.body.clear()
        elif message.kept:
            message.body += data
        message.body_bytes += len(data)
        self._left -= len(data)

    def _body(self) -> bool:
        self._take(min(self._left, len(self._buffer)))
        if self._left:
            return False
        self._end()
        return True

    def _body_until_close(self) -> bool:
        self._take(len(self._buffer))
        return False

    def _line(self) -> bytes | None:
        """Take one line of framing; ``None`` while its end is missing."""
        end = self._buffer.find(b"\r\n", 0, LARGEST_HEAD_BYTES)
        if end < 0 or self._message is None:
            if len(self._buffer) >= LARGEST_HEAD_BYTES:
                self._stray()
            return None
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 2]
        self._message.header_bytes += end + 2
        return line

    def _chunk_size(self) -> bool:
        line = self._line()
        if line is None:
            return False
        size = _CHUNK_SIZE.match(line)
        if size is None:
            self._stray()
            return True
        self._left = int(size[1], 16)
        self._state = State.CHUNK if self._left else State.TRAILER
        return True

    def _chunk(self) -> bool:
        self._take(min(self._left, len(self._buffer)))
        if self._left or len(self._buffer) < 2:
            return False
        if self._buffer.startswith(b"\r\n"):
            self._line()
            self._state = State.CHUNK_SIZE
        else:
            self._stray()
        return True

    def _trailer(self) -> bool:
        line = self._line()
        if line == b"":
            self._end()
        return line is not None
