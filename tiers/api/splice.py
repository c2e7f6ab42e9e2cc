"""Takes members out of a JSON object's text, or gives them other values; all else stays, byte for byte."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Mapping
from typing import NamedTuple

_DECODER = json.JSONDecoder()
_SPACE = re.compile(r"[ \t\n\r]*")


class _Member(NamedTuple):
    name: str
    start: int
    value_start: int
    end: int


def spliced(text: str, dropped: Collection[str], put: Mapping[str, str]) -> str:
    """The text of an object as its writer would have written it without some members.

    Args:
        text: JSON of an object, which has been read before.
        dropped: the names of members that go, each with what separates it from the one before.
        put: JSON of the values of other members, by their names.
    """
    members = list(_members(text))
    if not members:
        return text
    pieces = [text[: members[0].start]]
    for before, member in zip([None, *members], members, strict=False):
        if member.name in dropped:
            continue
        if before is not None and len(pieces) > 1:
            pieces.append(text[before.end : member.start])
        value = put.get(member.name, text[member.value_start : member.end])
        pieces.append(text[member.start : member.value_start] + value)
    return "".join([*pieces, text[members[-1].end :]])


def _members(text: str) -> Iterator[_Member]:
    at = _after_space(text, text.index("{") + 1)
    while text[at] != "}":
        name, end = _DECODER.raw_decode(text, at)
        value_start = _after_space(text, _after_space(text, end) + 1)  # behind the colon
        _, end = _DECODER.raw_decode(text, value_start)
        yield _Member(name, at, value_start, end)
        at = _after_space(text, end)
        if text[at] == ",":
            at = _after_space(text, at + 1)


def _after_space(text: str, at: int) -> int:
    space = _SPACE.match(text, at)
    return space.end() if space else at
