"""Counts the bytes of a JSON body that are the user's text, the answer's text, or instrumentation.

The bodies are those of the OpenAI chat-completions API. Texts count as UTF-8 after decoding, so that the
figure is the same whichever serialiser escaped them; spans count as they stand, white space included.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

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
    value = json.loads(body_text(body, cut))
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
    text = body_text(body, cut)
    simple = "\\u" not in text and text.count(_KEY) <= 1 and text.count(_CHOICES) <= 1
    answer, instrumentation = _answer_at_once(text) if simple else _answer_by_member(text)
    return answer, min(instrumentation, len(body) - answer)


def _answer_at_once(text: str) -> tuple[int, int]:
    """The fast way, for bodies in which neither key stands twice or is escaped, as in nearly all."""
    opening = _OPENING.match(text)
    if opening is None:
        raise ValueError("the body is no JSON object")
    value, _ = _DECODER.raw_decode(text, text.index("{"))
    instrumentation = 0
    if INSTRUMENTATION_KEY in value:
        start = text.index(_KEY)
        name = _NAME.match(text, start)
        if name is None:
            raise ValueError(f"a member's name is missing at character {start}")
        instrumentation = _utf8_bytes(text[start : _DECODER.raw_decode(text, name.end())[1]])
    return _choices_bytes(value.get("choices")), instrumentation


def _answer_by_member(text: str) -> tuple[int, int]:
    answer = instrumentation = 0
    for member in members(text):
        if member.key == INSTRUMENTATION_KEY:
            instrumentation += _utf8_bytes(text[member.start : member.end])
        elif member.key == "choices":
            answer += _choices_bytes(member.value)
    return answer, instrumentation


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


class Member(NamedTuple):
    """A member of a JSON object, from its name's quote at ``start`` to ``end``."""

    key: str
    value: Any
    start: int
    value_start: int
    end: int


def members(text: str, at: int = 0) -> Iterator[Member]:
    """The members of the JSON object that begins at ``at``.

    Raises:
        ValueError: there is none.
    """
    opening = _OPENING.match(text, at)
    if opening is None:
        raise ValueError("the body is no JSON object")
    at = opening.end()
    more = text[at : at + 1] != "}"
    while more:
        name = _NAME.match(text, at)
        if name is None:
            raise ValueError(f"a member's name is missing at character {at}")
        quoted = name.group(1)
        value, at = _DECODER.raw_decode(text, name.end())
        key = json.loads(quoted) if "\\" in quoted else quoted[1:-1]
        yield Member(key, value, name.start(), name.end(), at)
        following = _FOLLOWING.match(text, at)
        if following is None:
            raise ValueError(f"a comma is missing at character {at}")
        at, more = following.end(), following.group(1) == ","


def body_text(body: bytes, cut: bool) -> str:
    """A body as text; with ``cut``, its beginning is at hand, and is closed to be JSON."""
    text = body.decode("utf-8", "ignore") if cut else body.decode()
    text = text.removeprefix("\ufeff")  # a byte order mark, which readers may ignore (RFC 8259, section 8.1)
    return _completed(text) if cut else text


_TOKENS = re.compile(r'"(?:[^"\\]|\\.)*("?)|[{}\[\],:]|[^{}\[\],:"\s]+', re.DOTALL)
_PARTIAL_ESCAPE = re.compile(r"(?<!\\)(?:\\\\)*(\\(?:u[0-9a-fA-F]{0,3})?)\Z")


def _completed(text: str) -> str:
    """The beginning of a JSON text, closed where it was cut off: its strings keep all that had come."""
    closers: list[str] = []
    kept = 0
    after = ""
    for token in _TOKENS.finditer(text):
        word = token.group()
        if word[0] == '"' and not token.group(1):
            return _close_string(text, token.start(), after, closers)
        if word in "{[":
            closers.append("}" if word == "{" else "]")
        elif word in "}]":
            if not closers:
                raise ValueError("the body is no JSON object")
            closers.pop()
        elif word not in ",:" and word[0] != '"' and token.end() == len(text):
            break  # a number or a literal that may not be whole
        is_name = word[0] == '"' and closers[-1:] == ["}"] and after in "{,"
        if not is_name and word not in ",:":
            kept = token.end()
        after = word[0]
    return text[:kept] + "".join(reversed(closers))


def _close_string(text: str, start: int, after: str, closers: list[str]) -> str:
    end = "".join(reversed(closers))
    if closers[-1:] == ["}"] and after != ":":  # a name: nothing of its value came
        return text[:start].rstrip().removesuffix(",") + end
    partial = _PARTIAL_ESCAPE.search(text, start)
    return text[: partial.start(1) if partial else len(text)] + '"' + end
