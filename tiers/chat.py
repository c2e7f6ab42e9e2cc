"""The JSON of the OpenAI API's chat completions, as far as a tier reads and writes it."""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass
from typing import Any, Literal

from tiers.errors import RequestError, invalid
from tiers.protocol import DEGRADED_KEY, INSTRUMENTATION_KEY, encode_json


@dataclass(frozen=True, slots=True)
class Step:
    """One node on a request's way. A node that relayed has no confidence and did not keep."""

    node: str
    confidence: float | None
    threshold: float | None
    kept: bool


@dataclass(frozen=True, slots=True)
class Usage:
    """How many tokens the model read and produced."""

    prompt_tokens: int
    completion_tokens: int

    @property
    def as_json(self) -> dict[str, int]:
        """The object ``usage`` of an answer."""
        return {**asdict(self), "total_tokens": self.prompt_tokens + self.completion_tokens}


FinishReason = Literal["stop", "length"]
"""Why an answer ends: the model was done, or had produced as many tokens as it may."""


def read_prompt(body: bytes) -> str:
    """The last user message's text, exactly as it was sent.

    Raises:
        RequestError: 400; the body is no chat request, asks for what no tier gives, or has no such text.
    """
    try:
        # Not as json.loads takes bytes: it reads UTF-16 too, whose texts the account of bytes does not know.
        request = json.loads(body.decode().removeprefix("\ufeff"))
    except (ValueError, RecursionError) as error:
        raise invalid(f"the body is not JSON: {error}") from error
    if not isinstance(request, dict) or not isinstance(request.get("messages"), list):
        raise invalid("the body must be an object with messages, a list", "messages")
    _refuse_other_answers(request)
    for message in reversed(request["messages"]):
        if isinstance(message, dict) and message.get("role") == "user":
            return _text_of(message.get("content"))
    raise invalid("messages has none of role user", "messages")


def _refuse_other_answers(request: dict[str, Any]) -> None:
    """Refuse what asks for an answer of another shape than tiers give. All other fields are ignored."""
    kind, choice = request.get("response_format"), request.get("tool_choice")
    asked = {
        "stream": (request.get("stream"), "tiers answer whole"),
        "n": (request.get("n") not in (None, 1), "a tier gives one answer"),
        "logprobs": (request.get("logprobs"), "tiers give none"),
        "response_format": (kind not in (None, {"type": "text"}), "tiers answer in plain text"),
        "modalities": (request.get("modalities") not in (None, [], ["text"]), "tiers answer in plain text"),
        "tool_choice": (choice not in (None, "auto", "none"), "tiers call no tools"),
    }
    for field, (wanted, why) in asked.items():
        if wanted:
            raise invalid(f"{field}: {why}; leave it out", field)


def _text_of(content: object) -> str:
    if isinstance(content, list):
        content = "".join(map(_text_of_part, content))
    if not isinstance(content, str) or not content:
        raise invalid("the last user message needs content: text that is not empty", "messages")
    require_unicode(content, "messages")
    return content


def require_unicode(text: str, param: str | None = None) -> None:
    """Refuse a text that JSON can hold and no UTF-8: halves of surrogate pairs.

    Raises:
        RequestError: 400, which names the request's field ``param``.
    """
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise invalid(f"the prompt is not valid Unicode: {error.reason}", param) from error


def _text_of_part(part: object) -> str:
    if isinstance(part, dict) and part.get("type") == "text" and isinstance(text := part.get("text"), str):
        return text
    raise invalid(
        "the last user message has a part of content that is not text; send parts of type text alone",
        "messages",
    )


def write_answer(
    request_id: str,
    model: str,
    text: str,
    usage: Usage,
    finish: FinishReason,
    tier: str,
    step: Step,
    *,
    degraded: bool = False,
) -> bytes:
    """JSON of the answer that ``tier`` gives, with the first step of the path.

    ``degraded``: it was to go up, and a tier above could not be reached; other answers lack the mark, so that
    they have no byte more for it. The answer has all fields that the OpenAI API's description calls
    required, and ``usage``.
    """
    return encode_json(
        {
            "id": request_id,
            "object": "chat.completion",
            "created": int(time.time()),
            "model": model,
            "choices": [
                {
                    "index": 0,
                    "message": {"role": "assistant", "content": text, "refusal": None},
                    "logprobs": None,
                    "finish_reason": finish,
                }
            ],
            "usage": usage.as_json,
            INSTRUMENTATION_KEY: {
                "tier": tier,
                "path": [asdict(step)],
                **({DEGRADED_KEY: True} if degraded else {}),
            },
        }
    )


def prepend_step(body: bytes, step: Step) -> bytes:
    """A higher tier's answer with this node put at the front of its path; the rest stays as it was.

    Raises:
        RequestError: 502; the body is not the answer of a tier.
    """
    try:
        answer = json.loads(body)
        instrumentation = answer[INSTRUMENTATION_KEY]
        path = instrumentation["path"]
        instrumentation["path"] = [asdict(step), *path]
        return encode_json(answer)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        message = f"the tier above sent something else than an answer ({type(error).__name__}: {error})"
        raise RequestError(502, "upstream", message) from error


def with_id(body: bytes, user_id: str) -> bytes:
    """An answer with the id that its user sent, a character for each byte of it; the rest stays as it was."""
    try:
        text = user_id.encode("latin-1").decode()
    except UnicodeDecodeError:
        text = user_id
    return encode_json({**json.loads(body), "id": text})


def error_kind(body: bytes) -> str:
    """The ``type`` of an error's JSON; ``upstream`` where it has none."""
    try:
        kind = json.loads(body)["error"]["type"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return "upstream"
    return kind if isinstance(kind, str) else "upstream"
