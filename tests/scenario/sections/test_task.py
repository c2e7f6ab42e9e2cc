"""The kind of a task: which data sets it takes, what tiers are told of it, and one of the user's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from testbed.errors import TestbedError
from testbed.scenario.requests import build_trace, prompts_for
from testbed.scenario.scenario import Scenario, load_scenario
from testbed.scenario.scores import require_scores, score_answers
from tests import SCENARIOS

MINE = {"file": "sums.csv", "text": "question", "reference": "answer"}
CSV = "question,answer\nTwo plus two?,4\nWho wrote Faust?,Goethe\n"
OWN = """
from tiers.tasks import Task

class Near(Task):
    template = "Guess: {text}"
    confidence = "min_token"

    def score(self, answer, reference):
        return 1 / (1 + abs(len(answer) - len(reference)))

class Broken(Task):
    def score(self, answer, reference):
        return answer / reference

class Boastful(Task):
    def score(self, answer, reference):
        return 7

class Leaving(Task):
    def score(self, answer, reference):
        raise SystemExit(0)

class Gone(Leaving):
    def __init__(self):
        raise SystemExit(0)

class Scalar(Task):
    def score(self, answer, reference):
        import numpy as np
        return np.float32(0.5)

class Silent(Task):
    pass
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "sums.csv").write_text(CSV)
    (tmp_path / "mine.py").write_text(OWN)
    return tmp_path


def loaded(folder: Path, kind: str, dataset: Any = None, **task: Any) -> Scenario:
    data = yaml.safe_load((SCENARIOS / "smoke.yaml").read_text())
    for tier in data["tiers"]:
        tier["model"] = "organisation/model"
    path = folder / "scenario.yaml"
    path.write_text(yaml.safe_dump({**data, "task": {"kind": kind, "dataset": dataset or MINE, **task}}))
    return load_scenario(path)


def refusal(folder: Path, kind: str, dataset: Any = None, **task: Any) -> str:
    with pytest.raises(TestbedError) as caught:
        loaded(folder, kind, dataset, **task)
    return str(caught.value).removeprefix(f"{folder}/scenario.yaml: ").replace(f"{folder}/", "")


def test_tiers_are_told_the_kinds_template_and_confidence_unless_the_scenario_has_a_template(
    folder: Path,
) -> None:
    asked = loaded(folder, "question").task.asked
    assert asked["template"].endswith("Question: {text}\nAnswer:")
    assert (asked["kind"], asked["labels"], asked["confidence"]) == ("question", [], "inverse_perplexity")
    assert loaded(folder, "question", template="Q: {text}").task.asked["template"] == "Q: {text}"
    assert loaded(folder, "classification", "imdb").task.asked["labels"] == ["negative", "positive"]


def test_prompts_are_the_users_texts_alone(folder: Path) -> None:
    scenario = loaded(folder, "question")
    prompts = prompts_for(build_trace(scenario), scenario.task.datasets).values()
    assert {prompt.text for prompt in prompts} == {"Two plus two?", "Who wrote Faust?"}


@pytest.mark.parametrize("kind", ["generation", "mine.py:Near"])
def test_without_references_of_a_kind_prompts_of_any_data_set_will_do_and_labels_mean_nothing(
    kind: str, folder: Path
) -> None:
    for dataset in (MINE, "imdb", "rotten_tomatoes"):
        assert loaded(folder, kind, dataset).task.labels == ()
    assert "task.labels: are for a classification, and the task is" in refusal(
        folder, kind, "imdb", labels=["negative", "positive"]
    )


def test_a_task_without_its_reference_is_refused_unless_it_needs_none(folder: Path) -> None:
    lacking = {"file": "sums.csv", "text": "question"}
    for kind in ("question", "classification", "translation"):
        assert refusal(folder, kind, lacking) == (
            f"task.dataset.reference: {kind} is scored by references; name their column, "
            "or write kind: generation"
        )
    assert "mine.py:Near is scored by references" in refusal(folder, "mine.py:Near", lacking)
    assert loaded(folder, "generation", lacking).task.data.labels == ()


def test_the_translation_ladder_generates_for_any_kind_that_holds_answers_against_no_label() -> None:
    path = SCENARIOS / "translation.yaml"
    assert load_scenario(path, ["task.kind=generation"]).task.trace_labels is None
    assert load_scenario(path, ["task.kind=sequence-to-sequence"]).task.labels == ()  # the name of before
    with pytest.raises(TestbedError, match="embedded/device is for classification, and the task is gen"):
        load_scenario(SCENARIOS / "quickstart.yaml", ["task={kind: generation, dataset: imdb}"])


@pytest.mark.parametrize(
    ("kind", "task", "says"),
    [
        ("qestion", {}, "task.kind: no kind of task 'qestion'; did you mean question?"),
        ("gone.py:Near", {}, "task.kind: no such file or directory 'gone.py'"),
        ("translation", {"dataset": "imdb"}, "task.kind: imdb is for classification, not 'translation'"),
        (
            "question",
            {"template": "Q:"},
            "task.template: must be a text that has {text} in it once, not 'Q:'",
        ),
    ],
)
def test_a_kind_or_a_template_that_cannot_be_is_refused(
    kind: str, task: dict[str, Any], says: str, folder: Path
) -> None:
    assert refusal(folder, kind, **task).startswith(says)


def test_a_class_of_ones_own_is_loaded_for_a_run_alone(folder: Path) -> None:
    scenario = loaded(folder, "mine.py:Near")
    assert scenario.task.asked == {
        "kind": f"{folder}/mine.py:Near",
        "labels": [],
        "template": "Guess: {text}",
        "confidence": "min_token",
    }
    scored = score_answers(scenario.task.kind, [("ab", "ab"), ("abc", "ab"), (None, "ab")])
    assert scored == ([1.0, 0.5, 0.0], 0, None)
    manifest = scenario.model_dump(mode="json")
    (folder / "mine.py").unlink()
    (folder / "sums.csv").unlink()
    assert Scenario.model_validate(manifest) == scenario


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("Broken", "Broken: score raised TypeError: unsupported operand"),
        ("Boastful", "Boastful: score returned 7.0, which is no number in [0, 1]"),
        ("Leaving", "Leaving: score raised SystemExit: 0"),
        ("Gone", "Gone: SystemExit: 0"),
        ("Silent", "Silent judges nothing; give it a method score"),
        ("Nobody", "has no class Nobody"),
    ],
)
def test_a_class_that_cannot_score_ends_a_run_before_it_begins(name: str, says: str, folder: Path) -> None:
    scenario = loaded(folder, f"mine.py:{name}")
    examples = prompts_for(build_trace(scenario), scenario.task.datasets).values()
    with pytest.raises(TestbedError, match=r"^task\.kind: ") as caught:
        require_scores(scenario, examples)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_answer_that_gets_no_score_is_counted_and_not_fatal(folder: Path) -> None:
    scored = score_answers(f"{folder}/mine.py:Boastful", [("a", "a"), (None, "a")])
    assert scored.scores == [None, 0.0]
    assert (scored.failed, scored.why) == (1, "score returned 7.0, which is no number in [0, 1]")
    left = score_answers(f"{folder}/mine.py:Leaving", [("a", "a"), (None, "a")])
    assert (left.scores, left.why) == ([None, 0.0], "score raised SystemExit: 0")
    assert score_answers(f"{folder}/mine.py:Scalar", [("a", "a")]).scores == [0.5]
    assert score_answers("translation", [("a", "a"), (None, "a")]) == ([None, None], 0, None)
    assert score_answers("classification", [("a", "a"), (None, "a")]) == ([1.0, 0.0], 0, None)
