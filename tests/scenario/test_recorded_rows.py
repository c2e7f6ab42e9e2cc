"""An answer matrix is held against the scenario before a run: prompts, task, cleaning, models, times."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from testbed.errors import TestbedError
from testbed.host.embedded.revision import embedded_revision
from testbed.scenario.matrix import ModelAnswers, write_matrix
from testbed.scenario.recorded_rows import TierRows, tier_rows
from testbed.scenario.recordings import check_recordings, tiers_made_up
from testbed.scenario.requests import build_trace, prompts_for
from testbed.scenario.scenario import Scenario, load_scenario
from testbed.scenario.workload.datasets import Example
from tests import SCENARIOS
from tests.scenario.matrix.made import classifier, generator, matrix, record
from tests.scenario.refusals import refusal

SMOKE = SCENARIOS / "smoke.yaml"
RECORDED = SCENARIOS / "recorded.yaml"
COUNT = 60
TIMES = {"samples": 1, "mean": 12.5, "p50": 12.5, "p95": 12.5}


def asked(requests: int = COUNT) -> list[Example]:
    examples = prompts_for(build_trace(load_scenario(SMOKE, requests=requests))).values()
    return sorted(examples, key=lambda example: example.row)


def scenario(model: str) -> Scenario:
    return load_scenario(SMOKE, [f"tiers.edge.model={model}"], requests=COUNT)


def recorded(path: Path, *models: ModelAnswers, examples: list[Example] | None = None, **more: Any) -> Path:
    """A matrix of these models, or of one, over the trace's prompts."""
    examples = asked() if examples is None else examples
    models = models or (classifier("edge", [[0.1, 0.4]] * len(examples)),)
    records = {model.name: record(service_ms=TIMES) for model in models} | more.pop("records", {})
    made = matrix(
        *models,
        prompts=[example.text for example in examples],
        rows=[example.row for example in examples],
        records=records,
        **more,
    )
    header = made.header.model_copy(update=more.pop("header", {}))
    write_matrix(replace(made, header=header), path)
    return path


def refused(model: str) -> str:
    with pytest.raises(TestbedError) as caught:
        check_recordings(scenario(model), asked())
    sentence = str(caught.value)
    assert sentence.startswith("tiers.edge.model")
    assert "\n" not in sentence
    return sentence


def test_a_matrix_that_has_the_traces_rows_is_told_with_where_its_times_come_from(tmp_path: Path) -> None:
    flips = {"samples": 9, "answers": 2, "confidence": 0.125}
    records = {"edge": record(service_ms=TIMES, flips=flips, batch=8)}
    path = recorded(tmp_path / "m.parquet", records=records)
    field = "tiers.edge.model"
    assert check_recordings(scenario(f"recorded/{path}"), asked()) == [
        f"{field}: {path} has edge's answers to all of the trace's {COUNT} prompts",
        f"{field}: service times of 1 of these were measured; the others' are those of the "
        "measured row nearest in length",
        f"{field}: recorded in batches of 8, which changed 2 of 9 answers that were compared, and "
        "confidences by 0.12 at most",
    ]
    given = check_recordings(scenario(f"{{kind: recorded, path: {path}, service: 5ms}}"), asked())
    assert not any("service times" in note for note in given)


def test_rows_that_it_lacks_are_counted_and_named(tmp_path: Path) -> None:
    path = recorded(tmp_path / "m.parquet", examples=asked()[4:])
    sentence = refused(f"recorded/{path}")
    rows = ", ".join(str(example.row) for example in asked()[:3])
    assert (
        f"{path} has no answer of edge to 4 of the trace's {COUNT} prompts (rows {rows}, …); record"
        in sentence
    )
    model = f"{{kind: recorded, path: {path}, service: 5ms, missing: made-up}}"
    assert "prompts; answers to those are made up" in check_recordings(scenario(model), asked())[0]
    assert tiers_made_up(scenario(model)) == ["device", "cloud"]


def test_a_row_with_another_prompt_is_told_from_one_that_is_lacking(tmp_path: Path) -> None:
    first = replace(asked()[0], text="another version of it")
    path = recorded(tmp_path / "m.parquet", examples=[first, *asked()[1:]])
    assert f"(rows {first.row}; 1 of them it has with another prompt, of another version" in refused(
        f"recorded/{path}"
    )


