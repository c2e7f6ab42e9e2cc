"""The points of a grid: every combination of the values that a user gives for a policy's parameters."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from itertools import product
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError
from pydantic_core import PydanticCustomError

from testbed.errors import TestbedError
from testbed.scenario.reading.mistakes import explain, nearest
from testbed.scenario.reading.overrides import listed_settings
from testbed.scenario.reading.yamlfile import parse_yaml
from testbed.scenario.scenario import Scenario
from testbed.scenario.sections.derived import section_of
from testbed.scenario.sections.methods import AnyMethod, Method, check_calibrated, check_methods
from testbed.scenario.sections.section import FileContext, find_external
from testbed.study.what_if.study import Point
from tiers.plugins import external
from tiers.policies.base import GIVEN, POLICIES, find_policy, tier_of

MAX_POINTS = 20_000
MAX_REQUESTS = 1_000_000_000
"""Of all points together: hours of work."""
CONFIDENCE = "confidence"
"""The key that is no parameter of a policy: what the tiers' confidences are computed by."""
_OWN = {"name", "policy"}
"""Keys of a scenario's method that are no keys of a point."""
_RANGE = re.compile(r"\s*(-?[\d.]+)\s*:\s*(-?[\d.]+)\s*:\s*(-?[\d.]+)\s*")
_METHOD: TypeAdapter[Method] = TypeAdapter(AnyMethod)

Settings = dict[str, Any]


def grid(policies: Sequence[str], given: Sequence[str], scenario: Scenario, requests: int) -> list[Point]:
    """Every combination of values, for each policy of the keys that it has.

    Args:
        policies: names, or ``FILE.py:CLASS``.
        given: each ``KEY=VALUES``: ``beta=0.1,0.3``, ``beta=0.1:0.9:0.05`` (both ends included),
            ``beta.device=0.1``, ``confidence=margin``, ``relay=[edge]``.
        scenario: what the methods must fit.
        requests: of each point.

    Raises:
        TestbedError: a key that no policy has, no values, values that a policy does not take, or too many
            points.
    """
    keys = _read(given)
    known = {policy: _keys(policy) for policy in policies}
    for key in keys:
        if _head(key) in _OWN or not any(has is None or _head(key) in has for has in known.values()):
            have = sorted({name for has in known.values() for name in has or ()})
            raise TestbedError(f"--set {key}: no key of {', '.join(policies)}; {nearest(_head(key), have)}")
    grids = {
        policy: {key: values for key, values in keys.items() if has is None or _head(key) in has}
        for policy, has in known.items()
    }
    total = sum(math.prod(map(len, axes.values())) for axes in grids.values())
    if total > MAX_POINTS or total * requests > MAX_REQUESTS:
        raise TestbedError(
            f"--set: {total:,} points of {requests:,} requests are too many; at most {MAX_POINTS:,} points "
            f"and {MAX_REQUESTS:,} requests of all together: give fewer values, or fewer requests"
        )
    combined = [
        (policy, dict(zip(axes, values, strict=True)))
        for policy, axes in grids.items()
        for values in product(*axes.values())
    ]
    return [
        _point(number, policy, settings, scenario)
        for number, (policy, settings) in enumerate(combined, start=1)
    ]


def _head(key: str) -> str:
    """``beta`` of ``beta.device``."""
    return key.partition(".")[0]


def _keys(policy: str) -> set[str] | None:
    """The keys that a policy has; ``None`` where they are its own affair.

    Raises:
        TestbedError: there is no such policy.
    """
    if external(policy):
        return None
    if policy not in POLICIES.names and tier_of(policy) is None:
        names = (*POLICIES.names, "TIER-only", "FILE.py:CLASS")
        raise TestbedError(f"--policy: no policy {policy!r}; {nearest(policy, names)}")
    fields = section_of(find_policy(policy), Method, defaults=True, without=GIVEN).model_fields
    keys = {str(field.validation_alias or name) for name, field in fields.items()}
    return (keys | {CONFIDENCE}) - _OWN


