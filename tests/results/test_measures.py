"""A score of sums is the score of the answers that were summed."""

from __future__ import annotations

import numpy as np
import pytest

from testbed.results.measures import Measure, measure_of
from testbed.results.quality import bleu_counts, bleu_of
from testbed.results.scorers import SCORERS


def measure(kind: str) -> Measure:
    found = measure_of(SCORERS[kind])
    assert found is not None
    return found


def test_rows_of_sums_have_a_score_each() -> None:
    bleu, chance = measure("translation"), np.random.default_rng(1)
    words = ["the", "old", "film", "is", "a", "very", "good", "one", "that", "was", "not", "shown"]
    references = [" ".join(chance.choice(words, 8)) for _ in range(30)]
    answers = [" ".join(chance.permutation(text.split())[:kept]) for kept, text in enumerate(references)]
    counts = bleu.count(answers, references)
    assert (counts == bleu_counts(answers, references)).all()
    drawn = chance.integers(0, 3, (40, 30)) @ counts
    assert bleu.score(drawn, 30) == pytest.approx([bleu_of(row) for row in drawn.astype(np.int64)])
    assert list(bleu.score(np.zeros((2, 10)), 30)) == [0, 0]


def test_a_request_without_an_answer_counts_as_wrong() -> None:
    accuracy = measure("classification")
    counts = accuracy.count(["positive", None, "negative"], ["positive", "positive", "positive"])
    assert counts.tolist() == [[1], [0], [0]]
    assert accuracy.score(counts.sum(axis=0), 3) == pytest.approx(1 / 3)
    assert accuracy.share


def test_there_is_none_where_nothing_is_judged() -> None:
    assert measure_of(SCORERS["generation"]) is None
