"""The errors of a tier: those that it answers with, and those that keep it from starting."""

from __future__ import annotations

from typing import Any

from tiers.protocol import ErrorKind, encode_json


class ConfigError(Exception):
    """The node's configuration, a policy or a plug-in is wrong; the message says what and where."""


class RequestError(Exception):
    """A request that ends without an answer, as HTTP ``status`` and a ``kind`` that results keep apart."""

    def __init__(self, status: int, kind: ErrorKind, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.kind = kind
        self.message = message

    @property
    def body(self) -> bytes:
        """The JSON that travels: ``{"error": {"type", "message"}}``."""
        return error_body(self.kind, self.message)


def error_body(kind: ErrorKind, message: str) -> bytes:
    """JSON of an error, as the OpenAI API writes it."""
    error: dict[str, Any] = {"error": {"type": kind, "message": message}}
    return encode_json(error)


def invalid(message: str) -> RequestError:
    """An error 400: the request is not as it must be; the message names the field."""
    return RequestError(400, "invalid_request", message)


def deadline_passed(where: str) -> RequestError:
    """An error 504: the time that the sender gave is over, and there is no answer at all."""
    return RequestError(504, "deadline", f"the deadline passed {where}")
