"""What a tier answers instead of an answer, and what stops it from starting."""

from __future__ import annotations

from typing import Any

from tiers.protocol import encode_json


class ConfigError(Exception):
    """The node's configuration, a policy or a plug-in is wrong; the message says what and where."""


class RequestError(Exception):
    """A request that ends without an answer, as HTTP ``status`` and a ``kind`` that results keep apart.

    Kinds made here: ``invalid_request``, ``not_ready``, ``conflict``, ``deadline``, ``unreachable``,
    ``upstream``, ``inference``, ``forbidden``, ``not_found``, ``internal``.
    """

    def __init__(self, status: int, kind: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.kind = kind
        self.message = message

    @property
    def body(self) -> bytes:
        """The JSON that travels: ``{"error": {"type", "message"}}``."""
        return error_body(self.kind, self.message)


def error_body(kind: str, message: str) -> bytes:
    """JSON of an error, as the OpenAI API writes it."""
    error: dict[str, Any] = {"error": {"type": kind, "message": message}}
    return encode_json(error)


def invalid(message: str) -> RequestError:
    """A 400 that names the field."""
    return RequestError(400, "invalid_request", message)


def deadline_passed(where: str) -> RequestError:
    """A 504: the time that the sender gave is over and there is no answer at all."""
    return RequestError(504, "deadline", f"the deadline passed {where}")
