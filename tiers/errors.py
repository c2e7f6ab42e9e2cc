"""The errors of a tier: those that it answers with, and those that keep it from starting."""

from __future__ import annotations

from typing import Any

from tiers.plain import told
from tiers.protocol import MAX_ANSWER_BYTES, ErrorKind, encode_json


class ConfigError(Exception):
    """The node's configuration, a policy or a plug-in is wrong; the message says what and where."""


class RequestError(Exception):
    """A request that ends without an answer, as HTTP ``status`` and a ``kind`` that results keep apart.

    ``param`` and ``code`` say to a user which field of his is wrong, and how.
    """

    def __init__(
        self,
        status: int,
        kind: ErrorKind,
        message: str,
        param: str | None = None,
        code: str | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.kind = kind
        self.message = message
        self.param = param
        self.code = code

    @property
    def body(self) -> bytes:
        """The JSON that travels (:func:`error_body`)."""
        return error_body(self.kind, self.message, self.param, self.code)


def error_body(kind: ErrorKind, message: str, param: str | None = None, code: str | None = None) -> bytes:
    """JSON of an error, as the OpenAI API writes it: ``{"error": {"type", "message", "param", "code"}}``.

    Args:
        param: the field of the request that is wrong; ``None`` where it is not one.
        code: what is wrong with it, in a word of that API's; ``None`` for what is no mistake of a user's:
            such an error's ``type`` says all.
    """
    message = message.encode(errors="replace").decode()  # it may quote what is no Unicode
    error: dict[str, Any] = {"type": kind, "message": message, "param": param, "code": code}
    return encode_json({"error": error})


def invalid(message: str, param: str | None = None, code: str | None = None) -> RequestError:
    """An error 400: the request is not as it must be; the message names the field."""
    return RequestError(400, "invalid_request", message, param, code)


def deadline_passed(where: str) -> RequestError:
    """An error 504: the time that the sender gave is over, and there is no answer at all."""
    return RequestError(504, "deadline", f"the deadline passed {where}")


_SAID_BY_MODELS = ((400, "invalid_request"), (500, "malformed"))


def inference_failed(error: BaseException) -> RequestError:
    """An error 500: a model, a confidence or a policy raised ``error``, which ends this request alone.

    What says that the request itself is not as it must be (:func:`invalid`), or that there is no answer
    (``malformed``), stays as it is, if it can be told: a plug-in may have put anything into it.
    """
    if (
        isinstance(error, RequestError)
        and (error.status, error.kind) in _SAID_BY_MODELS
        and _can_be_told(error)
    ):
        return error
    failed = RequestError(500, "inference", told(error))
    failed.__cause__ = error
    return failed


def _can_be_told(error: RequestError) -> bool:
    """Whether an error has JSON, of no more bytes than are read of it."""
    try:
        return len(error.body) <= MAX_ANSWER_BYTES
    except Exception:
        return False


def defect(node: str) -> RequestError:
    """An error 500: a mistake of ours; the node's log has its traceback, and its end stays with the run."""
    return RequestError(500, "internal", f"a defect of the tier; logs/{node}.log of the run says more")
