"""A prediction is held against a run of the same models and files, or it is said which were others."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from testbed.results.directory import RunDirectory
from testbed.scenario.matrix import read_matrix
from testbed.scenario.scenario import Scenario, load_scenario
from testbed.study.what_if.unlike import unlike
from tests import SCENARIOS

MATRIX = SCENARIOS / "recorded" / "rotten_tomatoes.parquet"
SHA256 = hashlib.sha256(MATRIX.read_bytes()).hexdigest()
OTHER = "0" * 64


@pytest.fixture(scope="module")
def scenario() -> Scenario:
    return load_scenario(SCENARIOS / "recorded.yaml")


def run_of(folder: Path, scenario: Scenario, files: list[dict[str, Any]] | None) -> RunDirectory:
    told = {"schema_version": 1, "scenario": scenario.model_dump(mode="json")}
    (folder / "manifest.json").write_text(json.dumps(told | ({} if files is None else {"files": files})))
    return RunDirectory.open(folder)


def of_tiers(key: str, **by_tier: str) -> list[dict[str, Any]]:
    return [{"field": f"tiers.{tier}.model{key}", "path": "/it", "sha256": s} for tier, s in by_tier.items()]


def test_a_run_of_the_same_recordings_has_nothing_to_tell(scenario: Scenario, tmp_path: Path) -> None:
    files = of_tiers(".path", device=SHA256, edge=SHA256, cloud=SHA256)
    assert list(unlike(scenario, run_of(tmp_path, scenario, files))) == []


def test_a_recording_that_changed_since_is_told(scenario: Scenario, tmp_path: Path) -> None:
    files = of_tiers(".path", device=SHA256, edge=OTHER)
    (sentence,) = unlike(scenario, run_of(tmp_path, scenario, files))
    sums = f"has the SHA-256 {SHA256[:12]}… here, and {OTHER[:12]}… in {tmp_path}"
    assert sentence == f"tiers.edge.model.path: {MATRIX} {sums}: what differs may be the file's doing"


def test_a_run_of_another_model_than_was_recorded_is_told(scenario: Scenario, tmp_path: Path) -> None:
    live = load_scenario(SCENARIOS / "quickstart.yaml")
    models = read_matrix(MATRIX).header.models
    files = of_tiers("", device="1" * 64, edge="2" * 64, cloud="3" * 64)
    for file, tier in zip(files, ("device", "edge", "cloud"), strict=True):
        file["revision"] = models[tier].revision
    assert list(unlike(scenario, run_of(tmp_path, live, files))) == []
    files[2]["revision"] = f"sha256:{OTHER}"
    (sentence,) = unlike(scenario, run_of(tmp_path, live, files))
    assert sentence.startswith(f"tiers.cloud.model: {MATRIX} has answers of embedded/cloud sha256:")
    assert sentence.endswith(
        f"and {tmp_path} ran sha256:{OTHER[:12]}…: what differs may be the model's doing"
    )


def test_an_older_run_is_said_to_be_silent(scenario: Scenario, tmp_path: Path) -> None:
    (sentence,) = unlike(scenario, run_of(tmp_path, scenario, None))
    assert sentence == f"{tmp_path} does not tell the SHA-256 of its files, as it is of an older version"