@pytest.mark.parametrize(
    ("header", "words"),
    [
        (
            {"cleaning": "none"},
            "was recorded with the cleaning 'none', and rotten_tomatoes's prompts have 'paper'",
        ),
        ({"dataset": "imdb"}, "has rows of the data set imdb, and the scenario asks rotten_tomatoes"),
        ({"task": "translation"}, "was recorded for translation, and the task is classification"),
        (
            {"labels": ["bad", "good"]},
            "has answers among bad, good, and the task's labels are negative, positive",
        ),
    ],
)
def test_a_matrix_of_another_task_data_set_or_cleaning_is_refused(
    tmp_path: Path, header: dict[str, Any], words: str
) -> None:
    header_of = matrix().header
    changed: dict[str, Any] = {}
    if "cleaning" in header:
        changed = header
    if "task" in header:
        changed = {"task": header_of.task.model_copy(update={"kind": "translation"})}
    if "labels" in header:
        changed = {"task": header_of.task.model_copy(update=header)}
    path = tmp_path / "m.parquet"
    examples = asked()
    made = matrix(
        classifier("edge", [[0.1, 0.4]] * len(examples)),
        prompts=[example.text for example in examples],
        rows=[example.row for example in examples],
        dataset=header.get("dataset", "rotten_tomatoes"),
    )
    write_matrix(replace(made, header=made.header.model_copy(update=changed)), path)
    assert words in refused(f"recorded/{path}")


def test_a_task_by_its_name_of_before_is_the_same(tmp_path: Path) -> None:
    path = tmp_path / "m.parquet"
    task = load_scenario(SCENARIOS / "translation.yaml").task
    write_matrix(matrix(generator("edge"), labels=[], dataset=task.data.name), path)
    loaded = load_scenario(
        SCENARIOS / "translation.yaml",
        ["task.kind=sequence-to-sequence", f"tiers.edge.model=recorded/{path}"],
    )
    found = tier_rows(loaded, loaded.tier("edge"))
    assert found is not None
    assert found.record.confidence == "inverse_perplexity"


def test_an_embedded_model_of_other_weights_is_refused(tmp_path: Path) -> None:
    ours = embedded_revision("edge")
    for revision, fits in ((ours, True), ("sha256:0123", False), (None, False)):
        embedded = record(kind="embedded", model="embedded/edge", revision=revision, service_ms=TIMES)
        path = recorded(tmp_path / "m.parquet", records={"edge": embedded})
        if fits:
            assert check_recordings(scenario(f"recorded/{path}"), asked())
        else:
            sentence = refused(f"recorded/{path}")
            assert "has answers of embedded/edge with the weights" in sentence
            assert f"those here are {ours[:19]}…; record it again" in sentence


def test_a_model_that_was_asked_in_another_template_is_refused(tmp_path: Path) -> None:
    asked_so = record(template="Good or bad? {text}", service_ms=TIMES)
    path = recorded(tmp_path / "m.parquet", records={"edge": asked_so})
    assert "has answers of edge to the template 'Good or bad? {text}', and the task's is '{text}'" in refused(
        f"recorded/{path}"
    )
    own = record(
        template="Good or bad? {text}", options={"template": "Good or bad? {text}"}, service_ms=TIMES
    )
    path = recorded(tmp_path / "m.parquet", records={"edge": own})
    assert check_recordings(scenario(f"recorded/{path}"), asked())


def test_each_embedded_model_has_a_revision_of_its_own() -> None:
    rungs = ["device", "edge", "cloud", "translation/device", "translation/edge", "translation/cloud"]
    assert len({embedded_revision(rung) for rung in rungs}) == len(rungs)


def test_which_model_is_meant_is_said_or_follows_from_the_tiers_name(tmp_path: Path) -> None:
    logits = [[0.1, 0.4]] * COUNT

    def found(*names: str, model: str = "") -> str:
        path = recorded(tmp_path / "m.parquet", *(classifier(name, logits) for name in names))
        word = f"{{kind: recorded, path: {path}{model and f', model: {model}'}}}"
        loaded = scenario(word)
        rows = tier_rows(loaded, loaded.tier("edge"))
        assert rows is not None
        return rows.name

    assert found("mine") == "mine"
    assert found("mine", "edge") == "edge"
    assert found("mine", "embedded/edge") == "embedded/edge"
    assert found("mine", "edge", model="mine") == "mine"
    with pytest.raises(TestbedError, match=r"has the models a, b; say which is meant, as in .*model: a"):
        found("a", "b")
    with pytest.raises(TestbedError, match=r"edge\.model\.model: .* has no model 'c'; it has a, b"):
        found("a", "b", model="c")


