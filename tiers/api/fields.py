"""The fields of a chat request: what each may be, as JSON Schema, and why others are refused.

``null`` is as good as leaving a field out. What a tier's model cannot take is narrowed further
(:func:`narrowed`). From here come both the checks of requests and the published document.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Literal

from tiers.api.schema import Schema

MAX_STOPS = 4
MAX_TOP_LOGPROBS = 20

Ability = Literal["max_tokens", "logprobs", "sampling", "conversation"]
"""What a model may be able to take beside a text: a bound on its tokens; a wish for their log-probabilities;
temperature and the like; messages before the last user's.
"""


def _either(kind: str, **bounds: Any) -> dict[str, Any]:
    return {"type": [kind, "null"], **bounds}


def _object(properties: Mapping[str, Schema], required: Collection[str] = ()) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": dict(properties),
        "required": list(required),
        "additionalProperties": False,
    }


def _one(value: str) -> dict[str, Any]:
    return {"type": "string", "enum": [value]}


_TEXT_PART = _object(
    {
        "type": {**_one("text"), "why": "tiers read text alone"},
        "text": {"type": "string", "minLength": 1},
    },
    ["type", "text"],
)
_TEXT: dict[str, Any] = {
    "oneOf": [
        {"type": "string", "minLength": 1},
        {"type": "array", "items": _TEXT_PART, "minItems": 1},
    ]
}
_SAID = {
    "oneOf": [
        {"type": "string"},
        {"type": "array", "items": _TEXT_PART, "minItems": 1},
        {"type": "null"},
    ]
}
_NOTHING = {"type": "null", "code": "unsupported_parameter", "why": "tiers call no tools and give no audio"}


def _message(role: str) -> dict[str, Any]:
    return _object({"role": _one(role), "content": _TEXT}, ["role", "content"])


_ASSISTANT = _object(
    {
        "role": _one("assistant"),
        "content": _SAID,
        "refusal": {"type": "null", "why": "tiers give none"},
        "audio": _NOTHING,
        "function_call": _NOTHING,
        "tool_calls": _NOTHING,
    },
    ["role"],
)
"""An answer from before, as a client puts it back: also with the fields of it that are ``null``."""
MESSAGE = {"oneOf": [_message("user"), _message("system"), _message("developer"), _ASSISTANT]}
_FROM_A_USER = {
    "type": "object",
    "properties": {"role": _one("user")},
    "required": ["role"],
    "additionalProperties": True,
    "description": "must have one of role user",
}
_TOKENS = _either("integer", minimum=1)

_ASKED: dict[str, dict[str, Any]] = {
    "model": _either("string"),
    "messages": {"type": "array", "items": MESSAGE, "minItems": 1, "contains": _FROM_A_USER},
    "stream": _either("boolean"),
    "stream_options": {
        **_object(
            {
                "include_usage": _either("boolean"),
                "include_obfuscation": _either("boolean", enum=[False, None], why="tiers add no noise"),
            }
        ),
        "type": ["object", "null"],
    },
    "stop": {
        "oneOf": [
            {"type": "string", "minLength": 1},
            {"type": "array", "items": {"type": "string", "minLength": 1}, "maxItems": MAX_STOPS},
            {"type": "null"},
        ]
    },
    "max_completion_tokens": _TOKENS,
    "max_tokens": _TOKENS,
    "logprobs": _either("boolean"),
    "top_logprobs": _either("integer", minimum=0, maximum=MAX_TOP_LOGPROBS),
    "temperature": _either("number", minimum=0, maximum=2),
    "top_p": _either("number", minimum=0, maximum=1),
    "presence_penalty": _either("number", minimum=-2, maximum=2),
    "frequency_penalty": _either("number", minimum=-2, maximum=2),
    "logit_bias": {
        "type": ["object", "null"],
        "additionalProperties": {"type": "number", "minimum": -100, "maximum": 100},
    },
    "seed": _either("integer", minimum=-(2**63), maximum=2**63 - 1),
}
"""What changes an answer, or its form."""

_WITHOUT_EFFECT: dict[str, dict[str, Any]] = {
    "n": _either("integer", enum=[1, None], why="a tier gives one answer"),
    "response_format": {**_object({"type": _one("text")}, ["type"]), "type": ["object", "null"],
                        "why": "tiers answer in plain text"},
    "modalities": {"type": ["array", "null"], "items": _one("text"), "why": "tiers answer in plain text"},
    "store": _either("boolean", enum=[False, None], why="tiers store nothing"),
    "service_tier": _either("string", enum=["auto", "default", None], why="there is one service"),
    "user": _either("string"),
    "safety_identifier": _either("string"),
    "prompt_cache_key": _either("string"),
    "metadata": {"type": ["object", "null"], "additionalProperties": {"type": "string"}, "maxProperties": 16},
}  # fmt: skip
"""What a request may say, and all answers are as it says."""

_NOT_DONE = {
    "tiers call no tools": ("tools", "tool_choice", "parallel_tool_calls", "functions", "function_call"),
    "tiers answer in plain text": ("audio", "prediction", "verbosity"),
    "tiers do not reason apart from their answer": ("reasoning_effort",),
    "tiers search no web": ("web_search_options",),
}

FIELDS: dict[str, dict[str, Any]] = {
    **_ASKED,
    **_WITHOUT_EFFECT,
    **{
        name: {"type": "null", "code": "unsupported_parameter", "why": why}
        for why, names in _NOT_DONE.items()
        for name in names
    },
}
REQUEST: Schema = _object(FIELDS, ["messages"])
"""A chat request, to a tier whose model can take everything."""

SAMPLING = ("temperature", "top_p", "presence_penalty", "frequency_penalty", "logit_bias", "seed")
_GREEDY = "this tier's model gives its likeliest answer"


def narrowed(able: Collection[Ability], task: str, longest_label: int) -> dict[str, Schema]:
    """What fields are narrowed to for a model that is ``able`` to take so much, and no more.

    Args:
        task: the scenario's kind of task. Where it is fixed, the last user message is what it is done on,
            whatever came before; in ``generation`` nothing of a conversation is passed over.
        longest_label: of a model that chooses among labels, the tokens of the longest one; 0 of any other.
    """
    narrow: dict[str, Schema] = {}
    if "max_tokens" not in able:
        bound = _either("integer", minimum=longest_label, why="this tier answers in whole labels")
        none = {"type": "null", "why": "this tier's answers cannot be cut", "code": "unsupported_parameter"}
        narrow |= dict.fromkeys(("max_completion_tokens", "max_tokens"), bound if longest_label else none)
    if "logprobs" not in able:
        why = "this tier's model has no log-probabilities of tokens"
        narrow["logprobs"] = _either("boolean", enum=[False, None], why=why, code="unsupported_parameter")
        narrow["top_logprobs"] = {"type": "null", "why": why, "code": "unsupported_parameter"}
    if "sampling" not in able:
        for name in ("temperature", "presence_penalty", "frequency_penalty"):
            narrow[name] = _either("number", enum=[0, None], why=_GREEDY, code="unsupported_value")
        narrow["logit_bias"] = {**FIELDS["logit_bias"], "maxProperties": 0, "why": _GREEDY}
    if task == "generation" and "conversation" not in able:
        alone = {**_message("user"), "why": "this tier's model reads no conversations"}
        why = "this tier's model reads one user message, and no conversation"
        narrow["messages"] = {**FIELDS["messages"], "items": alone, "maxItems": 1, "why": why}
    return narrow