def _point(number: int, policy: str, settings: Settings, scenario: Scenario) -> Point:
    parameters = {key: value for key, value in settings.items() if _head(key) != CONFIDENCE}
    plugin = external(policy)
    data = {
        "name": policy if plugin is None else plugin.class_name,
        "policy": policy,
        **_nested(parameters),
    }
    what = " ".join([f"--policy {policy}", *(f"--set {key}={value}" for key, value in parameters.items())])
    try:
        context = FileContext(Path.cwd())
        method = _METHOD.validate_python(data, context=context, by_name=False, by_alias=True)
        check_methods([method], scenario.tier_names)
        check_calibrated([method], scenario.task.kind, scenario.calibration)
    except (ValidationError, PydanticCustomError) as error:
        raise TestbedError(": ".join(filter(None, (what, *_explained(error, data))))) from None
    return Point(number, method, _confidences(settings, scenario.tier_names), settings)


def _explained(error: ValidationError | PydanticCustomError, data: Settings) -> tuple[str, str]:
    """The key that is wrong, if it is one, and how."""
    if isinstance(error, ValidationError):
        return explain(error, data)
    field = str((error.context or {}).get("field", ""))
    return field.removeprefix(f"methods.{data['name']}").lstrip("."), error.message()


def _nested(settings: Mapping[str, Any]) -> Settings:
    """Settings with ``beta.device`` as a mapping at ``beta``."""
    data: Settings = {}
    for key, value in settings.items():
        name, dot, tier = key.partition(".")
        if not dot:
            data[name] = value
        elif isinstance(data.setdefault(name, {}), dict):
            data[name] = {**data[name], tier: value}
        else:
            raise TestbedError(f"--set {key}: {name} is given for all tiers, too; give one of the two")
    return data


def _confidences(settings: Settings, tiers: Sequence[str]) -> dict[str, str]:
    """By tier the confidence that a point names, a file with its absolute path.

    Raises:
        TestbedError: no such tier or file, or it is no name.
    """
    found: dict[str, str] = {}
    for key, value in sorted(settings.items()):  # one for all tiers first
        name, dot, tier = key.partition(".")
        if name != CONFIDENCE:
            continue
        if dot and tier not in tiers:
            raise TestbedError(f"--set {key}: no tier {tier!r}; {nearest(tier, tiers)}")
        if not isinstance(value, str):
            raise TestbedError(f"--set {key}={value}: must be the name of a confidence")
        try:
            named = find_external(value, FileContext(Path.cwd())) or value
        except PydanticCustomError as error:
            raise TestbedError(f"--set {key}: {error.message()}") from None
        found |= dict.fromkeys([tier] if dot else tiers, named)
    return found


def _read(given: Sequence[str]) -> dict[str, list[Any]]:
    """The values of each key."""
    form = "KEY=VALUES; write it like beta=0.1,0.3 or beta=0.1:0.9:0.1"
    keys: dict[str, list[Any]] = {}
    for key, words in listed_settings(given, form).items():
        setting = f"{key}={','.join(words)}"
        keys[key] = [value for word in words for value in _values(word, setting)]
        if not keys[key]:
            raise TestbedError(f"--set {setting}: gives no value; write it like {key}=0.1,0.3")
    return keys


def _values(word: str, setting: str) -> list[Any]:
    """One entry: a value in YAML, or ``FROM:TO:STEP``."""
    if not word.strip():
        return []
    if (match := _RANGE.fullmatch(word)) is None:
        try:
            return [parse_yaml(word.strip())]
        except TestbedError as error:
            raise TestbedError(f"--set {setting}: {word.strip()} is not YAML ({error})") from None
    try:
        first, last, step = map(Decimal, match.groups())
        steps = int((last - first) / step) if step > 0 else -1
    except ArithmeticError:
        steps = -1
    if steps < 0 or first > last:
        raise TestbedError(
            f"--set {setting}: {word.strip()} is no FROM:TO:STEP with FROM up to TO and a STEP over 0"
        )
    if steps >= MAX_POINTS:
        raise TestbedError(
            f"--set {setting}: {word.strip()} has more than {MAX_POINTS:,} values; take a larger step"
        )
    whole = all("." not in part for part in match.groups())
    found = [first + step * number for number in range(steps + 1)]
    return [int(value) if whole else float(value) for value in found]
