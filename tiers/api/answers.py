"""What a tier answers, as JSON Schema: for the published document alone. A tier does not check itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tiers.protocol import ERROR_KINDS, INSTRUMENTATION_KEY

_TEXT = {"type": "string"}
_COUNT = {"type": "integer", "minimum": 0}
_TEXT_OR_NULL = {"type": ["string", "null"]}


def _object(properties: Mapping[str, Any], *optional: str) -> dict[str, Any]:
    required = [name for name in properties if name not in optional]
    return {"type": "object", "properties": dict(properties), "required": required}


def _list(items: Any) -> dict[str, Any]:
    return {"type": "array", "items": items}


_TOKEN = {
    "token": _TEXT,
    "logprob": {"type": "number", "maximum": 0},
    "bytes": {"type": ["array", "null"], "items": {"type": "integer", "minimum": 0, "maximum": 255}},
}
_LOGPROBS = {
    **_object({
        "content": _list(_object({**_TOKEN, "top_logprobs": _list(_object(_TOKEN))})),
        "refusal": {"type": "null"},
    }),
    "type": ["object", "null"],
}  # fmt: skip
_CHOICE = _object({
    "index": {"type": "integer", "enum": [0]},
    "message": _object({
        "role": {"type": "string", "enum": ["assistant"]}, "content": _TEXT, "refusal": {"type": "null"},
    }),
    "logprobs": _LOGPROBS,
    "finish_reason": {"type": "string", "enum": ["stop", "length"]},
})  # fmt: skip
_STEP = _object({
    "node": _TEXT,
    "confidence": {"type": ["number", "null"], "minimum": 0, "maximum": 1},
    "threshold": {"type": ["number", "null"]},
    "kept": {"type": "boolean"},
})  # fmt: skip
_WAY = _object({"tier": _TEXT, "path": _list(_STEP), "degraded": {"type": "boolean"}}, "degraded")

COMPLETION = _object({
    "id": _TEXT,
    "object": {"type": "string", "enum": ["chat.completion"]},
    "created": _COUNT,
    "model": _TEXT,
    "choices": {**_list(_CHOICE), "minItems": 1, "maxItems": 1},
    "usage": _object({"prompt_tokens": _COUNT, "completion_tokens": _COUNT, "total_tokens": _COUNT}),
    INSTRUMENTATION_KEY: _WAY,
})  # fmt: skip
EVENT = {
    **_object({"data": _TEXT}),
    "description": "One event: its data is JSON of a chat.completion.chunk; of the last one, [DONE]",
}
MODEL = _object({
    "id": _TEXT, "object": {"type": "string", "enum": ["model"]}, "created": _COUNT, "owned_by": _TEXT,
})  # fmt: skip
MODELS = _object({"object": {"type": "string", "enum": ["list"]}, "data": _list(MODEL)})
HEALTH = _object({"status": {"type": "string", "enum": ["ok"]}})
ERROR = _object({
    "error": _object({
        "message": _TEXT,
        "type": {"type": "string", "enum": list(ERROR_KINDS)},
        "param": _TEXT_OR_NULL,
        "code": _TEXT_OR_NULL,
    }),
})  # fmt: skip
