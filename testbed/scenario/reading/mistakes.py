"""Mistakes of a scenario's author, each in one sentence that says what to write instead."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterable
from datetime import date
from decimal import Decimal, InvalidOperation
from typing import Any

from pydantic import ValidationError
from pydantic_core import PydanticCustomError

from testbed.errors import one_line
from testbed.scenario.reading.yamlfile import in_yaml

MAX_SENTENCE = 500
"""Characters: a mistake quotes what it found, which may be a whole file."""

_SCALARS = (bool, int, float, date, type(None))
"""What YAML makes of scalars that are no texts."""
_NUMBERS = ("float_type", "float_parsing", "int_type", "int_parsing", "int_from_float")


def mistake(what: str, field: str = "") -> PydanticCustomError:
    """A validation error in our own words; ``field`` is a path below the section that raises it."""
    context = {"what": one_line(what), "field": one_line(field)}  # which may quote what is no Unicode
    return PydanticCustomError("mistake", "{what}", context)


def nearest(word: str, known: Iterable[str], otherwise: str | None = None) -> str:
    """``did you mean X`` for the nearest known word, or ``otherwise``, or the list of all.

    Words stand as they are to be written in YAML.
    """
    known = list(known)
    if close := difflib.get_close_matches(word, known, n=1):
        return f"did you mean {in_yaml(close[0])}?"
    if otherwise is not None:
        return otherwise
    return f"known are {', '.join(map(in_yaml, known))}" if known else "there are none"


def explain(error: ValidationError, data: Any, written: Any = None) -> tuple[str, str]:
    """Field path and sentence of the first mistake: list entries by name, tags of unions left out.

    Args:
        error: the mistakes.
        data: what was validated.
        written: the same, with every scalar as the text that stands in the file.
    """
    first = error.errors(include_url=False)[0]
    path, value, text = [], data, written
    for step in first["loc"]:
        if isinstance(step, int) and isinstance(value, list | tuple):
            value, text = _at(value, step), _at(text, step)
            name = value.get("name") if isinstance(value, dict) else None
            path.append(name if isinstance(name, str) else str(step + 1))
        elif isinstance(value, dict) and step in value:
            value, text = value[step], text.get(step) if isinstance(text, dict) else None
            path.append(str(step))
        elif first["type"] == "missing" and step == first["loc"][-1]:
            path.append(str(step))
    context = first.get("ctx", {})
    if context.get("field"):
        for step in context["field"].split("."):
            value, text = (part.get(step) if isinstance(part, dict) else None for part in (value, text))
        path.append(context["field"])
    if isinstance(value, _SCALARS) and isinstance(text, str) and text != repr(value):
        sentence = _sentence(first["type"], first["msg"], value, text)
    else:
        sentence = _sentence(first["type"], first["msg"], first["input"], None)
    return one_line(".".join(path), MAX_SENTENCE), one_line(sentence, MAX_SENTENCE)


def _at(values: Any, number: int) -> Any:
    return values[number] if isinstance(values, list | tuple) and number < len(values) else None


def _sentence(kind: str, message: str, value: Any, written: str | None) -> str:
    """A mistake's sentence. ``written`` is what stands in the file, if Python writes ``value`` otherwise."""
    if kind == "mistake":
        if written is None or written.casefold() == repr(value).casefold():
            return message
        return re.sub(rf"(?<![\w.]){re.escape(repr(value))}(?![\w.])", lambda _: written, message, count=1)
    if kind == "missing":
        return "is missing; add it"
    if kind == "too_short":
        return "has too few entries; add one"
    text = message.replace("Input should be", "must be", 1)
    for theirs, ours in (("tuple", "list"), ("dictionary", "mapping"), ("valid string", "text")):
        text = text.replace(theirs, ours)
    shown = repr(value) if written is None else written
    return (text if len(shown) > 60 else f"{text}, not {shown}") + _mend(kind, value, written)


def _mend(kind: str, value: Any, written: str | None) -> str:
    """What to write instead, where that follows from what is written."""
    text = (value if isinstance(value, str) else repr(value)) if written is None else written
    if kind == "string_type" and isinstance(value, _SCALARS):
        if written is None:  # YAML's true and null, which Python writes otherwise
            text = {"True": "true", "False": "false", "None": "null"}.get(text, text)
        return f"; write {json.dumps(text, ensure_ascii=False)} in quotes"
    is_number = kind in _NUMBERS and isinstance(value, str | float)
    if is_number and (number := _plain_number(text, whole=kind.startswith("int"))):
        return f"; write {number} without quotes" if number == value else f"; write {number}"
    if kind.startswith("bool") and isinstance(value, str):
        return "; write true or false"
    if kind in ("tuple_type", "list_type") and isinstance(value, str | int | float):
        return f"; write [{in_yaml(text) if isinstance(value, str) else text}]"
    return ""


def _plain_number(text: str, *, whole: bool) -> str | None:
    """A number as YAML 1.1 reads it, if ``text`` is one otherwise: ``1e-2``, ``0,5``, ``1,000`` or ``30%``.

    ``None`` if it is none, or may be two: 1,000 is 1 to some and 1000 to others.
    """
    number = text.strip().removesuffix("%").rstrip()
    if re.fullmatch(r"\d{1,3}([, ]\d{3})+", number):
        if not whole:
            return None
        number = re.sub("[, ]", "", number)
    elif re.fullmatch(r"[+-]?\d+,\d+", number):
        number = number.replace(",", ".")
    try:
        value = Decimal(number)
    except InvalidOperation:
        return None
    if not value.is_finite() or abs(value.adjusted()) > 20:
        return None
    if "%" in text:
        value /= 100
    if whole and value != int(value):
        return None
    return f"{int(value)}" if value == int(value) else f"{value.normalize():f}"
