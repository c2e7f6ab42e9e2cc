"""The JSON of the OpenAI API's chat completions, as far as a tier reads and writes it."""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass

from tiers.errors import RequestError, invalid
from tiers.protocol import INSTRUMENTATION_KEY, encode_json


@dataclass(frozen=True, slots=True)
class Step:
    """One node on a request's way. A node that relayed has no confidence and did not keep."""

    node: str
    confidence: float | None
    threshold: float | None
    kept: bool


def read_prompt(body: bytes) -> str:
    """The last user message's text, exactly as it was sent.

    Raises:
        RequestError: 400; the body is no chat request, or has no such text.
    """
    try:
        request = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise invalid(f"the body is not JSON: {error}") from error
    if not isinstance(request, dict) or not isinstance(request.get("messages"), list):
        raise invalid("the body must be an object with messages, a list")
    if request.get("stream"):
        raise invalid("stream: tiers answer whole; leave it out")
    for message in reversed(request["messages"]):
        if isinstance(message, dict) and message.get("role") == "user":
            return _text_of(message.get("content"))
    raise invalid("messages has none of role user")


def _text_of(content: object) -> str:
    if isinstance(content, list):
        texts = [part for part in content if isinstance(part, dict) and part.get("type") == "text"]
        content = "".join(str(part.get("text", "")) for part in texts)
    if not isinstance(content, str) or not content:
        raise invalid("the last user message needs content: text that is not empty")
    require_unicode(content)
    return content


def require_unicode(text: str) -> None:
    """Refuse a text that JSON can hold and no UTF-8: halves of surrogate pairs.

    Raises:
        RequestError: 400.
    """
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise invalid(f"the prompt is not valid Unicode: {error.reason}") from error


def write_answer(request_id: str, model: str, text: str, tier: str, step: Step) -> bytes:
    """JSON of the answer that ``tier`` gives, with the first step of the path."""
    return encode_json(
        {
            "id": request_id,
            "object": "chat.completion",
            "created": int(time.time()),
            "model": model,
            "choices": [
                {
                    "index": 0,
                    "message": {"role": "assistant", "content": text},
                    "finish_reason": "stop",
                }
            ],
            INSTRUMENTATION_KEY: {"tier": tier, "path": [asdict(step)]},
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


def error_kind(body: bytes) -> str:
    """The ``type`` of an error's JSON; ``upstream`` where it has none."""
    try:
        kind = json.loads(body)["error"]["type"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return "upstream"
    return kind if isinstance(kind, str) else "upstream"
