"""The chapter *Types and defaults* of docs/SCENARIOS.md, made from the schema and the models' classes."""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Iterator
from typing import Any

from testbed.scenario.json_schema import scenario_schema
from tests.scenario.schema_file import HEADINGS, PAGE, sections
from tiers.models import KINDS

CHAPTER = "## Types and defaults\n"
_INTRODUCTION = """
Of each key, as the code has it: `python -m tests.scenario.schema_file` writes this chapter. What a key means
stands above, and so do defaults that depend on other keys.

| section | key | type | default |
|---|---|---|---|
"""
_AS_ABOVE = {"Figures", "LinkFigures"}
"""The figures of one direction, and of an event: an entry's, without defaults."""
_UNITS = {"_s": "s", "_ms": "ms"}
REQUIRED = "required"


def defaults(name: str, keys: dict[str, Any]) -> dict[str, Any]:
    """The defaults of a section by key; those of a model, which its class has, too."""
    found = {key: value["default"] for key, value in keys.items() if "default" in value}
    kind = name.removeprefix("model.")
    kind = "openai" if kind == "engine" else kind  # which the testbed starts, and asks as any other
    if name.startswith("model.") and kind in KINDS.names:
        for parameter in inspect.signature(KINDS.find(kind).__init__).parameters.values():
            unit = next((unit for unit in _UNITS if parameter.name.endswith(unit)), "")
            key, value = parameter.name.removesuffix(unit), parameter.default
            if key in keys and key not in found and value not in (None, parameter.empty):
                found[key] = f"{value}{_UNITS[unit]}" if unit else value
    return found


def chapter() -> str:
    """The chapter, as the code is now."""
    schema = scenario_schema()
    rows: dict[tuple[str, str], list[str]] = {}
    for name, keys in sections(schema):
        required = schema["required"] if name == "" else schema["$defs"][name].get("required", [])
        given = defaults(name, keys)
        for key, value in keys.items():
            if name not in _AS_ABOVE and value.get("type") != "null" and "const" not in _choice(key, value):
                default = REQUIRED if key in required else _written(given.get(key))
                row = f"| `{key}` | {kind_of(value)} | {default} |"
                rows.setdefault((heading(name), row), []).append(name)
    in_order = sorted(rows.items(), key=lambda row: list(HEADINGS).index(row[0][0]))
    families = Counter(name.partition(".")[0] for name in schema["$defs"])
    lines = []
    for (where, row), names in in_order:
        family, _, kind = names[0].partition(".")
        some = kind and len(names) < families[family]
        kinds = f" ({', '.join(name.partition('.')[2] for name in names)})" if some else ""
        lines.append(f"| {where}{kinds} {row}\n")
    return CHAPTER + _INTRODUCTION + "".join(lines)


def _choice(key: str, value: dict[str, Any]) -> dict[str, Any]:
    """What says which kind of model or method it is has one value in each."""
    return value if key in ("kind", "policy") else {}


def heading(name: str) -> str:
    """The heading that has a section's keys."""
    for found, names in HEADINGS.items():
        if any(name == own or (own.endswith(".") and name.startswith(own)) for own in names):
            return found
    raise KeyError(name)


def _written(default: object) -> str:
    if default is None or default == []:
        return ""
    if isinstance(default, dict):
        return f"`{{{', '.join(f'{key}: {value}' for key, value in default.items())}}}`"
    return f"`{str(default).lower() if isinstance(default, bool) else default}`"


def kind_of(value: dict[str, Any]) -> str:
    """What may be written, in words."""
    if "$ref" in value:
        return {"TierModel": "text or mapping"}.get(value["$ref"].rpartition("/")[2], "mapping")
    if "anyOf" in value:
        return " or ".join(dict.fromkeys(kind_of(part) for part in value["anyOf"]))
    if "const" in value or "enum" in value:
        return ", ".join(_written(each) for each in value.get("enum", [value.get("const")]))
    match value.get("type"):
        case "array":
            return f"list: {kind_of(value['items'])}"
        case "object":
            return "mapping"
        case "boolean":
            return "`true`, `false`"
        case "integer" | "number":
            return " ".join([value["type"], *_bounds(value)])
        case "string":
            return str(value.get("description", "text")).partition(":")[0]
        case other:
            raise KeyError(other)


def _bounds(value: dict[str, Any]) -> Iterator[str]:
    words = {"minimum": "from", "exclusiveMinimum": "above", "maximum": "to", "exclusiveMaximum": "below"}
    for bound, word in words.items():
        if bound in value:
            yield f"{word} {value[bound]:,}"


def page() -> str:
    """The whole page, with the chapter as the code is now."""
    return PAGE.read_text().partition(CHAPTER)[0].rstrip("\n") + "\n\n" + chapter()
