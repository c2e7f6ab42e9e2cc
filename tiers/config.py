"""A node's configuration: one JSON object in the environment, read once."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tiers.errors import ConfigError
from tiers.models.base import ModelConfig
from tiers.policies import Place
from tiers.protocol import TIER_PORT
from tiers.records import KEPT, MAX_RECORDS
from tiers.tasks import check_template

NODE_VARIABLE = "TESTBED_NODE"
REQUEST_THREADS = 1000
"""Requests that a node handles at a time, unless its configuration says otherwise. Each holds a thread for as
long as the tier above is waited for; a thread is made when one is needed, and takes some 60 KiB.
"""
_KNOWN = {
    "node", "tier", "tiers", "model", "task", "parent", "threads", "plugins", "policy",
    "host", "port", "request_threads", "round_trip_s", "past", "past_round_trip_s", "batch", "batch_wait_s",
    "requests",
}  # fmt: skip
_ROUND_TRIPS = ("round_trip_s", "past_round_trip_s")


@dataclass(frozen=True)
class NodeConfig:
    """Who this node is, what it answers with, and where it listens and offloads to.

    ``parent`` is ``host`` or ``host:port``, ``None`` at the top. ``policy`` holds until the first reset.
    ``request_threads`` bounds the requests handled at a time and the connections to the parent.
    ``round_trip_s`` is the longest round trip to the parent: a handshake may take that much more.
    ``port`` 0 takes a free one. Both round trips hold until a reset gives others (:func:`of_reset`).
    ``past`` is asked where the parent cannot be reached, the parent's own parent; ``None``: nobody.
    ``batch`` is how many requests the model answers together at most, ``batch_wait_s`` how long the first of
    them waits for others. Until the first reset, records are kept of so many ``requests``.
    """

    place: Place
    model: ModelConfig
    model_name: str
    confidence: str | None
    parent: str | None
    policy: dict[str, Any]
    plugins: tuple[str, ...]
    host: str
    port: int
    request_threads: int
    round_trip_s: float = 0.0
    past: str | None = None
    past_round_trip_s: float = 0.0
    batch: int = 1
    batch_wait_s: float = 0.0
    requests: int = KEPT


def read_config(environment: Mapping[str, str]) -> NodeConfig:
    """The configuration in ``environment``'s ``TESTBED_NODE``.

    Raises:
        ConfigError: it is missing, no JSON, or a field is not as it must be.
    """
    text = environment.get(NODE_VARIABLE)
    if text is None:
        raise ConfigError(f"the environment has no {NODE_VARIABLE}, the node's configuration as JSON")
    try:
        raw = json.loads(text)
    except ValueError as error:
        raise ConfigError(f"{NODE_VARIABLE} is not JSON: {error}") from error
    if not isinstance(raw, dict):
        raise ConfigError(f"{NODE_VARIABLE} must be a JSON object")
    return parse_config(raw)


def parse_config(raw: Mapping[str, Any]) -> NodeConfig:
    """The configuration in a JSON object.

    Raises:
        ConfigError: a field is missing, unknown or wrong.
    """
    if unknown := sorted(set(raw) - _KNOWN):
        raise ConfigError(f"{NODE_VARIABLE} has no field {', '.join(unknown)}")
    place = _place(raw)
    model = _typed(raw, "model", dict)
    task = _typed(raw, "task", dict, {"kind": "classification"})
    plugins = tuple(map(str, _typed(raw, "plugins", list, [])))
    kind = model.get("kind")
    if not isinstance(kind, str):
        raise ConfigError("model.kind is missing; it is transformers, openai, recorded or file.py:Class")
    return NodeConfig(
        place=place,
        model=ModelConfig(
            kind=kind,
            options={key: value for key, value in model.items() if key != "kind"},
            task=str(task.get("kind", "classification")),
            labels=tuple(map(str, task.get("labels") or ())),
            tier=place.tier,
            threads=_count(raw, "threads", 1),
            plugins=plugins,
            template=_template(task),
            answer_confidence=task.get("confidence"),
        ),
        model_name=str(model.get("name", place.tier)),
        confidence=model.get("confidence"),
        parent=_address(raw, "parent"),
        policy=_typed(raw, "policy", dict, {"policy": f"{place.tier}-only"}),
        plugins=plugins,
        host=_typed(raw, "host", str, "0.0.0.0"),
        port=_count(raw, "port", TIER_PORT, least=0),
        request_threads=_count(raw, "request_threads", REQUEST_THREADS),
        round_trip_s=_seconds(raw, "round_trip_s"),
        past=_address(raw, "past"),
        past_round_trip_s=_seconds(raw, "past_round_trip_s"),
        batch=_count(raw, "batch", 1),
        batch_wait_s=_seconds(raw, "batch_wait_s"),
        requests=_requests(raw),
    )


def of_reset(raw: Mapping[str, Any]) -> dict[str, Any]:
    """What a reset says beside the policy: the longest round trips, and how many ``requests`` there will be.

    Raises:
        ConfigError: one is no time, or no count.
    """
    said: dict[str, Any] = {key: _seconds(raw, key) for key in _ROUND_TRIPS if key in raw}
    return {**said, "requests": _requests(raw)}


def _requests(raw: Mapping[str, Any]) -> int:
    return _count(raw, "requests", KEPT, most=MAX_RECORDS)


def _place(raw: Mapping[str, Any]) -> Place:
    tiers = tuple(map(str, _typed(raw, "tiers", list)))
    place = Place(_typed(raw, "node", str), _typed(raw, "tier", str), tiers)
    if place.tier not in tiers:
        raise ConfigError(f"tier {place.tier} is not among tiers: {', '.join(tiers)}")
    if raw.get("parent") is None and not place.is_top:
        raise ConfigError(f"{place.node} of tier {place.tier} is not at the top and needs a parent")
    return place


def _template(task: Mapping[str, Any]) -> str | None:
    template = task.get("template")
    if template is not None:
        try:
            check_template(template)
        except ValueError as error:
            raise ConfigError(f"task.template {error}") from None
    return template


def _address(raw: Mapping[str, Any], key: str) -> str | None:
    value = raw.get(key)
    host, _, port = str(value).partition(":")
    if value is None:
        return None
    if not isinstance(value, str) or not host or (":" in value and not port.isdigit()):
        raise ConfigError(f"{key} must be host or host:port, not {value!r}")
    return value


def _typed(raw: Mapping[str, Any], key: str, kind: type, default: Any = None) -> Any:
    value = raw.get(key, default)
    if not isinstance(value, kind):
        raise ConfigError(f"{key} must be {kind.__name__}, not {value!r}")
    return value


def _count(raw: Mapping[str, Any], key: str, default: int, least: int = 1, most: int = 65535) -> int:
    value = raw.get(key, default)
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise ConfigError(f"{key} must be a whole number from {least} to {most}, not {value!r}")
    return value


def _seconds(raw: Mapping[str, Any], key: str) -> float:
    value = raw.get(key, 0.0)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
        raise ConfigError(f"{key} must be seconds, 0 or more, not {value!r}")
    return float(value)
