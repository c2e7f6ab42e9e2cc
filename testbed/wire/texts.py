"""Counts the bytes of a JSON body that are the user's text, the answer's text, or instrumentation.

The bodies are those of the OpenAI chat-completions API. Texts count as UTF-8 after decoding, so that the
figure is the same whichever serialiser escaped them; spans count as they stand, white space included. Of a
body that was cut off, all that came of its texts counts.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from pydantic_core import from_json

from tiers.protocol import INSTRUMENTATION_KEY

_DECODER = json.JSONDecoder()
_KEY, _CHOICES = f'"{INSTRUMENTATION_KEY}"', '"choices"'
_OPENING = re.compile(r"[ \t\n\r]*\{[ \t\n\r]*")
_NAME = re.compile(r'("(?:[^"\\]|\\.)*")[ \t\n\r]*:[ \t\n\r]*')
_FOLLOWING = re.compile(r"[ \t\n\r]*([,}])[ \t\n\r]*")


def prompt_bytes(body: bytes, *, cut: bool = False) -> int:
    """UTF-8 bytes of the user's text in a request: the contents of the messages whose role is not another's.

    Raises:
        ValueError: the body is no JSON object. With ``cut``, only the beginning of the body is at hand.
    """
    value = _beginning(body)[1] if cut else json.loads(body.decode())
    if not isinstance(value, dict):
        raise ValueError("the body is no JSON object")
    messages = value.get("messages")
    total = 0
    for message in messages if isinstance(messages, list) else ():
        if isinstance(message, dict) and message.get("role", "user") == "user":
            total += _content_bytes(message.get("content"))
    return total


def answer_bytes(body: bytes, *, cut: bool = False) -> tuple[int, int]:
    """``(answer, instrumentation)`` of an answer.

    The first are the choices' texts in UTF-8, the second the raw bytes of the instrumentation object with its
    key. Raises as :func:`prompt_bytes`.
    """
    text, begun = _beginning(body) if cut else (body.decode(), None)
    if not cut and "\\u" not in text and text.count(_KEY) <= 1 and text.count(_CHOICES) <= 1:
        return _answer_at_once(text)
    answer = instrumentation = 0
    for key, value, member in _members(text, begun):
        if key == INSTRUMENTATION_KEY:
            instrumentation += _utf8_bytes(member)
        elif key == "choices":
            answer += _choices_bytes(value)
    return answer, instrumentation


def _answer_at_once(text: str) -> tuple[int, int]:
    """The fast way, for bodies in which neither key stands twice or is escaped, as in nearly all."""
    if _OPENING.match(text) is None:
        raise ValueError("the body is no JSON object")
    value, _ = _DECODER.raw_decode(text, text.index("{"))
    instrumentation = 0
    if INSTRUMENTATION_KEY in value:
        name = _NAME.match(text, text.index(_KEY))
        assert name is not None  # without an escape the key can only be written so
        instrumentation = _utf8_bytes(text[name.start() : _DECODER.raw_decode(text, name.end())[1]])
    return _choices_bytes(value.get("choices")), instrumentation


def _choices_bytes(choices: Any) -> int:
    total = 0
    for choice in choices if isinstance(choices, list) else ():
        message = choice.get("message") if isinstance(choice, dict) else None
        total += _content_bytes(message.get("content")) if isinstance(message, dict) else 0
    return total


def _utf8_bytes(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


def _content_bytes(content: Any) -> int:
    """A text, or a list of parts of which some are texts."""
    if isinstance(content, str):
        return _utf8_bytes(content)
    if isinstance(content, list):
        return sum(_content_bytes(part.get("text")) for part in content if isinstance(part, dict))
    return 0


def _beginning(body: bytes) -> tuple[str, Any]:
    """The text of a body that was cut off, and what it holds: of its last string all that came."""
    text = body.decode("utf-8", "ignore")
    return text, from_json(text, allow_partial="trailing-strings")


def _members(text: str, begun: Any) -> Iterator[tuple[str, Any, str]]:
    """The members of the JSON object that is ``text``: key, value, and their source from the quote on.

    ``begun`` is ``None``, or what a text that was cut off holds: then the last member is what came of it.
    """
    opening = _OPENING.match(text)
    if opening is None:
        raise ValueError("the body is no JSON object")
    at = opening.end()
    more = text[at : at + 1] != "}"
    while more:
        name = _NAME.match(text, at)
        if name is None:
            if begun is not None:
                return
            raise ValueError(f"a member's name is missing at character {at}")
        key = json.loads(name[1]) if "\\" in name[1] else name[1][1:-1]
        try:
            value, at = _DECODER.raw_decode(text, name.end())
        except ValueError:
            if begun is None:
                raise
            value, at = begun.get(key), len(text)
        yield key, value, text[name.start() : at]
        following = _FOLLOWING.match(text, at)
        if following is None:
            if begun is not None:
                return
            raise ValueError(f"a comma is missing at character {at}")
        at, more = following.end(), following.group(1) == ","
