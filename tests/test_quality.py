"""Quality counts every request: one without an answer is wrong."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from testbed.quality import accuracy, accuracy_answered, bleu, correctness, macro_f1

LABELS = ["negative", "positive"]


def test_an_error_counts_as_wrong_in_accuracy_and_not_at_all_among_the_answered() -> None:
    answers = ["positive", None, "negative", "positive"]
    references = ["positive", "positive", "negative", "negative"]
    assert correctness(answers, references) == [True, False, True, False]
    assert accuracy(answers, references) == 0.5
    assert accuracy_answered(answers, references) == pytest.approx(2 / 3)


def test_where_nothing_was_asked_or_answered_there_is_no_figure() -> None:
    assert accuracy([], []) is None
    assert accuracy_answered([None], ["positive"]) is None
    assert macro_f1([], [], LABELS) is None
    assert bleu([], []) is None


def test_unequal_lengths_are_a_defect_and_not_a_figure() -> None:
    with pytest.raises(ValueError, match="argument 2 is longer"):
        accuracy(["positive"], ["positive", "negative"])
    with pytest.raises(ValueError, match="1 answers for 2 references"):
        bleu(["a"], ["a", "b"])


def test_macro_f1_weighs_labels_alike() -> None:
    # positive: 1 hit, 3 answered, 1 asked; negative: 1 hit, 1 answered, 3 asked.
    answers = ["positive", "positive", "positive", "negative"]
    references = ["positive", "negative", "negative", "negative"]
    assert macro_f1(answers, references, LABELS) == pytest.approx((2 / 4 + 2 / 4) / 2)


def test_an_error_lowers_recall_of_its_reference_alone() -> None:
    assert macro_f1(["positive", None], ["positive", "negative"], LABELS) == pytest.approx(0.5)
    assert macro_f1(["positive", None], ["positive", "positive"], ["positive"]) == pytest.approx(2 / 3)


@given(st.lists(st.sampled_from(LABELS), min_size=1))
def test_right_answers_are_perfect(references: list[str]) -> None:
    assert accuracy(references, references) == 1.0
    assert macro_f1(references, references, sorted(set(references))) == 1.0


def test_bleu_is_sacrebleus() -> None:
    references = ["The quick brown fox jumps over the lazy dog.", "A second sentence stands here."]
    assert bleu(references, references) == pytest.approx(100.0)
    half = bleu([references[0], None], references)
    assert half is not None
    assert 0 < half < 100
    import sacrebleu

    assert half == sacrebleu.corpus_bleu([references[0], ""], [references]).score
