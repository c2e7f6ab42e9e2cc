"""In what the files that a prediction rests on differ from those that a run was made of."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from testbed.host.fingerprints import sha256_of, sha256_of_all
from testbed.results.comparable import files_of
from testbed.results.directory import RunDirectory
from testbed.scenario.named import named_files
from testbed.scenario.recorded_rows import tier_rows
from testbed.scenario.scenario import Scenario

_MODELS = ("", ".path", ".hub", ".kind", ".gguf")
"""After ``tiers.NAME.model``, the keys that may say which model a tier had."""


def unlike(scenario: Scenario, directory: RunDirectory) -> Iterator[str]:
    """A sentence for each file of the scenario that is not the run's, and each model that is not.

    A run of an older version does not tell what its files were: then there is one that says so.

    Raises:
        TestbedError: a file here cannot be read, or the run is damaged.
    """
    with directory.understood():
        manifest = directory.read_json("manifest.json")
        theirs, models = files_of(manifest), {t["name"]: t["model"] for t in manifest["scenario"]["tiers"]}
    if theirs is None:
        yield f"{directory.path} does not tell the SHA-256 of its files, as it is of an older version"
        return
    live = {f"tiers.{name}.model.path" for name, model in models.items() if model["kind"] != "recorded"}
    for named in named_files(scenario):
        there = theirs.get(named.field)
        if there is None or named.field in live or not all(path.is_file() for path in named.files):
            continue
        one = named.files == (named.path,)
        here = sha256_of(named.path) if one else sha256_of_all(named.files)
        if here != there["sha256"]:
            yield (
                f"{named.field}: {named.path} has the SHA-256 {here[:12]}… here, and {there['sha256'][:12]}… "
                f"in {directory.path}: what differs may be the file's doing"
            )
    for tier in scenario.tiers:
        rows = tier_rows(scenario, tier) if models.get(tier.name, {}).get("kind") != "recorded" else None
        ran = _revision(tier.name, theirs)
        if rows is not None and ran and rows.record.revision and rows.record.revision != ran:
            yield (
                f"tiers.{tier.name}.model: {rows.path} has answers of {rows.record.model} "
                f"{rows.record.revision[:19]}…, and {directory.path} ran {ran[:19]}…: what differs may be "
                "the model's doing"
            )


def _revision(tier: str, files: Mapping[str, Mapping[str, Any]]) -> str | None:
    """Which model a tier of a run had, as an answer matrix has it of a recorded one."""
    found = (files.get(f"tiers.{tier}.model{key}") for key in _MODELS)
    file = next(filter(None, found), None)
    return None if file is None else file.get("revision") or f"sha256:{file['sha256']}"
