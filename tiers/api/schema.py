"""Holds a JSON value against a JSON Schema, and says of the first thing that is wrong what and where.

Only what :mod:`tiers.api.fields` writes is known: ``type``, ``enum``, ``minimum``, ``maximum``,
``minLength``, ``minItems``, ``maxItems``, ``maxProperties``, ``items``, ``contains``, ``properties``,
``required``, ``additionalProperties`` and ``oneOf``. The document of the API holds the same schemas. Two keys
are for errors alone: ``why``, put behind what is wrong, and ``code``, for another than the usual one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from tiers.errors import RequestError, invalid

Schema = Mapping[str, Any]
_SHOWN = 40
"""Characters of a value that an error repeats."""


def check(value: Any, schema: Schema, at: str) -> None:
    """Nothing, if ``value`` is as ``schema`` says.

    Args:
        at: the value's place, ``messages[0].content``; empty for the whole body.

    Raises:
        RequestError: 400, with the place as ``param`` and a ``code`` of the OpenAI API's.
    """
    if "oneOf" in schema:
        schema = _branch(value, schema["oneOf"], at)
    types = schema["type"]
    if not any(_is(value, name) for name in ([types] if isinstance(types, str) else types)):
        raise _wrong(at, schema, f"must be {_named(types)}, not {_shown(value)}", "invalid_type")
    if value is None:
        return
    if "enum" in schema and value not in schema["enum"]:
        raise _wrong(at, schema, f"must be {_any_of(schema['enum'])}, not {_shown(value)}")
    if isinstance(value, str):
        _check_size(value, schema, at, "Length", "character")
    elif isinstance(value, list):
        _check_list(value, schema, at)
    elif isinstance(value, dict):
        _check_object(value, schema, at)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        least, most = schema.get("minimum", value), schema.get("maximum", value)
        if not least <= value <= most:
            bound = f"at least {least}" if value < least else f"at most {most}"
            raise _wrong(at, schema, f"must be {bound}, not {_shown(value)}")


def _check_list(value: list[Any], schema: Schema, at: str) -> None:
    _check_size(value, schema, at, "Items", "item")
    for number, item in enumerate(value):
        check(item, schema["items"], f"{at}[{number}]")
    if (wanted := schema.get("contains")) is not None and not any(_fits(item, wanted) for item in value):
        raise _wrong(at, {}, wanted["description"])


def _check_object(value: dict[str, Any], schema: Schema, at: str) -> None:
    _check_size(value, schema, at, "Properties", "field")
    properties, others = schema.get("properties", {}), schema["additionalProperties"]
    for name, held in value.items():
        where = _below(at, name[: 2 * _SHOWN])
        if name in properties:
            check(held, properties[name], where)
        elif others is False:
            raise _wrong(where, {}, "is no field that a tier knows; leave it out", "unknown_parameter")
        elif others is not True:
            check(held, others, where)
    for name in schema.get("required", ()):
        if name not in value:
            raise _wrong(_below(at, name), {}, "is missing", "missing_required_parameter")


def _check_size(value: Any, schema: Schema, at: str, what: str, noun: str) -> None:
    least, most = schema.get(f"min{what}", 0), schema.get(f"max{what}", len(value))
    if not least <= len(value) <= most:
        bound, count = ("at least", least) if len(value) < least else ("at most", most)
        raise _wrong(at, schema, f"must have {bound} {count} {noun}{'' if count == 1 else 's'}")


def _branch(value: Any, branches: list[Schema], at: str) -> Schema:
    """The one of several schemas to hold a value against: by its type, or by a field that names it."""
    fitting = [branch for branch in branches if _is(value, branch["type"])]
    if not fitting:
        types = [branch["type"] for branch in branches]
        raise _wrong(at, {}, f"must be {_named(types)}, not {_shown(value)}", "invalid_type")
    if len(fitting) == 1:
        return fitting[0]
    names: list[Any] = []
    for branch in fitting:
        (name,) = (key for key, held in branch["properties"].items() if "enum" in held)
        names += (known := branch["properties"][name]["enum"])
        if value.get(name) in known:
            return branch
    where = _below(at, name)
    if name not in value:
        raise _wrong(where, {}, "is missing", "missing_required_parameter")
    raise _wrong(where, {}, f"must be {_any_of(names)}, not {_shown(value[name])}")


def _fits(value: Any, schema: Schema) -> bool:
    try:
        check(value, schema, "")
    except RequestError:
        return False
    return True


def _is(value: Any, name: str) -> bool:
    if name in ("integer", "number"):
        number = isinstance(value, int | float) and not isinstance(value, bool)
        return number and (name == "number" or value == int(value))
    kinds: dict[str, type] = {
        "string": str, "boolean": bool, "array": list, "object": dict, "null": type(None),
    }  # fmt: skip
    return isinstance(value, kinds[name])


def _named(types: str | list[str]) -> str:
    words = {"null": "left out", "integer": "a whole number", "array": "a list", "boolean": "true or false"}
    names = [types] if isinstance(types, str) else types
    return " or ".join(words.get(name, f"a{'n' * (name[0] in 'aeiou')} {name}") for name in names)


def _any_of(values: list[Any]) -> str:
    return " or ".join("left out" if value is None else _shown(value) for value in values)


def _below(at: str, name: str) -> str:
    return f"{at}.{name}" if at else name


def _shown(value: Any) -> str:
    if isinstance(value, dict | list):
        return "an object" if isinstance(value, dict) else "a list"
    told = json.dumps(value[:_SHOWN] if isinstance(value, str) else value)
    return told if len(told) <= 2 * _SHOWN else f"{told[:_SHOWN]}…"


def _wrong(at: str, schema: Schema, what: str, code: str = "invalid_value") -> RequestError:
    why = f" ({schema['why']})" if "why" in schema else ""
    return invalid(f"{at or 'the body'} {what}{why}", at or None, schema.get("code", code))
