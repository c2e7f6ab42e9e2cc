"""Mistakes of a scenario's author, each in one sentence that says what to write instead."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any

from pydantic import ValidationError
from pydantic_core import PydanticCustomError

from testbed.errors import one_line

MAX_SENTENCE = 500
"""Characters: a mistake quotes what it found, which may be a whole file."""


def mistake(what: str, field: str = "") -> PydanticCustomError:
    """A validation error in our own words; ``field`` is a path below the section that raises it."""
    context = {"what": one_line(what), "field": one_line(field)}  # which may quote what is no Unicode
    return PydanticCustomError("mistake", "{what}", context)


def nearest(word: str, known: Iterable[str]) -> str:
    """``did you mean X`` for the nearest known word, or the list of all."""
    known = list(known)
    if close := difflib.get_close_matches(word, known, n=1):
        return f"did you mean {close[0]}?"
    return f"known are {', '.join(known)}" if known else "there are none"


def explain(error: ValidationError, data: Any) -> tuple[str, str]:
    """Field path and sentence of the first mistake: list entries by name, tags of unions left out."""
    first = error.errors(include_url=False)[0]
    path, value = [], data
    for step in first["loc"]:
        if isinstance(step, int) and isinstance(value, list | tuple):
            value = value[step] if step < len(value) else None
            name = value.get("name") if isinstance(value, dict) else None
            path.append(name if isinstance(name, str) else str(step + 1))
        elif isinstance(value, dict) and step in value:
            value = value[step]
            path.append(str(step))
        elif first["type"] == "missing" and step == first["loc"][-1]:
            path.append(str(step))
    context = first.get("ctx", {})
    if context.get("field"):
        path.append(context["field"])
    sentence = _sentence(first["type"], first["msg"], first["input"])
    return one_line(".".join(path), MAX_SENTENCE), one_line(sentence, MAX_SENTENCE)


def _sentence(kind: str, message: str, value: Any) -> str:
    if kind == "mistake":
        return message
    if kind == "missing":
        return "is missing; add it"
    if kind == "too_short":
        return "has too few entries; add one"
    text = message.replace("Input should be", "must be", 1)
    for theirs, ours in (("tuple", "list"), ("dictionary", "mapping"), ("valid string", "text")):
        text = text.replace(theirs, ours)
    shown = repr(value)
    return text if len(shown) > 60 else f"{text}, not {shown}"
