"""Constants of the wire between orchestrator, tiers and accounting: the one module both sides share."""

from __future__ import annotations

import json
from typing import Any, Literal, get_args

TIER_PORT = 8000
"""Every node listens here: on its WAN address for its children, on loopback for its own users."""

COMPLETIONS_PATH = "/v1/chat/completions"
ANY_MODEL = "tier"
"""The name under which every node is asked, by the orchestrator and by the tiers below: whichever model the
method lets answer."""
CONTROL_PREFIX = "/control"
"""Answered to the node's own loopback address alone."""

MAX_ANSWER_BYTES = 8 << 20
"""What is read of a tier's answer, by the tier below or by the orchestrator; and what a model's own may take
as JSON, so that a record of it is read, too."""
COUNT_KEY = "records"
"""The one key of the last line that a node tells of its records: how many lines came before it."""

REQUEST_ID_HEADER = "X-Request-Id"
REQUEST_ID_MAX_LENGTH = 12
DEADLINE_HEADER = "X-Deadline-Ms"
"""Time that remains for the request, in whole milliseconds, when the sender wrote it."""

ANSWERED = "answered"
"""How a request ended that got an answer; one that got none ended as an :data:`ErrorKind`."""
ErrorKind = Literal[
    "invalid_request", "not_ready", "conflict", "deadline", "unreachable", "breaker_open", "upstream",
    "inference", "malformed", "forbidden", "not_found", "internal",
]  # fmt: skip
"""The ``type`` in the JSON of an error, by which results keep apart how requests fail."""
ERROR_KINDS: tuple[ErrorKind, ...] = get_args(ErrorKind)

INSTRUMENTATION_KEY = "recserve"
"""Key of the object that an answer carries beside the OpenAI fields."""
DEGRADED_KEY = "degraded"
"""Key in that object, with ``true``, of an answer that stands in for that of a tier out of reach."""


def encode_json(value: Any) -> bytes:
    """Compact UTF-8 JSON without ``\\u`` escapes: those would be bytes that nobody sent."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()


DEADLINE_DIGITS = 7
"""Padding keeps a header's length, and so a link's bytes, from depending on how fast a host is."""
_LONGEST_MS = 10**DEADLINE_DIGITS - 1
"""Some hours; no system waits for what a header of thousands of digits says."""


def encode_deadline(remaining_s: float) -> str:
    """Value of :data:`DEADLINE_HEADER` for ``remaining_s`` seconds; never negative."""
    return f"{max(0, min(_LONGEST_MS, int(remaining_s * 1000))):0{DEADLINE_DIGITS}d}"


def decode_deadline(value: str) -> float:
    """Seconds that remain, from a value of :data:`DEADLINE_HEADER`; no more than can be passed on.

    Raises:
        ValueError: not a number of whole milliseconds.
    """
    if not (value.isascii() and value.isdigit()):
        raise ValueError(f"{DEADLINE_HEADER} must be whole milliseconds, not {value!r}")
    digits = value.lstrip("0") or "0"
    return (int(digits) if len(digits) <= DEADLINE_DIGITS else _LONGEST_MS) / 1000
