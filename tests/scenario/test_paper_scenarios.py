"""The paper's eight experiments are scenarios that load, and read their prompts from a small local file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from testbed.scenario.requests import build_trace, prompts_for
from testbed.scenario.scenario import Scenario, load_scenario
from testbed.scenario.sections.models import CheckpointEntry
from testbed.scenario.workload.datasets import dataset_notes
from tests import SCENARIOS
from tests.scenario.workload.datasets.layouts import write_layout

PAPER = sorted((SCENARIOS / "paper").glob("*.yaml"))


def test_there_are_eight() -> None:
    assert len(PAPER) == 8


@pytest.mark.parametrize("path", PAPER, ids=lambda path: path.stem)
def test_each_asks_its_data_set_by_the_papers_methods(path: Path, tmp_path: Path) -> None:
    name = load_scenario(path).task.data.name
    write_layout(name, tmp_path)
    scenario = load_scenario(path, [f"task.dataset={{name: {name}, path: {tmp_path}}}"], requests=3)
    prompts = prompts_for(build_trace(scenario), scenario.task.datasets)
    assert sorted(example.row for example in prompts.values()) == [0, 1, 2]
    assert all(example.text and example.reference for example in prompts.values())
    assert len(dataset_notes(scenario.task.data)) == 1  # that three rows are not the whole set
    recserve = [method.parameters for method in scenario.methods if method.policy == "recserve"]
    assert [parameters["beta"] for parameters in recserve] == [0.1, 0.3, 0.5]
    assert {parameters["window"] for parameters in recserve} == {10_000}
    assert all(isinstance(tier.model, CheckpointEntry) and tier.model.hub for tier in scenario.tiers)
    assert Scenario.model_validate(json.loads(json.dumps(scenario.model_dump(mode="json")))) == scenario
