"""The files that a scenario names, by the keys that name them: with them, its results change."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from testbed.host.checkpoints import checkpoint_files, is_checkpoint
from testbed.host.places import unfit_file, unfit_folder
from testbed.scenario.scenario import Scenario
from testbed.scenario.sections.section import AS_A_PERSON
from tiers.plugins import external

_NO_PATHS = ("labels", "template", "place")
"""Keys of scenarios whose words are never paths, even if they look like one."""
LEARNT = " (learnt)"
"""Ends the field of the file beside a class's, from which it takes what it has learnt."""


@dataclass(frozen=True)
class Named:
    """A file, or a model's directory, that a key of a scenario names.

    ``files`` are itself, or those of the directory that the model is loaded from. The file beside a class's,
    of what it has learnt, is named whether it is there or not.
    """

    field: str
    path: Path
    files: tuple[Path, ...]


def named_files(scenario: Scenario) -> list[Named]:
    """What a scenario names on this host, in the order of its keys; but for names of hubs and packages.

    Raises:
        TestbedError: a checkpoint is not whole.
    """
    return list(_named(scenario.model_dump(context=AS_A_PERSON), ""))


def of_directory(field: str, folder: Path) -> Named:
    """A checkpoint's directory."""
    return Named(field, folder, tuple(checkpoint_files(folder)))


def _named(value: Any, field: str) -> Iterator[Named]:
    if isinstance(value, str):
        yield from _of_word(value, field)
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            if key not in _NO_PATHS:
                yield from _named(inner, f"{field}.{key}" if field else str(key))
    elif isinstance(value, list | tuple):
        for number, inner in enumerate(value):
            name = inner.get("name", number) if isinstance(inner, Mapping) else number
            yield from _named(inner, f"{field}.{name}")


def _of_word(word: str, field: str) -> Iterator[Named]:
    plugin = external(word)
    path = Path(plugin.where if plugin is not None and plugin.is_file else word)
    if not path.is_absolute():
        return
    if plugin is not None:
        beside = path.with_suffix(".json")
        yield Named(field, path, (path,))
        yield Named(field + LEARNT, beside, (beside,))
    elif _is_fit(path):
        if not path.is_dir():
            yield Named(field, path, (path,))
        elif is_checkpoint(path):
            yield of_directory(field, path)


def _is_fit(path: Path) -> bool:
    """Whether a word is the path of something that a scenario may name: not all words are paths."""
    try:
        return not (unfit_folder(path) if path.is_dir() else unfit_file(path))
    except (OSError, ValueError):
        return False
