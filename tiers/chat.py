"""The JSON of the OpenAI API's answers to chats, as a tier writes it and passes it on."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from tiers.errors import RequestError
from tiers.protocol import DEGRADED_KEY, INSTRUMENTATION_KEY, ErrorKind, encode_json

_ERROR_KINDS = get_args(ErrorKind)


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
Logprobs = Sequence[Mapping[str, Any]]
"""An answer's tokens, each with its log-probability: ``logprobs.content`` of a choice."""


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
    logprobs: Logprobs | None = None,
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
                    "logprobs": None if logprobs is None else {"content": logprobs, "refusal": None},
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
    """The ``type`` of an error's JSON; ``upstream`` where it has none that is known."""
    try:
        kind = json.loads(body)["error"]["type"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return "upstream"
    return kind if kind in _ERROR_KINDS else "upstream"
