"""Every kind of task has one scorer, whose figures bear its name."""

from __future__ import annotations

import pytest

from testbed.results.scorers import SCORERS
from testbed.scenario.workload.datasets import DATASETS

REFERENCES = ["A first sentence stands here.", "The quick brown fox jumps over the lazy dog."] * 6
WORSE: list[str | None] = [*REFERENCES[:6], *[None] * 6]


def test_every_kind_of_task_has_a_scorer() -> None:
    assert {dataset.kind for dataset in DATASETS.values()} <= set(SCORERS)


@pytest.mark.parametrize("kind", SCORERS)
def test_a_score_and_its_interval_are_found_by_their_keys(kind: str) -> None:
    scorer = SCORERS[kind]
    figures = scorer.score(WORSE, REFERENCES)
    low, high = figures[scorer.interval_key]
    assert low <= figures[scorer.key] <= high
    assert scorer.difference_key == f"{scorer.key}_vs_cloud_only"


@pytest.mark.parametrize("kind", SCORERS)
def test_a_difference_is_the_second_score_less_the_first_with_its_interval(kind: str) -> None:
    scorer = SCORERS[kind]
    found = scorer.difference(REFERENCES, WORSE, REFERENCES)
    assert found is not None
    first, second = (scorer.score(answers, REFERENCES)[scorer.key] for answers in (REFERENCES, WORSE))
    assert found["difference"] == pytest.approx(second - first)
    low, high = found["ci"]
    assert low <= found["difference"] <= high < 0
    assert scorer.difference([], [], []) is None
