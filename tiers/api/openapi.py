"""The OpenAPI document of a node, made of the schemas by which requests are checked.

``docs/openapi.json`` is the one of a node whose model can take everything. Each node serves its own, in which
fields are narrowed to what its model can take, and models are those that can be asked for.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from typing import Any

from tiers.api.answers import COMPLETION, ERROR, EVENT, HEALTH, MODEL, MODELS
from tiers.api.fields import MESSAGE, REQUEST
from tiers.api.schema import Schema
from tiers.api.stream import CONTENT_TYPE
from tiers.protocol import COMPLETIONS_PATH, REQUEST_ID_HEADER

PATH = "/openapi.json"
_NAMED: dict[str, Schema] = {"Message": MESSAGE, "Completion": COMPLETION, "Model": MODEL, "Error": ERROR}
_JSON = "application/json"


def document(
    models: Collection[str] | None = None, narrowed: Mapping[str, Schema] | None = None
) -> dict[str, Any]:
    """The document of a node that answers to the names ``models`` (``None``: any).

    Args:
        narrowed: fields of a request, with what a model can take of them.
    """
    fields = {**REQUEST["properties"], **(narrowed or {})}
    if models is not None:
        fields["model"] = {**fields["model"], "enum": [*models, None]}
    request = {**REQUEST, "properties": fields}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "A tier of the LLM testbed",
            "version": "1",
            "description": "Chat completions and models as in the OpenAI API. docs/CLIENTS.md says more.",
        },
        "paths": _paths(request, models),
        "components": {"schemas": {name: _written(schema, within=name) for name, schema in _NAMED.items()}},
    }


def _paths(request: Schema, models: Collection[str] | None) -> dict[str, Any]:
    name: dict[str, Any] = {"type": "string", "minLength": 1}
    asked = name if models is None else {**name, "enum": list(models)}
    return {
        COMPLETIONS_PATH: {
            "post": {
                "operationId": "createChatCompletion",
                "summary": "Answer a chat",
                "requestBody": {"required": True, "content": {_JSON: {"schema": _written(request)}}},
                "responses": {
                    "200": _response("The answer, or the stream of it", {
                        _JSON: COMPLETION, CONTENT_TYPE.partition(";")[0]: EVENT,
                    }),
                    **_errors(400, 404, 409, 413, 415, 500, 502, 503, 504),
                },
            }
        },
        "/v1/models": {"get": _reading("listModels", "The names under which this node is asked", MODELS)},
        "/v1/models/{model}": {
            "parameters": [{"name": "model", "in": "path", "required": True, "schema": asked}],
            "get": _reading("retrieveModel", "One of them", MODEL, 404),
        },
        PATH: {"get": _reading("getDocument", "This document", {"type": "object"})},
        "/health": {"get": _reading("getHealth", "Whether the model is loaded", HEALTH, 503)},
        "/metrics": {
            "get": {
                "operationId": "getMetrics",
                "summary": "Counts for Prometheus",
                "responses": {"200": _response("Its text format", {"text/plain": {"type": "string"}})},
            }
        },
    }  # fmt: skip


def _reading(name: str, summary: str, schema: Schema, *errors: int) -> dict[str, Any]:
    responses = {"200": _response(summary, {_JSON: schema}), **_errors(*errors)}
    return {"operationId": name, "summary": summary, "responses": responses}


_MEANINGS = {
    400: "The request is not as it must be",
    404: "There is no such model or path",
    409: f"The same {REQUEST_ID_HEADER} came before with another body",
    413: "The body is too large",
    415: "The body is compressed",
    500: "The model failed",
    502: "A tier above could not be reached, or broke off",
    503: "The model is still being loaded, or a breaker is open",
    504: "The deadline passed",
}


def _errors(*statuses: int) -> dict[str, Any]:
    return {str(status): _response(_MEANINGS[status], {_JSON: ERROR}) for status in statuses}


def _response(description: str, content: Mapping[str, Schema]) -> dict[str, Any]:
    written = {kind: {"schema": _written(schema)} for kind, schema in content.items()}
    return {"description": description, "content": written}


def _written(schema: Any, within: str = "") -> Any:
    """A schema as the document has it: named ones by reference, and reasons as descriptions."""
    for name, named in _NAMED.items():
        if schema is named and name != within:
            return {"$ref": f"#/components/schemas/{name}"}
    if isinstance(schema, Mapping):
        told = {"description": schema["why"]} if isinstance(schema.get("why"), str) else {}
        kept = {key: value for key, value in schema.items() if not told or key not in ("why", "code")}
        return {**{key: _written(value) for key, value in kept.items()}, **told}
    return [_written(item) for item in schema] if isinstance(schema, list) else schema


if __name__ == "__main__":
    print(json.dumps(document(), indent=1))
