"""A scenario's recorded tiers are predicted from whichever file they serve from."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from testbed.console import Reporter
from testbed.scenario.matrix import prompt_key, read_matrix
from testbed.scenario.scenario import Scenario, load_scenario
from testbed.study.what_if.predict import what_if_scenario
from testbed.study.what_if.replay import replay
from testbed.study.what_if.scenarios import study_of_scenario
from testbed.study.what_if.study import Point
from tests import SCENARIOS

RECORDED = SCENARIOS / "recorded.yaml"
MATRIX = SCENARIOS / "recorded" / "rotten_tomatoes.parquet"
TIERS = ("device", "edge", "cloud")
EVENTS = "[{at: 1s, node: edge1, do: kill, for: 1s}, {at: 9s, node: edge1, do: pause, for: 1s}]"


def recorded(*overrides: str) -> Scenario:
    return load_scenario(RECORDED, overrides, methods=["recserve"], requests=120)


def test_a_file_of_lines_gives_what_a_matrix_of_the_same_answers_gives(tmp_path: Path) -> None:
    matrix, overrides = read_matrix(MATRIX), []
    for tier in TIERS:
        answers = matrix.models[tier]
        lines = [
            {"prompt_sha256": key.hex(), "answer": answer, "confidence": confidence, "service_ms": 1}
            for key, answer, confidence in zip(
                matrix.prompt_sha256, answers.answers, answers.confidences("max_softmax"), strict=True
            )
        ]
        path = tmp_path / f"{tier}.jsonl"
        path.write_text("".join(json.dumps(line) + "\n" for line in lines))
        overrides.append(f"tiers.{tier}.model=recorded/{path}")
    by_lines = what_if_scenario(recorded(*overrides), Reporter())
    by_matrix = what_if_scenario(recorded(), Reporter())
    assert by_lines.points == by_matrix.points


def test_a_tier_has_the_confidence_that_its_model_names() -> None:
    model = f"{{kind: recorded, path: {MATRIX}, model: edge, confidence: sigmoid}}"
    study = study_of_scenario(recorded(f"tiers.edge.model={model}"))
    own = study_of_scenario(recorded())
    for tier in TIERS:
        same = np.array_equal(study.tiers[tier].confidences(None), own.tiers[tier].confidences(None))
        assert same == (tier != "edge")
    assert np.array_equal(study.tiers["edge"].confidences(None), own.tiers["edge"].confidences("sigmoid"))


def test_a_policy_may_read_the_prompt_where_the_scenario_has_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine.py").write_text(
        "from tiers.policies import Decision, Policy\n\n\nclass Reader(Policy):\n    knows = ('prompt',)\n\n"
        "    def judge(self, request, confidence):\n        return Decision(keep='film' in request.prompt)\n"
    )
    monkeypatch.chdir(tmp_path)
    method = f"[{{name: recserve, policy: '{tmp_path / 'mine.py'}:Reader'}}]"
    scenario = recorded(f"methods={method}")
    study = study_of_scenario(scenario)
    assert study.texts is not None
    levels = replay(study, Point(1, scenario.methods[0]))
    asked = [study.texts[place] for place in study.places]
    assert levels.tolist() == [0 if "film" in text else 2 for text in asked]
    assert 0 < levels.mean() < 2


def test_what_a_prediction_leaves_out_is_noted() -> None:
    notes = " ".join(study_of_scenario(recorded(f"events={EVENTS}")).notes)
    assert "replay.mode is open: where requests overlap" in notes
    assert "events: the 2 events are left out" in notes
    assert "replay.mode" not in " ".join(study_of_scenario(recorded("replay.mode=lockstep")).notes)


def test_rows_of_one_text_are_each_judged_by_their_own_reference(tmp_path: Path) -> None:
    data, answers = tmp_path / "mine.csv", tmp_path / "answers.jsonl"
    data.write_text("text,label\n" + "a film,positive\n" * 3 + "a film,negative\n" * 2)
    key = prompt_key("a film").hex()
    line = {"prompt_sha256": key, "answer": "positive", "confidence": 0.9, "service_ms": 1}
    answers.write_text(json.dumps(line) + "\n")
    overrides = [f"tiers.{tier}.model=recorded/{answers}" for tier in TIERS]
    dataset = f"task.dataset={{file: {data}, text: text, reference: label}}"
    scenario = load_scenario(RECORDED, [dataset, *overrides], methods=["cloud-only"], requests=5)
    (point,) = what_if_scenario(scenario, Reporter()).points
    assert point["accuracy"] == 3 / 5
