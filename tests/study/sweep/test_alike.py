"""Machines that would run something else are told apart, in one sentence each."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from testbed.host.fingerprints import code_sha256
from testbed.scenario.scenario import load_scenario
from testbed.study.sweep.alike import Alike, alike_here, difference, files_of
from testbed.study.sweep.machine import Outcome, run_point
from tests import ROOT

SCENARIOS = ROOT / "scenarios"
ROWS = "recorded/rotten_tomatoes.parquet"


def _files_of(scenario: str) -> list[str]:
    return sorted(files_of(load_scenario(SCENARIOS / scenario)))


@pytest.fixture(scope="module")
def here() -> Alike:
    scenario = load_scenario(SCENARIOS / "own-policy.yaml")
    return alike_here(_files_of("own-policy.yaml"), [scenario.task.data])


def test_the_same_machine_does_not_differ(here: Alike) -> None:
    assert difference(here, here) is None
    assert len(here.code) == 64
    assert here.packages["pydantic"]
    assert here.datasets


@pytest.mark.parametrize(
    ("scenario", "names"),
    [
        ("own-policy.yaml", {"policies/word_router.py", "policies/word_router.json", ROWS}),
        ("recorded.yaml", {ROWS}),
        ("graph.yaml", {"graphs/europe.graphml"}),
        ("smoke.yaml", set()),
    ],
)
def test_every_file_that_a_scenario_names_is_found(scenario: str, names: set[str]) -> None:
    assert set(_files_of(scenario)) == {str(SCENARIOS / name) for name in names}


def test_files_of_links_and_directories_are_found(tmp_path: Path) -> None:
    text = (SCENARIOS / "rate-file.yaml").read_text()
    found = _files_of("rate-file.yaml")
    assert found
    assert all(Path(path).is_file() and Path(path).name in text for path in found)
    for name in ("config.json", "model.safetensors", "optimizer.pt"):
        (tmp_path / name).write_text("{}")
    scenario = load_scenario(SCENARIOS / "smoke.yaml", [f"tiers.cloud.model={tmp_path}"])
    assert files_of(scenario) == {str(tmp_path / name) for name in ("config.json", "model.safetensors")}


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"python": "3.10.1"}, r"has Python 3\.10\.1, not "),
        (
            {"code": "0" * 64, "commit": "abc"},
            r"has another version of the testbed \(commit abc; here it is ",
        ),
        ({"packages": {}}, r"has \w+ missing, not [\d.]+; install the same"),
        ({"files": {}}, r"lacks the file .*word_router\.json; bring the same one to the same place"),
        ({"datasets": {}}, r"has other rows of the data set rotten_tomatoes"),
    ],
)
def test_each_difference_has_its_sentence(here: Alike, change: dict[str, Any], sentence: str) -> None:
    there = replace(here, **change)
    with pytest.raises(AssertionError, match=sentence):
        raise AssertionError(difference(there, here))


def test_a_file_differs_by_its_content_not_by_its_name(tmp_path: Path) -> None:
    file = tmp_path / "trace.jsonl"
    file.write_text("a")
    before = alike_here([str(file)], [])
    file.write_text("b")
    after = alike_here([str(file)], [])
    assert difference(after, before) == f"has another file {file}; bring the same one to the same place"
    file.unlink()
    gone = alike_here([str(file)], [])
    assert difference(gone, before) == f"lacks the file {file}; bring the same one to the same place"
    assert difference(before, gone) == (
        f"has a file {file}, which is not here; remove it there, or bring it here"
    )


def test_a_changed_line_of_code_is_noticed(tmp_path: Path) -> None:
    for name in ("testbed/a.py", "tiers/weights.bin", "tiers/__pycache__/a.pyc", "testbed/.a.py.swp"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("1")
    before = code_sha256(tmp_path)
    (tmp_path / "tiers/__pycache__/a.pyc").write_text("2")
    (tmp_path / "testbed/.a.py.swp").write_text("2")
    assert code_sha256(tmp_path) == before
    (tmp_path / "tiers/weights.bin").write_text("2")
    assert code_sha256(tmp_path) != before


def test_a_machine_that_differs_runs_nothing(here: Alike, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 0)
    (outcome,) = run_point({}, replace(here, python="3.99"), [])
    assert isinstance(outcome, Outcome)
    assert outcome.unfit
    assert "not 3.99" in str(outcome.failure)
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    (outcome,) = run_point({}, here, [])
    assert isinstance(outcome, Outcome)
    assert (outcome.unfit, "start Ray there as root" in str(outcome.failure)) == (True, True)
