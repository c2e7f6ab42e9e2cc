"""Where in the bytes of a connection a request begins and ends."""

from __future__ import annotations

import re

from waitress.parser import HTTPRequestParser, ParsingError
from waitress.receiver import ChunkedReceiver
from waitress.utilities import BadRequest, Error, RequestEntityTooLarge

from tiers.protocol import DEADLINE_HEADER, decode_deadline

MAX_CONTROL_LINE_BYTES = 1 << 10
"""The size of a chunk, with its extensions."""
_DEADLINE = DEADLINE_HEADER.upper().replace("-", "_")
_CODINGS = re.compile(rb"(?im)^transfer-encoding:(.*)$")


class Parser(HTTPRequestParser):
    """Waitress's, stricter where two readers could see two different requests in the same bytes."""

    def parse_header(self, header_plus: bytes) -> None:
        try:
            super().parse_header(header_plus)
        except ValueError as error:  # Python refuses to read a number of thousands of digits
            raise ParsingError("Content-Length is invalid") from error
        if self.chunked and "CONTENT_LENGTH" in self.headers:
            raise ParsingError("Content-Length and Transfer-Encoding exclude each other")
        if "TRANSFER_ENCODING" in self.headers:  # Waitress takes it out, but in HTTP/1.1 alone
            raise ParsingError("Transfer-Encoding needs HTTP/1.1")
        if self.chunked and b",".join(_CODINGS.findall(header_plus)).lower().count(b"chunked") > 1:
            raise ParsingError("Transfer-Encoding: chunked once is enough")

    def received(self, data: bytes) -> int:
        consumed = int(super().received(data) or 0)
        if not self.completed and isinstance(chunks := self.body_rcv, ChunkedReceiver):
            if self.body_bytes_received + chunks.chunk_remainder > self.adj.max_request_body_size:
                self._refuse(RequestEntityTooLarge(f"exceeds max_body of {self.adj.max_request_body_size}"))
            elif len(chunks.control_line) > MAX_CONTROL_LINE_BYTES:
                self._refuse(BadRequest("Chunk size line is too long"))
            elif len(chunks.trailer) > self.adj.max_request_header_size:
                self._refuse(BadRequest("Trailer is too long"))
        return consumed

    def _refuse(self, error: Error) -> None:
        self.error, self.completed = error, True

    @property
    def body_bytes(self) -> int:
        """What it holds of its body."""
        return 0 if self.body_rcv is None else len(self.body_rcv)

    @property
    def deadline_s(self) -> float:
        """The time that its head gives it; 0 where it gives none."""
        try:
            return decode_deadline(self.headers.get(_DEADLINE, "0"))
        except ValueError:
            return 0.0
