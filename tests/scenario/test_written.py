"""What is written of a scenario is read back from anywhere as the same scenario, with the same trace."""

from __future__ import annotations

import csv
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import pytest
import yaml

from testbed.errors import TestbedError
from testbed.scenario.requests import build_trace
from testbed.scenario.scenario import RESOLVED, Scenario, load_scenario
from testbed.scenario.sections.section import AS_A_PERSON, Section, written
from testbed.scenario.workload.trace_file import write_trace
from testbed.scenario.written import scenario_yaml
from tests import ROOT, SCENARIOS
from tests.scenario.workload.datasets.layouts import write_layout

PATHS = sorted(SCENARIOS.glob("*.yaml"))
PAPER = sorted((SCENARIOS / "paper").glob("*.yaml"))


def again(scenario: Scenario, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Scenario:
    """The scenario as it is read from what was written of it into a folder far from all else."""
    (folder / "run").mkdir()
    (folder / "run" / RESOLVED).write_text(scenario_yaml(scenario), encoding="utf-8")
    monkeypatch.chdir(folder)
    return load_scenario(folder / "run")


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_every_scenario_comes_back_with_its_trace(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scenario = load_scenario(path)
    loaded = again(scenario, tmp_path, monkeypatch)
    assert loaded == scenario
    assert loaded.topology == scenario.topology
    assert build_trace(loaded) == build_trace(scenario)


@pytest.mark.parametrize("path", PAPER, ids=lambda path: path.stem)
def test_the_papers_scenarios_come_back_with_their_traces(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = load_scenario(path).task.data.name
    write_layout(name, tmp_path)
    scenario = load_scenario(path, [f"task.dataset={{name: {name}, path: {tmp_path}}}"], requests=5)
    loaded = again(scenario, tmp_path, monkeypatch)
    assert loaded == scenario
    assert build_trace(loaded) == build_trace(scenario)


def test_what_was_asked_for_on_the_command_line_is_part_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scenario = load_scenario(
        SCENARIOS / "smoke.yaml", ["links.core.loss=1%"], methods=["recserve"], requests=7, seed=9
    )
    loaded = again(scenario, tmp_path, monkeypatch)
    assert (len(loaded.methods), loaded.trace.requests, loaded.seed) == (1, 7, 9)
    assert loaded == scenario


def test_every_key_comes_back_from_another_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files beside the scenario, figures that are mappings, words that YAML reads as something else."""
    home = tmp_path / "home"
    home.mkdir()
    with (home / "mine.csv").open("w", newline="") as file:
        rows = [
            ("text", "label"),
            *((f"text {row}", ("NO", "36", "0x1F", "é: #")[row % 4]) for row in range(80)),
        ]
        csv.writer(file).writerows(rows)
    (home / "delays.txt").write_text("10.5\n12.25\n")
    (home / "mine.py").touch()
    given = {
        "name": "all",
        "task": {
            "kind": "classification",
            "dataset": {"file": "mine.csv", "text": "text", "reference": "label"},
            "template": "Is this\n{text}: yes or no?",
        },
        "tiers": [
            {"name": "device", "nodes": 2, "model": {"kind": "recorded", "service": "1.5ms"}, "cpus": 0.1,
             "memory": "500MB"},
            {"name": "edge", "cpus": 1, "memory": "1.5GiB", "congestion": "reno",
             "model": {"kind": "openai", "url": "http://10.0.0.1/v1", "model": "NO", "timeout": "250ms"}},
            {"name": "cloud", "model": {"kind": "mine.py:Mine", "layers": [1, None], "timeout": "2"},
             "cpus": 1, "memory": "1GiB", "batch": 8, "wait": "1.5ms"},
        ],
        "links": [
            {"name": "access", "between": ["device", "edge"], "profile": "lte", "queue": "2bdp",
             "shared": True, "up": {"loss": {"model": "gilbert", "p": "0.1%", "r": "33.3%"}}},
            {"name": "core", "between": ["edge", "cloud"], "rate": "1234567bit",
             "delay": {"file": "delays.txt"}, "jitter": {"sd": "100us", "distribution": "pareto"},
             "reorder": "0.007%"},
        ],
        "methods": [{"name": "cloud-only"}, {"name": "mine", "policy": "mine.py:Policy", "when": "NO"}],
        "trace": {"requests": 9, "arrivals": {"process": "uniform", "rate": 0.001}, "seed": 2**62},
        "replay": {"mode": "closed", "users": 3, "think": "70ms", "deadline": "90s"},
        "events": [{"at": "1.1s", "link": "core", "set": {"rate": "1kbit", "loss": "3%"}}],
        "when_unreachable": "skip",
    }  # fmt: skip
    (home / "all.yaml").write_text(yaml.safe_dump(given))
    scenario = load_scenario(home / "all.yaml")
    text = scenario_yaml(scenario)
    assert "rate: 1234567bit" in text
    assert str(home / "mine.csv") in text
    loaded = again(scenario, tmp_path, monkeypatch)
    assert loaded == scenario
    assert build_trace(loaded) == build_trace(scenario)
    trace = home / "trace.jsonl"
    write_trace(build_trace(scenario), trace)
    from_file = load_scenario(home / "all.yaml", [f"trace={{file: {trace.name}, unit: ms}}"])
    (tmp_path / "second").mkdir()
    assert again(from_file, tmp_path / "second", monkeypatch) == from_file


def test_a_directory_without_one_is_told() -> None:
    with pytest.raises(TestbedError, match=r"run-v1: is a directory without scenario\.yaml"):
        load_scenario(ROOT / "tests" / "data" / "run-v1")


@pytest.mark.parametrize("dump", [Section.model_dump, Section.model_dump_json])
def test_a_signal_waits_until_a_section_is_written(dump: Callable[..., object]) -> None:
    """Else pydantic makes an error of its own of KeyboardInterrupt."""

    def interrupted(value: float) -> str:
        signal.raise_signal(signal.SIGINT)
        return str(value)

    class Interrupted(Section):
        delay_ms: Annotated[float, written(interrupted)]

    with pytest.raises(KeyboardInterrupt):
        dump(Interrupted(delay_ms=1.0), context=AS_A_PERSON)
