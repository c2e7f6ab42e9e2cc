"""What frontiers of sweeps and of what-ifs share: which settings make one curve, and the file they leave."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from testbed.errors import TestbedError
from testbed.host.files import write_whole
from testbed.results.frontier import Frontiers
from testbed.scenario.sections.methods import Method
from tiers.plugins import external

MAX_CURVES = 7
"""More than these no figure tells apart, and no table compares."""


FRONTIER = "frontier.json"
"""The file with all of what is drawn and compared."""
NONE_VARIED = "no method has several settings, as --set methods.recserve.beta=0.1,0.3,0.5 gives them"


@dataclass(frozen=True)
class Setting:
    """A method as it was set at one point: all that its decisions depend on, by key."""

    method: str
    policy: str
    values: Mapping[str, Any]

    @classmethod
    def of(cls, method: Method, **other: Any) -> Setting:
        """That of a scenario's method; ``other`` is what else sets it apart."""
        values = {**method.parameters, "relay": list(method.relay), **other}
        return cls(method.name, method.policy, values)

    @property
    def key(self) -> str:
        """Alike for settings that are alike, whatever the methods are named."""
        return json.dumps([self.policy, self.values], sort_keys=True)


@dataclass(frozen=True)
class Points:
    """A curve: its name, and by label the places of the settings that are one operating point."""

    name: str
    policy: str
    places: Mapping[str, Sequence[int]]


def write_frontiers(found: Frontiers, path: Path) -> None:
    """Write all figures of frontiers as JSON.

    Raises:
        TestbedError: the file cannot be written.
    """
    text = json.dumps(found.to_json(), indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    try:
        write_whole(path, text.encode())
    except OSError as error:
        raise TestbedError(f"{path}: cannot be written ({error.strerror})") from error


def curves_of(settings: Sequence[Setting]) -> list[Points]:
    """Settings as curves, in the order in which their policies come.

    The key of which a policy has the most values spans its curves; for each combination of the others' values
    there is one. Where that leaves only single points, as of settings that change together, all are one.
    """
    by_policy: dict[str, list[int]] = {}
    for place, setting in enumerate(settings):
        by_policy.setdefault(setting.policy, []).append(place)
    found = [curve for places in by_policy.values() for curve in _curves(settings, places)]
    names = [curve.name for curve in found]
    return [
        curve if names.count(curve.name) == 1 else replace(curve, name=f"{curve.name} ({curve.policy})")
        for curve in found
    ]


def _curves(settings: Sequence[Setting], places: Sequence[int]) -> list[Points]:
    first = settings[places[0]]
    names = {settings[place].method for place in places}
    plugin = external(first.policy)
    name = first.method if len(names) == 1 else plugin.class_name if plugin else first.policy
    varied = _varied([settings[place] for place in places])
    spanning, others = varied[:1], varied[1:]
    groups = _grouped(settings, places, others)
    if len(groups) > 1 and all(len(_grouped(settings, group, spanning)) == 1 for group in groups.values()):
        spanning, groups = varied, {"": list(places)}
    return [
        Points(f"{name}, {words}" if words else name, first.policy, _grouped(settings, group, spanning))
        for words, group in groups.items()
    ]


def _varied(settings: Sequence[Setting]) -> list[str]:
    """The keys of which there are several values, that of the most first."""
    keys = list(dict.fromkeys(key for setting in settings for key in setting.values))
    many = {key: len({_words(setting.values.get(key)) for setting in settings}) for key in keys}
    return sorted((key for key in keys if many[key] > 1), key=lambda key: -many[key])


def _grouped(settings: Sequence[Setting], places: Sequence[int], keys: Sequence[str]) -> dict[str, list[int]]:
    """Places by the values of some keys, in words."""
    found: dict[str, list[int]] = {}
    for place in places:
        values = settings[place].values
        words = ", ".join(f"{key}={_words(values.get(key))}" for key in keys)
        found.setdefault(words, []).append(place)
    return found


def _words(value: Any) -> str:
    """A value as a scenario has it; of tiers that have the same one, once."""
    if isinstance(value, Mapping):
        words = {_words(entry) for entry in value.values()}
        if len(words) == 1:
            return words.pop()
        return "{" + ", ".join(f"{key}: {_words(entry)}" for key, entry in value.items()) + "}"
    return value if isinstance(value, str) else json.dumps(value)


def too_many(curves: int) -> str | None:
    """Why there are more curves than can be told apart, single points among them, if there are."""
    if curves <= MAX_CURVES:
        return None
    return (
        f"{curves} curves are too many to tell apart or compare, at most {MAX_CURVES}; "
        "vary one key of each method"
    )
