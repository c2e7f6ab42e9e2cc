"""Finds where in a JSON body the texts lie that :mod:`testbed.wire.texts` counts."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

from testbed.wire.texts import body_text, members
from tiers.protocol import INSTRUMENTATION_KEY

What = Literal["text", "instrumentation", "envelope"]
Run = tuple[What, int]
"""Bytes that follow one another in a body: what they are, and how many."""

_DECODER = json.JSONDecoder()
_SPACE = re.compile(r"[ \t\n\r]*")
_ESCAPE = re.compile(r"\\u[dD][89abAB]..\\u[dD][c-fC-F]..|\\u....|\\.", re.DOTALL)
"""One character of a JSON string that is escaped; a surrogate pair is one (RFC 8259, section 7)."""


@dataclass(frozen=True, slots=True)
class _Piece:
    """Characters ``start`` to ``end`` of a body: of their bytes, the first ``size_bytes`` are ``what``."""

    what: What
    start: int
    end: int
    size_bytes: int


def request_runs(body: bytes, text_bytes: int, *, cut: bool = False) -> list[Run]:
    """The runs of a request's body, of which ``text_bytes`` are the prompt."""
    return _runs(body, text_bytes, 0, lambda: _prompt_pieces(body_text(body, cut)), cut)


def answer_runs(body: bytes, text_bytes: int, instrumentation_bytes: int, *, cut: bool = False) -> list[Run]:
    """The runs of an answer's body, of which so many bytes are the answer's text and instrumentation."""
    return _runs(body, text_bytes, instrumentation_bytes, lambda: _answer_pieces(body_text(body, cut)), cut)


def _runs(
    body: bytes, text_bytes: int, instrumentation: int, find: Callable[[], Iterable[_Piece]], cut: bool
) -> list[Run]:
    """All runs, whose sums are as counted. In a body so odd that texts are not found where they were counted,
    they are taken to come first.
    """
    first: list[Run] = [("text", text_bytes), ("instrumentation", instrumentation)]
    first.append(("envelope", len(body) - text_bytes - instrumentation))
    if not text_bytes and not instrumentation:
        return first
    try:
        runs = list(_laid_out(body, body_text(body, cut), sorted(find(), key=lambda piece: piece.start)))
    except (ValueError, RecursionError):
        return first
    sums = {what: sum(size for kind, size in runs if kind == what) for what, _ in first}
    plausible = min(size for _, size in runs) >= 0 and all(sums[what] == size for what, size in first)
    return runs if plausible else first


def _laid_out(body: bytes, text: str, pieces: Iterable[_Piece]) -> Iterator[Run]:
    """The runs of a body from those pieces of its text that are not envelope."""
    done = characters = 0
    offset = len(body) - len(body.removeprefix(b"\xef\xbb\xbf"))  # a byte order mark
    for piece in pieces:
        start = offset + _size(text, characters, piece.start)
        end = start + _size(text, piece.start, piece.end)
        yield "envelope", start - done
        yield piece.what, piece.size_bytes
        yield "envelope", end - start - piece.size_bytes
        done, offset, characters = end, end, piece.end
    yield "envelope", len(body) - done


def _size(text: str, start: int, end: int) -> int:
    part = text[start:end]
    return len(part) if part.isascii() else len(part.encode("utf-8", "surrogatepass"))


def _prompt_pieces(text: str) -> Iterator[_Piece]:
    messages = [member for member in members(text) if member.key == "messages"][-1:]
    for member in messages:
        for message, at in _items(text, member.value, member.value_start):
            if isinstance(message, dict) and message.get("role", "user") == "user":
                yield from _content_pieces(text, _member(text, at, "content"))


def _answer_pieces(text: str) -> Iterator[_Piece]:
    for member in members(text):
        if member.key == INSTRUMENTATION_KEY:
            size_bytes = _size(text, member.start, member.end)
            yield _Piece("instrumentation", member.start, member.end, size_bytes)
        elif member.key == "choices":
            for choice, at in _items(text, member.value, member.value_start):
                message = _member(text, at, "message") if isinstance(choice, dict) else None
                if message is not None and isinstance(message[0], dict):
                    yield from _content_pieces(text, _member(text, message[1], "content"))


def _content_pieces(text: str, content: tuple[Any, int] | None) -> Iterator[_Piece]:
    """A text's characters, or those of the texts in a list of parts."""
    if content is None:
        return
    value, at = content
    if isinstance(value, str):
        yield from _string_pieces(text, at)
    for part, start in _items(text, value, at):
        if isinstance(part, dict):
            yield from _content_pieces(text, _member(text, start, "text"))


def _string_pieces(text: str, at: int) -> Iterator[_Piece]:
    """A JSON string's characters: what stands as it is in one piece, each escape in one of its own."""
    _, end = _DECODER.raw_decode(text, at)
    start, last = at + 1, end - 1
    for escape in _ESCAPE.finditer(text, start, last):
        if escape.start() > start:
            yield _Piece("text", start, escape.start(), _size(text, start, escape.start()))
        character = json.loads(f'"{escape.group()}"')
        yield _Piece("text", escape.start(), escape.end(), _size(character, 0, len(character)))
        start = escape.end()
    if last > start:
        yield _Piece("text", start, last, _size(text, start, last))


def _member(text: str, at: int, key: str) -> tuple[Any, int] | None:
    """The value of an object's member, and where it begins; of several with that name, the last one's."""
    found = [(member.value, member.value_start) for member in members(text, at) if member.key == key]
    return found[-1] if found else None


def _items(text: str, value: Any, at: int) -> Iterator[tuple[Any, int]]:
    """The items of the list that begins at ``at``, if ``value`` is one, and where each begins."""
    for _ in value if isinstance(value, list) else ():
        at = _after_space(text, at + 1)  # behind the bracket, or the comma
        item, end = _DECODER.raw_decode(text, at)
        yield item, at
        at = _after_space(text, end)


def _after_space(text: str, at: int) -> int:
    space = _SPACE.match(text, at)
    return space.end() if space else at
