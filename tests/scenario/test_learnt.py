"""Embedded models are not scored on what they were trained on, whatever data set has it too."""

from __future__ import annotations

from pathlib import Path

import pytest

from testbed.errors import TestbedError
from testbed.scenario.learnt import learnt_notes
from testbed.scenario.requests import build_trace, prompts_for
from testbed.scenario.scenario import Scenario, load_scenario
from testbed.scenario.workload.datasets import Example, load
from tests import QUICKSTART, SCENARIOS
from tests.scenario.workload.datasets.layouts import write_layout

LEARNT = load("rotten_tomatoes", "train")[0].text
"""A sentence that the embedded models were trained on."""


def sst2(folder: Path, sentences: list[str], path: Path = QUICKSTART) -> Scenario:
    write_layout("sst2", folder, [(sentence, 1, number) for number, sentence in enumerate(sentences)])
    return load_scenario(path, [f"task.dataset={{name: sst2, path: {folder}}}"])


def asked(scenario: Scenario) -> list[Example]:
    return list(load(scenario.task.data, "test"))


def test_sentences_that_were_learnt_are_found_whatever_their_spaces_and_signs(tmp_path: Path) -> None:
    spaced = LEARNT.replace("'", " '").replace(",", " ,").title()
    assert spaced != LEARNT
    scenario = sst2(tmp_path, ["a new one", spaced])
    with pytest.raises(TestbedError) as caught:
        learnt_notes(scenario, asked(scenario))
    assert str(caught.value) == (
        "tiers.device.model: 1 of the trace's 2 prompts, such as row 1 of sst2, were in the training of the "
        "embedded models, so that their accuracy would say nothing; name models of yours, or the data set "
        "rotten_tomatoes or imdb"
    )


def test_a_few_among_many_are_noted(tmp_path: Path) -> None:
    scenario = sst2(tmp_path, [LEARNT, *(f"new number {number}" for number in range(150))])
    (note,) = learnt_notes(scenario, asked(scenario), "calibration")
    assert note.startswith("1 of the calibration's 151 prompts, such as row 0 of sst2, were in the training")


def test_other_models_and_the_held_out_quarter_are_no_matter(tmp_path: Path) -> None:
    recorded = sst2(tmp_path, [LEARNT], SCENARIOS / "smoke.yaml")
    assert learnt_notes(recorded, asked(recorded)) == []
    quickstart = load_scenario(QUICKSTART)
    assert learnt_notes(quickstart, prompts_for(build_trace(quickstart)).values()) == []
