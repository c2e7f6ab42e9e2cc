"""``--set key.path=value``: one value of a scenario replaced before it is validated."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from typing import Any

from testbed.errors import TestbedError
from testbed.scenario.reading.mistakes import nearest
from testbed.scenario.reading.yamlfile import parse_yaml


def listed_values(text: str) -> Iterator[str]:
    """The entries of a list like ``a,b``: commas within brackets and quotes separate nothing."""
    depth, quote, word = 0, "", ""
    for sign in text:
        if quote:
            quote = "" if sign == quote else quote
        elif sign in "'\"":
            quote = sign
        else:
            depth += (sign in "[{") - (sign in "]}")
        if sign == "," and not depth and not quote:
            yield word
            word = ""
        else:
            word += sign
    if word.strip() or not text.strip():
        yield word


def listed_settings(given: Sequence[str], form: str) -> dict[str, list[str]]:
    """By key the entries of each ``KEY=VALUES``; ``form`` says how one is written.

    Raises:
        TestbedError: it is not so, or a key is given twice.
    """
    settings: dict[str, list[str]] = {}
    for setting in given:
        key, equals, text = setting.partition("=")
        key = key.strip()
        if not equals or not key:
            raise TestbedError(f"--set {setting}: is not {form}")
        if key in settings:
            raise TestbedError(f"--set {setting}: {key} is given twice; write its values in one list")
        settings[key] = list(listed_values(text))
    return settings


def apply_overrides(
    data: dict[str, Any], overrides: Sequence[str], *, as_written: bool = False
) -> dict[str, Any]:
    """A copy of a scenario's mapping with each ``key.path=value`` set, later ones last.

    List entries go by their ``name`` (``links.core.loss=1%``); values are YAML, so that ``50`` is a number
    and ``{device: 0.9}`` a mapping. A key that is not there is added: validation decides whether it may be.

    Args:
        data: the mapping.
        overrides: each ``key.path=value``.
        as_written: set the texts that stand there, as :func:`parse_yaml` has them.

    Raises:
        TestbedError: no ``=``, no value, a path that leads nowhere, or a value that is not YAML.
    """
    data = copy.deepcopy(data)
    for override in overrides:
        path, equals, text = override.partition("=")
        keys = path.strip().split(".")
        if not equals or not all(keys):
            raise TestbedError(f"--set {override}: is not key.path=value; write it like links.core.loss=1%")
        if not text.strip():
            raise TestbedError(f"--set {override}: gives no value; write null to take the value away")
        try:
            value = parse_yaml(text, as_written=as_written)
        except TestbedError as error:
            raise TestbedError(f"--set {override}: the value is not YAML ({error})") from None
        _set(data, keys, value, override)
    return data


def overridden(path: str, overrides: Sequence[str]) -> str | None:
    """The last override that set the value at ``path``, or something in it or around it."""
    for override in reversed(overrides):
        key = override.partition("=")[0].strip()
        if key == path or key.startswith(f"{path}.") or path.startswith(f"{key}."):
            return override
    return None


def _set(data: dict[str, Any], keys: list[str], value: Any, override: str) -> None:
    here: Any = data
    done: list[str] = []
    while keys:
        if isinstance(here, list):
            entry, used = _entry(here, keys, done, override)
            if used == len(keys):
                raise TestbedError(
                    f"--set {override}: {'.'.join(done + keys)} is a whole list entry; add the key to set"
                )
            here = entry
        elif isinstance(here, dict):
            used = 1
            if len(keys) == 1:
                here[keys[0]] = value
                return
            if here.get(keys[0]) is None:
                here[keys[0]] = {}
            here = here[keys[0]]
        else:
            raise TestbedError(
                f"--set {override}: {'.'.join(done)} is {here!r}, which has no {'.'.join(keys)}; "
                f"set {'.'.join(done)} as a whole"
            )
        done, keys = done + keys[:used], keys[used:]


def _entry(entries: list[Any], keys: list[str], done: list[str], override: str) -> tuple[Any, int]:
    """The list entry whose name begins ``keys``, and how many keys its name takes: names may hold dots."""
    named = {entry["name"]: entry for entry in entries if isinstance(entry, dict) and "name" in entry}
    for used in range(len(keys), 0, -1):
        if (name := ".".join(keys[:used])) in named:
            return named[name], used
    raise TestbedError(
        f"--set {override}: there is no {keys[0]!r} in {'.'.join(done)}; {nearest(keys[0], map(str, named))}"
    )
