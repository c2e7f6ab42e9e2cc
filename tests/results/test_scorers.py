"""Every kind of task has one scorer, whose figures bear its name."""

from __future__ import annotations

from typing import Any

import pytest

from testbed.results.scorers import SCORERS
from testbed.scenario.workload.datasets import DATASETS
from tiers.tasks import TASKS

REFERENCES = ["A first sentence stands here.", "The quick brown fox jumps over the lazy dog."] * 6
WORSE: list[str | None] = [*REFERENCES[:6], *[None] * 6]
OWN = "/gone/mine.py:Mine"
KEYS = {
    "classification": "accuracy",
    "sequence-to-sequence": "bleu",
    "translation": "bleu",
    "question": "exact_match",
    OWN: "score",
}


def judged(kind: str, answers: list[Any]) -> list[Any]:
    """What the scorer of a kind looks at."""
    if SCORERS[kind].column == "answer":
        return answers
    return [None if answer is None else 0.8 for answer in answers]


def test_every_kind_of_task_has_a_scorer() -> None:
    assert {dataset.kind for dataset in DATASETS.values()} <= set(TASKS.names)
    assert {kind: SCORERS[kind].key for kind in KEYS} == KEYS
    assert set(TASKS.names) - KEYS.keys() == {"generation"}


@pytest.mark.parametrize("kind", KEYS)
def test_a_score_and_its_interval_are_found_by_their_keys(kind: str) -> None:
    scorer = SCORERS[kind]
    figures = scorer.score(judged(kind, WORSE), REFERENCES)
    low, high = figures[scorer.interval_key]
    assert low <= figures[scorer.key] <= high
    assert scorer.difference_key == f"{scorer.key}_vs_cloud_only"
    assert scorer.score([], [])[scorer.key] is None


@pytest.mark.parametrize("kind", KEYS)
def test_a_difference_is_the_second_score_less_the_first_with_its_interval(kind: str) -> None:
    scorer = SCORERS[kind]
    better, worse = judged(kind, REFERENCES), judged(kind, WORSE)
    found = scorer.difference(better, worse, REFERENCES)
    assert found is not None
    first, second = (scorer.score(answers, REFERENCES)[scorer.key] for answers in (better, worse))
    assert found["difference"] == pytest.approx(second - first)
    low, high = found["ci"]
    assert low <= found["difference"] <= high < 0
    assert scorer.difference([], [], []) is None


def test_classification_has_macro_f1_and_translation_chrf_each_with_an_interval() -> None:
    for kind, key in (("classification", "macro_f1"), ("translation", "chrf")):
        figures = SCORERS[kind].score(WORSE, REFERENCES)
        low, high = figures[f"{key}_ci"]
        assert low < figures[key] < high


def test_a_question_counts_answers_that_its_own_rule_finds_right() -> None:
    scorer = SCORERS["question"]
    figures = scorer.score(["#### 72", "so 72.0 it is", "73", None], ["72"] * 4)
    assert figures["exact_match"] == 0.5
    assert scorer.right is not None
    assert scorer.right("The Tower", "tower")


def test_a_score_of_ones_own_is_a_mean_in_which_no_answer_counts_nothing() -> None:
    scorer = SCORERS[OWN]
    assert scorer.right is None
    figures = scorer.score([1.0, 0.25, None] * 10, ["x"] * 30)
    assert figures["score"] == pytest.approx(1.25 / 3)
    low, high = figures["score_ci"]
    assert low < 1.25 / 3 < high


def test_without_references_there_is_nothing_to_say_of_quality() -> None:
    scorer = SCORERS["generation"]
    assert scorer.score(["a", None], ["", ""]) == {"quality": None, "quality_ci": None}
    assert scorer.difference(["a"], ["b"], [""]) is None
    assert scorer.right is None