def test_a_confidence_that_cannot_be_computed_from_it_is_refused(tmp_path: Path) -> None:
    path = recorded(tmp_path / "m.parquet")
    word = f"{{kind: recorded, path: {path}, confidence: seq2seq}}"
    assert "confidence seq2seq cannot be computed from what" in refused(word)
    assert "needs token log-probabilities" in refused(word)
    assert check_recordings(scenario(f"{{kind: recorded, path: {path}, confidence: sigmoid}}"), asked())


def test_a_confidence_that_a_matrix_has_is_no_other(tmp_path: Path) -> None:
    count = len(asked())
    own = replace(classifier("edge", [[0.1, 0.4]] * count), logits=[None] * count, confidence=[0.75] * count)
    path = recorded(tmp_path / "m.parquet", own)
    assert "has confidences of edge by max_softmax and nothing to compute margin from" in refused(
        f"{{kind: recorded, path: {path}, confidence: margin}}"
    )
    assert check_recordings(scenario(f"{{kind: recorded, path: {path}, confidence: seq2class}}"), asked())


def test_a_class_that_a_matrix_names_is_not_run(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("raise SystemExit('it was run')")
    named = record(confidence=f"{tmp_path}/mine.py:Mine", service_ms=TIMES)
    path = recorded(tmp_path / "m.parquet", records={"edge": named})
    assert "mine.py:Mine, a class in a file; name that file beside the path" in refused(f"recorded/{path}")
    assert check_recordings(scenario(f"{{kind: recorded, path: {path}, confidence: max_softmax}}"), asked())


def test_a_matrix_without_times_needs_one(tmp_path: Path) -> None:
    times = [None] * len(asked())
    untimed = replace(classifier("edge", [[0.1, 0.4]] * len(times)), service_ms=times)
    one = recorded(tmp_path / "one.parquet", records={"edge": record()})
    other = recorded(tmp_path / "other.parquet", untimed)
    for path in (one, other):
        assert "has no service times of edge; write one beside the path, such as service: 5ms" in refused(
            f"recorded/{path}"
        )


def test_a_damaged_matrix_is_named_with_its_tier(tmp_path: Path) -> None:
    path = recorded(tmp_path / "m.parquet")
    path.write_bytes(path.read_bytes()[:-9])
    assert f"tiers.edge.model: {path} cannot be read as Parquet" in refused(f"recorded/{path}")


def test_a_row_that_was_not_timed_takes_as_long_as_the_nearest_in_length() -> None:
    answers = replace(
        generator("edge"),
        completion_tokens=[4, 4, 9],
        service_ms=[40.0, None, 90.0],
    )
    made = matrix(answers, labels=[])
    rows = TierRows("", "", "edge", replace(made, prompt_bytes=np.array([5, 50, 50])), {})
    assert rows.service_ms([0, 1, 2]) == [40.0, 40.0, 90.0]  # tokens come before bytes
    even = replace(answers, completion_tokens=[None, None, None])
    rows = TierRows(
        "", "", "edge", replace(made, prompt_bytes=np.array([5, 30, 50]), models={"edge": even}), {}
    )
    assert rows.service_ms([1]) == [90.0]
    untimed = replace(answers, service_ms=[None] * 3)
    assert TierRows("", "", "edge", replace(made, models={"edge": untimed}), {}).service_ms([0]) == [None]


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ("{kind: recorded, service: 5ms, model: edge}", "model: says which of an answer matrix's models"),
        ("{kind: recorded, path: PATH.jsonl, model: edge}", "model: says which of an answer matrix's models"),
    ],
)
def test_the_name_of_a_model_is_for_a_matrix_alone(tmp_path: Path, model: str, words: str) -> None:
    (tmp_path / "a.jsonl").touch()
    sentence = refusal(f"tiers.edge.model={model.replace('PATH', str(tmp_path / 'a'))}", path=SMOKE)
    assert words in sentence


def test_the_committed_matrix_has_every_prompt_that_its_scenario_may_ask() -> None:
    loaded = load_scenario(RECORDED, requests=3000)
    notes = check_recordings(loaded, prompts_for(build_trace(loaded)).values())
    assert sum("answers to all of the trace's 2044 prompts" in note for note in notes) == 3
    assert tiers_made_up(loaded) == []
