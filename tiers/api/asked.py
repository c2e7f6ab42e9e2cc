"""Reads a chat request: what is asked, in which form it is to be answered, and what of it goes up."""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from tiers.api.fields import REQUEST, SAMPLING
from tiers.api.schema import Schema, check
from tiers.api.splice import spliced
from tiers.errors import RequestError, invalid
from tiers.protocol import ANY_MODEL

_THIS_NODES_ALONE = ("stream", "stream_options")
"""What a user and his node have between them: it goes no further up."""

_BOUNDS = ("max_completion_tokens", "max_tokens")
"""Both names of one bound; of two, the lesser holds."""


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a conversation, its parts of text put together."""

    role: str
    text: str


@dataclass(frozen=True, slots=True)
class Options:
    """What an answer is to be like, beyond what is asked.

    ``stop``: texts before the first of which it ends. ``max_tokens``: as many at most. ``top_logprobs``:
    the log-probabilities of its tokens are wanted, and of so many others beside each; ``None``: not.
    ``sampling``: temperature and the like, by the names of the OpenAI API, as they were sent.
    """

    stop: tuple[str, ...] = ()
    max_tokens: int | None = None
    top_logprobs: int | None = None
    sampling: Mapping[str, Any] = field(default_factory=dict)

    def ended(self, text: str) -> str:
        """The text up to its first stop."""
        return text[: self.end(text)]

    def end(self, text: str) -> int:
        """Where the text's first stop begins; its length if it has none."""
        return min((at for stop in self.stop if (at := text.find(stop)) >= 0), default=len(text))


PLAIN = Options()


@dataclass(frozen=True)
class Asked:
    """What a model is asked.

    ``messages`` are the whole conversation; ``text`` is the last user message, exactly as it was sent;
    ``prompt_bytes`` the UTF-8 length of all user messages, as the account of bytes has it.
    """

    messages: tuple[Message, ...]
    options: Options = PLAIN

    @classmethod
    def plainly(cls, text: str) -> Asked:
        """One user message, and no options."""
        return cls((Message("user", text),))

    @property
    def last(self) -> int:
        """Which of the messages is the last user's."""
        return max(at for at, message in enumerate(self.messages) if message.role == "user")

    @cached_property
    def text(self) -> str:
        return self.messages[self.last].text

    @property
    def prompt_bytes(self) -> int:
        return sum(len(message.text.encode()) for message in self.messages if message.role == "user")

    @property
    def is_plain(self) -> bool:
        """Whether the text is all that there is."""
        return len(self.messages) == 1 and self.options == PLAIN


@dataclass(frozen=True, slots=True)
class Stream:
    """A user wants his answer as a stream; ``usage``: with its tokens counted at the end."""

    usage: bool


@dataclass(frozen=True)
class ChatRequest:
    """A request as it came and as it was read, with all its ``fields``."""

    body: bytes
    fields: Mapping[str, Any]

    @cached_property
    def asked(self) -> Asked:
        """What a model is asked."""
        given = self.fields
        bounds = [given[name] for name in _BOUNDS if given.get(name) is not None]
        top, wanted = given.get("top_logprobs"), given.get("logprobs")
        if wanted is False:
            top = None
        elif wanted and top is None:
            top = 0
        stop = given.get("stop") or ()
        return Asked(
            tuple(Message(message["role"], _text(message.get("content"))) for message in given["messages"]),
            Options(
                stop=(stop,) if isinstance(stop, str) else tuple(stop),
                max_tokens=int(min(bounds)) if bounds else None,
                top_logprobs=None if top is None else int(top),
                sampling={name: given[name] for name in SAMPLING if given.get(name) is not None},
            ),
        )

    @property
    def stream(self) -> Stream | None:
        if not self.fields.get("stream"):
            return None
        return Stream(bool((self.fields.get("stream_options") or {}).get("include_usage")))

    def upward(self) -> bytes:
        """The body that goes to the tier above: as it came, byte for byte, but for what is this node's alone.

        So it has the bytes that it would have if no stream was wanted, and names no node's model. One of a
        tier below, or of the orchestrator, has nothing of the kind.
        """
        renamed = self.fields.get("model") not in (None, ANY_MODEL)
        if not renamed and not any(name in self.fields for name in _THIS_NODES_ALONE):
            return self.body
        put = {"model": json.dumps(ANY_MODEL)} if renamed else {}
        return spliced(self.body.decode(), _THIS_NODES_ALONE, put).encode()

    def require(self, narrowed: Mapping[str, Schema]) -> None:
        """Nothing, if this node's model can take the request.

        Raises:
            RequestError: 400; a field is not as :func:`~tiers.api.fields.narrowed` has it.
        """
        for name, schema in narrowed.items():
            if name in self.fields:
                check(self.fields[name], schema, name)


def read_request(body: bytes, models: Collection[str]) -> ChatRequest:
    """The chat request in ``body``, of which every field is known and as it may be.

    Args:
        models: the names that a user may ask for here.

    Raises:
        RequestError: 400, or 404 for a model of another name.
    """
    fields = read_json(body)
    check(fields, REQUEST, "")
    model = fields.get("model")
    if model is not None and model not in models:
        raise unknown_model(model, models)
    return ChatRequest(body, fields)


def unknown_model(asked: str, models: Collection[str]) -> RequestError:
    """An error 404: no such model here."""
    named, known = json.dumps(asked[:100]), ", ".join(map(json.dumps, models))
    message = f"model: there is no {named} here; this node answers as {known}"
    return RequestError(404, "not_found", message, "model", "model_not_found")


def read_json(body: bytes) -> Any:
    """The JSON of a body: UTF-8 alone, numbers that are numbers, and texts that UTF-8 can hold.

    Raises:
        RequestError: 400; it is none.
    """
    try:
        # Not as json.loads takes bytes: it reads UTF-16 too, whose texts the account of bytes does not know.
        text = body.decode().removeprefix("\ufeff")
        value = json.loads(text, parse_constant=_no_number, parse_float=_finite)
        if "\\u" in text:
            require_unicode(json.dumps(value, ensure_ascii=False), "body")  # halves of surrogate pairs
    except (ValueError, RecursionError) as error:
        raise invalid(f"the body is not JSON: {str(error)[:200]}", code="invalid_json") from error
    return value


def require_unicode(text: str, what: str) -> None:
    """Refuse a text that JSON can hold and no UTF-8: halves of surrogate pairs.

    Raises:
        RequestError: 400, which says of ``what``.
    """
    try:
        text.encode()
    except UnicodeEncodeError as error:
        message = f"the {what} is not valid Unicode: {error.reason}"
        raise invalid(message, code="invalid_value") from error


def _no_number(word: str) -> float:
    raise ValueError(f"{word} is no number of JSON")


def _finite(digits: str) -> float:
    if not math.isfinite(number := float(digits)):
        raise ValueError(f"{digits[:40]} is too large a number")
    return number


def _text(content: Any) -> str:
    if isinstance(content, list):
        return "".join(part["text"] for part in content)
    return content or ""
