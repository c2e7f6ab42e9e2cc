"""A scenario's JSON Schema, by which editors complete and check what a person writes.

It knows keys, units and names. What depends on another part of the scenario, or on a file, is checked where a
scenario is loaded.
"""

from __future__ import annotations

from collections.abc import Iterable
from inspect import isabstract
from typing import Any

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue, models_json_schema
from pydantic_core import core_schema

from testbed.scenario.scenario import Scenario
from testbed.scenario.sections.events import KINDS as EVENTS
from testbed.scenario.sections.methods import ExternalMethod, Method, method_sections
from testbed.scenario.sections.models import ExternalModel, model_sections
from testbed.scenario.sections.section import AS_A_PERSON, CLASS_IN_FILE, Section

DIALECT = "https://json-schema.org/draft/2020-12/schema"
_CLASS, _ONE_TIER = "class", "one-tier"
_PATTERNS = {
    _CLASS: {"type": "string", "pattern": CLASS_IN_FILE},
    _ONE_TIER: {"type": "string", "pattern": "-only$"},
}
"""By the last word of a section's name, how what is written begins or ends; other words stand as they are."""


def scenario_schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) of a scenario as a person writes it.

    ``$defs`` has each section by its class; models are there as ``model.KIND``, methods as ``method.POLICY``.
    """
    named: dict[str, type[Section]] = {f"model.{kind}": section for kind, section in model_sections().items()}
    named |= {f"method.{policy}": section for policy, section in method_sections().items()}
    named |= {f"model.{_CLASS}": ExternalModel, f"method.{_CLASS}": ExternalMethod}
    named |= {f"method.{_ONE_TIER}": Method}
    sections: list[type[Section]] = [Scenario, *named.values(), *EVENTS]
    refs, found = models_json_schema(
        [(section, "validation") for section in sections], schema_generator=_DefaultsAsWritten
    )
    definitions = {name: _plain(schema) for name, schema in found["$defs"].items()}
    keys = {section: ref["$ref"].rpartition("/")[2] for (section, _), ref in refs.items()}
    copies = {name: definitions[keys[section]] for name, section in named.items()}
    for section in named.values():
        definitions.pop(keys[section], None)
    definitions |= {name: _told_apart(name, schema) for name, schema in copies.items()}
    definitions["TierModel"] = {"anyOf": [{"type": "string"}, *_refs(named, "model.")]}
    definitions["Method"] = {"anyOf": _refs(named, "method.")}
    definitions["Event"] = {"anyOf": _refs([keys[event] for event in EVENTS])}
    whole = definitions.pop(keys[Scenario])
    return {"$schema": DIALECT, "title": "Scenario", **whole, "$defs": dict(sorted(definitions.items()))}


class _DefaultsAsWritten(GenerateJsonSchema):
    """Writes defaults with their units, as a person has to: ``30s``, where the field's own is 30."""

    def model_schema(self, schema: core_schema.ModelSchema) -> JsonSchemaValue:
        found = super().model_schema(schema)
        section = schema["cls"]
        if issubclass(section, Section) and "properties" in found and not isabstract(section):
            written = section.model_construct().model_dump(context=AS_A_PERSON, warnings=False)
            for key, value in found["properties"].items():
                if "default" in value and key in written:
                    value["default"] = written[key]
        return found


def _told_apart(name: str, schema: dict[str, Any]) -> dict[str, Any]:
    """The schema of a kind of model, or of a policy's method, with the word that says which it is."""
    family, _, word = name.partition(".")
    is_it = _PATTERNS.get(word, {"const": word})
    if family == "model":
        return {**schema, "properties": {**schema["properties"], "kind": is_it}}
    return {
        **schema,
        "properties": {**schema["properties"], "policy": is_it},
        "required": ["name"],
        # A method is by default named by its policy.
        "anyOf": [{"required": ["policy"]}, {"properties": {"name": is_it}}],
    }


def _refs(names: Iterable[str], beginning: str = "") -> list[dict[str, str]]:
    return [{"$ref": f"#/$defs/{name}"} for name in names if name.startswith(beginning)]


def _plain(schema: Any) -> Any:
    """Without ``null``, which no person may write, and without words for programmers."""
    if isinstance(schema, list):
        return [_plain(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    words = {"title", *(["description"] if "properties" in schema else [])}
    parts = {key: _plain(value) for key, value in schema.items() if key not in words}
    if "properties" in schema:
        parts["properties"] = {key: _plain(value) for key, value in schema["properties"].items()}
    if schema.get("default", 0) in (None, ""):
        del parts["default"]
    if "anyOf" in parts:
        parts["anyOf"] = [part for part in parts["anyOf"] if part != {"type": "null"}]
        if len(parts["anyOf"]) == 1:
            parts |= parts.pop("anyOf")[0]
    return parts
