"""A task's data set: by name, with a directory, or a file of the user's; one resolved has the same rows."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from testbed.errors import TestbedError
from testbed.scenario.requests import build_trace, prompts_for
from testbed.scenario.scenario import Scenario, load_scenario
from testbed.scenario.workload.datasets import Example, load, whole
from testbed.scenario.workload.trace_file import write_trace
from tests import SCENARIOS
from tests.scenario.workload.datasets.layouts import write_layout

MINE = {"file": "mine.csv", "text": "question", "reference": "label"}
CSV = "question,label\nIs it (really) so?,no\nWhy?,yes\n"


def scenario_with(folder: Path, **task: Any) -> Path:
    """The smoke scenario in ``folder``, with another task."""
    data = yaml.safe_load((SCENARIOS / "smoke.yaml").read_text())
    path = folder / "mine.yaml"
    path.write_text(yaml.safe_dump({**data, "task": {"kind": "classification", **task}}))
    return path


def loaded(folder: Path, content: str = CSV, dataset: dict[str, Any] | None = None, **task: Any) -> Scenario:
    (folder / "mine.csv").write_text(content, encoding="utf-8")
    return load_scenario(scenario_with(folder, dataset=dataset or MINE, **task))


def refusal(folder: Path, content: str = CSV, **given: Any) -> str:
    with pytest.raises(TestbedError) as caught:
        loaded(folder, content, **given)
    return str(caught.value).removeprefix(f"{folder}/mine.yaml: ").replace(f"{folder}/", "")


def test_a_users_file_is_beside_the_scenario_and_its_references_are_the_labels(tmp_path: Path) -> None:
    scenario = loaded(tmp_path)
    assert scenario.task.labels == ("no", "yes")
    assert scenario.task.data.cleaning == "paper"
    trace = build_trace(scenario)
    assert {(request.dataset, request.split, request.row) for request in trace} == {
        ("mine", "test", 0),
        ("mine", "test", 1),
    }
    asked = set(prompts_for(trace, scenario.task.datasets).values())
    assert asked == {Example(0, "Is it really so?", "no"), Example(1, "Why?", "yes")}


def test_the_resolved_scenario_has_the_files_checksum_and_the_same_rows(tmp_path: Path) -> None:
    scenario = loaded(tmp_path)
    resolved = json.loads(json.dumps(scenario.model_dump(mode="json")))
    assert resolved["task"]["dataset"] == {
        "file": str(tmp_path / "mine.csv"),
        "text": "question",
        "reference": "label",
        "name": "mine",
        "cleaning": None,
        "sha256": hashlib.sha256(CSV.encode()).hexdigest(),
    }
    again = Scenario.model_validate(resolved)
    assert again == scenario
    assert build_trace(again) == build_trace(scenario)
    (tmp_path / "mine.csv").write_text(CSV + "More?,no\n")
    for remembered in (load, whole):  # as a process that begins
        remembered.cache_clear()
    with pytest.raises(
        TestbedError, match=r"mine\.csv: has SHA-256 .* take the file as it was, or remove sha256"
    ):
        build_trace(Scenario.model_validate(resolved))
    (tmp_path / "mine.csv").unlink()
    assert Scenario.model_validate(resolved) == scenario  # a manifest loads on a host without the file


def test_a_trace_file_names_rows_of_a_users_file(tmp_path: Path) -> None:
    scenario = loaded(tmp_path)
    trace = build_trace(scenario)
    write_trace(trace, tmp_path / "mine.jsonl")
    path = scenario_with(tmp_path, dataset=MINE)
    assert build_trace(load_scenario(path, ["trace={file: mine.jsonl}"])) == trace
    with pytest.raises(TestbedError, match=r"mine\.jsonl:1: no data set 'mine'; known are"):
        build_trace(load_scenario(SCENARIOS / "smoke.yaml", [f"trace={{file: {tmp_path}/mine.jsonl}}"]))


def test_a_task_without_references_is_generation(tmp_path: Path) -> None:
    without = {"file": "mine.csv", "text": "question"}
    assert refusal(tmp_path, dataset=without) == (
        "task.dataset.reference: classification is scored by references; name their column, "
        "or write kind: generation"
    )


@pytest.mark.parametrize(
    ("content", "task", "sentence"),
    [
        (CSV, {"dataset": MINE | {"text": "prompt"}},
         "task.dataset: mine.csv: has no column 'prompt'; it has 'question', 'label'; the first line names"),
        (CSV, {"dataset": MINE | {"reference": "lable"}},
         "task.dataset: mine.csv: has no column 'lable'; it has 'question', 'label'"),
        (CSV, {"dataset": MINE | {"file": "yours.csv"}},
         "task.dataset.file: no such file or directory 'yours.csv'"),
        (CSV, {"dataset": {"file": "mine.csv", "reference": "label"}},
         "task.dataset.text: is missing; add it"),
        (CSV, {"dataset": MINE | {"name": "imdb"}},
         "task.dataset.name: imdb is another data set's; give this one a name of its own"),
        (CSV, {"dataset": MINE | {"sha256": "ab" * 32}},
         "task.dataset: mine.csv: has SHA-256"),
        (CSV, {"labels": ["yes", "maybe"]},
         "task.dataset: mine.csv:2: 'label' is 'no', which is none of the labels [yes, maybe]"),
        (CSV, {"labels": ["yes", "no", "no"]}, "task.labels: one is there twice; give each once"),
        ("question,label\nWhy?,yes\n", {}, "task.labels: [yes] leaves nothing to tell apart"),
        (CSV, {"kind": "translation", "labels": ["no", "yes"]},
         "task.labels: are for a classification, and the task is translation; remove them"),
        (CSV, {"kind": "clasification"},
         "task.kind: no kind of task 'clasification'; did you mean classification?"),
        ("question,label\nWhy?,\n", {},
         "task.dataset: mine.csv:2: 'label' is empty; write it, or remove the row"),
    ],
)  # fmt: skip
def test_what_cannot_be_asked_is_one_sentence(
    content: str, task: dict[str, Any], sentence: str, tmp_path: Path
) -> None:
    assert refusal(tmp_path, content, **task).startswith(sentence)


def test_a_name_that_traces_cannot_have_is_refused(tmp_path: Path) -> None:
    (tmp_path / "my file.csv").write_text(CSV)
    dataset = MINE | {"file": "my file.csv"}
    assert "task.dataset.name: 'my file' is no name of a data set; add one of letters" in refusal(
        tmp_path, dataset=dataset
    )
    assert loaded(tmp_path, dataset={**dataset, "name": "mine"}).task.data.name == "mine"


def test_a_path_without_a_name_is_refused_as_a_path(tmp_path: Path) -> None:
    assert "task.dataset.file: '/' is a directory" in refusal(tmp_path, dataset=MINE | {"file": "/"})


def test_a_set_of_the_hub_is_read_from_a_directory(tmp_path: Path) -> None:
    write_layout("sst2", tmp_path / "glue")
    scenario = loaded(tmp_path, dataset={"name": "sst2", "path": "glue"})
    assert scenario.task.labels == ("negative", "positive")
    assert {request.dataset for request in build_trace(scenario)} == {"sst2"}
    assert Scenario.model_validate(json.loads(json.dumps(scenario.model_dump(mode="json")))) == scenario


def test_what_is_in_no_directory_or_not_of_the_hub_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert refusal(tmp_path, dataset={"name": "wmt19", "path": "empty"}) == (
        "task.dataset.path: empty has no de-en/validation-00000-of-00001.parquet, which wmt19 is read from; "
        "copy it from the hub's wmt/wmt19"
    )
    assert refusal(tmp_path, dataset={"name": "imdb", "path": "empty"}) == (
        "task.dataset.name: imdb comes from a package and has no path; the hub's is stanfordnlp/imdb"
    )
    assert refusal(tmp_path, dataset={"name": "sst", "path": "empty"}).startswith(
        "task.dataset.name: no data set 'sst'; did you mean sst2?"
    )


def test_a_word_stays_a_word_in_manifests() -> None:
    scenario = load_scenario(SCENARIOS / "smoke.yaml")
    assert scenario.model_dump(mode="json")["task"]["dataset"] == "rotten_tomatoes"
