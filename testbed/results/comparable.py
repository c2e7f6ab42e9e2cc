"""Runs as they are compared: what they hold, whether they can be, and what else differs between them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from testbed.errors import TestbedError
from testbed.results.columns import Row
from testbed.results.directory import RunDirectory
from testbed.scenario.scenario import Scenario
from testbed.scenario.sections.kind import today

MAX_NAMED = 20
"""Of what differs between scenarios, and of points: more are counted, not named."""

READ = ("manifest.json", "summary.json", "requests.parquet", "trace.jsonl")
"""Files that differences are made from. They must be as the run left them."""

Asked = tuple[str, str, int, str]
"""What a request asks: data set, split and row, and the SHA-256 of the file; none of a package's set."""


@dataclass(frozen=True)
class Loaded:
    """A run, read."""

    label: str
    scenario: Scenario
    resolved: Mapping[str, Any]
    summary: Mapping[str, Any]
    requests: Mapping[str, Mapping[str, Row]]
    """By method, the rows by request id, in the order of the trace."""
    asked: Mapping[str, Asked]
    """By request id, the row of a data set that it asks."""
    files: Mapping[str, Row] | None = None
    """By the key that names it, what the manifest has of each file; None in a run of an older version."""

    @property
    def methods(self) -> list[str]:
        return list(self.summary["methods"])


def load(directory: RunDirectory, label: str) -> Loaded:
    """Read a run.

    Raises:
        TestbedError: it lacks a file, or one is not as the run left it.
    """
    directory.require_unchanged(*READ)
    with directory.understood():
        manifest = directory.read_manifest()
        resolved, files = manifest["scenario"], _data_files(manifest)
        rows = directory.read_table("requests.parquet")
        asked = {
            entry.id: (entry.dataset, entry.split, entry.row, files.get(entry.dataset, ""))
            for entry in directory.read_trace(rows)
        }
        requests: dict[str, dict[str, Row]] = {}
        for row in rows:
            requests.setdefault(row["method"], {})[row["request_id"]] = row
        return Loaded(
            label,
            directory.read_scenario(),
            resolved,
            directory.read_summary(),
            requests,
            asked,
            files_of(manifest),
        )


def labels(names: Sequence[str], paths: Sequence[Path]) -> list[str]:
    """What directories are called: by their names, and those that share one by their paths."""
    return [name if names.count(name) == 1 else str(path) for name, path in zip(names, paths, strict=True)]


def files_of(manifest: Row) -> dict[str, Row] | None:
    """By the key that names it, what a manifest has of each file that the run was made of.

    ``None`` in a manifest of an older version, which has nothing of them.
    """
    return {file["field"]: file for file in manifest["files"]} if "files" in manifest else None


def _data_files(manifest: Row) -> dict[str, str]:
    """By data set, the SHA-256 of the file that its rows are of; none of packages, which never change."""
    sources = {dataset["name"]: dataset["source"] for dataset in manifest.get("datasets", [])}
    return {
        name: source["sha256"]
        for name, source in sources.items()
        if "file" in source and "package" not in source
    }


def require_comparable(runs: Sequence[Loaded]) -> None:
    """Refuse runs that are not about the same task and prompts as the first.

    Raises:
        TestbedError: they are not, and why.
    """
    first = runs[0]
    for other in runs[1:]:
        if today(other.scenario.task.kind) != today(first.scenario.task.kind):
            raise TestbedError(
                f"{other.label} is about {other.scenario.task.kind} and {first.label} about "
                f"{first.scenario.task.kind}: their scores cannot be compared"
            )
        common = first.asked.keys() & other.asked.keys()
        unlike = [name for name in sorted(common) if first.asked[name] != other.asked[name]]
        if not common or unlike:
            example = _unlike(first.asked[unlike[0]], other.asked[unlike[0]], unlike[0]) if unlike else ""
            raise TestbedError(
                f"{other.label} did not replay the prompts of {first.label}{example}; run both with the same "
                "data set and seed, since differences are taken request by request"
            )


def _unlike(first: Asked, other: Asked, request: str) -> str:
    """What a request was in two runs whose prompts differ."""
    if first[:3] == other[:3]:
        return f"; {request} is row {first[2]} of {first[0]}, whose files have other contents"
    return f"; {request} is row {first[2]}, then {other[2]}"


def notes(first: Loaded, other: Loaded) -> Iterator[str]:
    """What else differs between two runs than what is compared."""
    if first.asked.keys() != other.asked.keys():
        common = len(first.asked.keys() & other.asked.keys())
        yield (
            f"{first.label} has {len(first.asked)} requests and {other.label} {len(other.asked)}; "
            f"compared over the {common} in common, bytes over all of each"
        )
    changes = named([*changed(first.resolved, other.resolved), *other_contents(first, other)])
    yield f"from {first.label} to {other.label}: {changes or 'the same scenario'}"


def other_contents(first: Loaded, other: Loaded) -> Iterator[str]:
    """Files with other contents behind the same keys; that a run does not tell is one, if the other does."""
    if first.files is None or other.files is None:
        if first.files or other.files:
            older = first if first.files is None else other
            yield f"{older.label} is of an older version and does not tell what its files were"
        return
    for key, file in first.files.items():
        there = other.files.get(key)
        if there is not None and file["sha256"] != there["sha256"]:
            yield f"{key}: another content (SHA-256 {file['sha256'][:12]}… → {there['sha256'][:12]}…)"


def named(things: Sequence[str]) -> str:
    """The first 20 of them, and how many there are more."""
    more = [f"and {len(things) - MAX_NAMED} more"] if len(things) > MAX_NAMED else []
    return "; ".join([*things[:MAX_NAMED], *more])


def changed(first: Any, second: Any, path: str = "") -> Iterator[str]:
    """What differs between two resolved scenarios, as ``key.path: value → value``; entries go by name."""
    first, second = _named(first), _named(second)
    if isinstance(first, Mapping) and isinstance(second, Mapping):
        for key in dict.fromkeys((*first, *second)):
            yield from changed(first.get(key), second.get(key), f"{path}.{key}" if path else str(key))
    elif first != second:
        yield f"{path}: {_value(first)} → {_value(second)}"


def _named(value: Any) -> Any:
    """A list of entries with names as a mapping by name."""
    if (
        isinstance(value, list)
        and value
        and all(isinstance(entry, Mapping) and "name" in entry for entry in value)
    ):
        return {entry["name"]: entry for entry in value}
    return value


def _value(value: Any) -> str:
    text = "none" if value is None else str(value)
    return text if len(text) <= 60 else text[:59] + "…"
