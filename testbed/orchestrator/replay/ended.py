"""Reads what a reply says: an answer, or which error. What is neither is ``malformed``, and never an answer.

Everything that a reply holds is another program's, so each field is looked at before it enters a table.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from tiers.protocol import ANSWERED, DEGRADED_KEY, ERROR_KINDS, INSTRUMENTATION_KEY, ErrorKind

MALFORMED: ErrorKind = "malformed"


class Ended(NamedTuple):
    """What a reply says: outcome, answer, the answer's tier, whether it is degraded, and its path."""

    outcome: str
    answer: str | None = None
    tier: str | None = None
    degraded: bool = False
    path: Sequence[Mapping[str, Any]] = ()


def verdict(status: int, body: bytes) -> Ended:
    """How a request ended that got this reply."""
    try:
        reply = json.loads(body)
        if status != 200:
            return failed(status, reply["error"]["type"])
        return answered(reply["choices"][0]["message"]["content"], reply[INSTRUMENTATION_KEY])
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError):
        return _unread(status)


def answered(answer: object, told: Mapping[str, Any]) -> Ended:
    """An answer with what its tiers ``told`` of it; ``malformed`` if it, or its tier's name, is no text."""
    tier, path = told.get("tier"), told.get("path") or ()
    if not (_is_text(answer) and _is_text(tier) and isinstance(path, list | tuple)):
        return Ended(MALFORMED)
    return Ended(ANSWERED, str(answer), str(tier), told.get(DEGRADED_KEY) is True, path)


def failed(status: int, kind: object) -> Ended:
    """An error of that kind; one that no tier of ours has is known by the status alone."""
    return Ended(kind) if isinstance(kind, str) and kind in ERROR_KINDS else _unread(status)


def _unread(status: int) -> Ended:
    return Ended(MALFORMED if status == 200 else f"http_{status}")


def _is_text(value: object) -> bool:
    """Whether it can be written down: JSON has texts that UTF-8 has not, halves of surrogate pairs."""
    if not isinstance(value, str):
        return False
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True
