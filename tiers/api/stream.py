"""Writes an answer as the OpenAI API's stream of server-sent events (HTML standard, section 9.2).

A tier decides when its answer is whole, so the stream is there all at once: it is what clients can read, and
no answer as it grows.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from tiers.api.asked import Stream
from tiers.errors import RequestError
from tiers.protocol import INSTRUMENTATION_KEY, encode_json

CONTENT_TYPE = "text/event-stream; charset=utf-8"
DONE = b"data: [DONE]\n\n"


def as_stream(answer: bytes, wanted: Stream) -> bytes:
    """The events of a whole answer: its role, its text, its end, its usage if that is ``wanted``, ``[DONE]``.

    The event of its end has the instrumentation.

    Raises:
        RequestError: 502; a tier above gave an answer that lacks something.
    """
    try:
        chunks = [encode_json(chunk) for chunk in _chunks(json.loads(answer), wanted)]
    except (ValueError, KeyError, TypeError) as error:
        message = f"the tier above sent an answer that cannot be streamed ({type(error).__name__}: {error})"
        raise RequestError(502, "upstream", message) from error
    return b"".join(b"data: %s\n\n" % chunk for chunk in chunks) + DONE


def _chunks(answer: dict[str, Any], wanted: Stream) -> Iterator[dict[str, Any]]:
    head = {key: answer[key] for key in ("id", "created", "model")}
    head["object"] = "chat.completion.chunk"
    usage = {"usage": None} if wanted.usage else {}
    (choice,) = answer["choices"]
    text = choice["message"]["content"]

    def chunk(delta: dict[str, Any], logprobs: Any = None, finish: str | None = None) -> dict[str, Any]:
        entry = {"index": 0, "delta": delta, "logprobs": logprobs, "finish_reason": finish}
        return {**head, "choices": [entry], **usage}

    yield chunk({"role": "assistant", "content": "", "refusal": None})
    yield chunk({"content": text}, choice["logprobs"])
    end = chunk({}, finish=choice["finish_reason"])
    yield {**end, INSTRUMENTATION_KEY: answer[INSTRUMENTATION_KEY]}
    if wanted.usage:
        yield {**head, "choices": [], "usage": answer["usage"]}
