"""Quality counts every request: one without an answer is wrong."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from testbed.results.quality import (
    Scored,
    accuracy,
    accuracy_answered,
    bleu,
    bleu_difference,
    chrf,
    correctness,
    macro_f1,
)

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
    assert macro_f1([], []) is None
    assert bleu([], []) is None


def test_unequal_lengths_are_a_defect_and_not_a_figure() -> None:
    with pytest.raises(ValueError, match="argument 2 is longer"):
        accuracy(["positive"], ["positive", "negative"])
    with pytest.raises(ValueError, match="argument 2 is longer"):
        bleu(["a"], ["a", "b"])


def f1(answers: list[str | None], references: list[str]) -> float:
    found = macro_f1(answers, references)
    assert found is not None
    return found.score


def test_macro_f1_weighs_labels_alike() -> None:
    # positive: 1 hit, 3 answered, 1 asked; negative: 1 hit, 1 answered, 3 asked.
    answers: list[str | None] = ["positive", "positive", "positive", "negative"]
    references = ["positive", "negative", "negative", "negative"]
    assert f1(answers, references) == pytest.approx((2 / 4 + 2 / 4) / 2)


def test_an_error_or_another_word_lowers_recall_of_its_reference_alone() -> None:
    for answer in (None, "maybe"):
        assert f1(["positive", answer], ["positive", "negative"]) == pytest.approx(0.5)
        assert f1(["positive", answer], ["positive", "positive"]) == pytest.approx(2 / 3)


def by_hand(answers: list[str | None], references: list[str]) -> float:
    scores = []
    for label in set(references):
        hits = sum(
            answer == reference == label for answer, reference in zip(answers, references, strict=True)
        )
        scores.append(2 * hits / (answers.count(label) + references.count(label)))
    return sum(scores) / len(scores)


@given(st.lists(st.tuples(st.sampled_from([*LABELS, "neutral", None]), st.sampled_from(LABELS)), min_size=1))
def test_macro_f1_is_the_mean_of_the_labels_f1_and_its_interval_holds_it(
    pairs: list[tuple[str | None, str]],
) -> None:
    answers, references = [answer for answer, _ in pairs], [reference for _, reference in pairs]
    assert f1(answers, references) == pytest.approx(by_hand(answers, references))


def test_macro_f1s_interval_is_that_of_resampled_requests() -> None:
    draws = np.random.default_rng(4)
    references = draws.choice(LABELS, size=300, p=[0.8, 0.2]).tolist()
    answers = [reference if draws.random() < 0.8 else draws.choice(LABELS) for reference in references]
    found = macro_f1(answers, references)
    assert found is not None
    assert found.interval is not None
    picks = draws.integers(0, 300, (1000, 300))
    resampled = [by_hand([answers[at] for at in pick], [references[at] for at in pick]) for pick in picks]
    assert found.interval == pytest.approx(np.quantile(resampled, [0.025, 0.975]), abs=0.01)
    assert found == macro_f1(answers, references)
    few = macro_f1(answers[:9], references[:9])
    assert few is not None
    assert few.interval is None


@given(st.lists(st.sampled_from(LABELS), min_size=1))
def test_right_answers_are_perfect(references: list[str]) -> None:
    assert accuracy(references, references) == 1.0
    assert f1([*references], references) == 1.0


SENTENCES = [
    "The quick brown fox jumps over the lazy dog.",
    "A second sentence stands here.",
    "Nobody knows what the third one of them says to the others.",
]


def scored(answers: list[str | None], references: list[str]) -> Scored:
    found = bleu(answers, references)
    assert found is not None
    return found


def test_bleu_is_sacrebleus() -> None:
    references = SENTENCES[:2]
    assert scored([*references], references).score == pytest.approx(100.0)
    half = scored([references[0], None], references)
    assert 0 < half.score < 100
    import sacrebleu

    assert half.score == sacrebleu.corpus_bleu([references[0], ""], [references]).score
    assert scored([None, None], references).score == 0
    assert half.interval is None  # of two sentences


def test_bleus_interval_holds_it_and_narrows_with_more_requests() -> None:
    few = scored([SENTENCES[0], "A second one.", None] * 10, SENTENCES * 10)
    many = scored([SENTENCES[0], "A second one.", None] * 60, SENTENCES * 60)
    assert few.interval is not None
    assert many.interval is not None
    assert few.interval.low < few.score < few.interval.high
    narrower = (many.interval.high - many.interval.low) / (few.interval.high - few.interval.low)
    assert narrower == pytest.approx(6**-0.5, rel=0.2)
    assert few == scored([SENTENCES[0], "A second one.", None] * 10, SENTENCES * 10)


def test_chrf_is_sacrebleus() -> None:
    import sacrebleu

    answers = [SENTENCES[0].replace("fox", "cat"), None, "a", "", SENTENCES[1]]
    references = [SENTENCES[0], SENTENCES[1], "ab", "x", SENTENCES[2]]
    whole = [answer or "" for answer in answers]
    found = chrf(answers, references)
    assert found is not None
    assert found.score == pytest.approx(sacrebleu.corpus_chrf(whole, [references]).score, abs=1e-9)
    many = chrf(answers * 10, references * 10)
    assert many is not None
    assert many.interval is not None
    assert many.interval.low < many.score < many.interval.high
    assert chrf([None], ["a"]) == (0.0, None)
    assert chrf([], []) is None


def test_a_difference_in_bleu_is_paired() -> None:
    references = SENTENCES * 20
    good: list[str | None] = [one.replace("fox", "cat").replace("here", "there") for one in references]
    worse = [None if number % 6 == 5 else answer for number, answer in enumerate(good)]
    found, same = bleu_difference(good, worse, references), bleu_difference(good, good, references)
    assert found is not None
    assert found.interval is not None
    apart = scored(worse, references).score - scored(good, references).score
    assert found.difference == pytest.approx(apart)
    assert found.interval.low < found.difference < found.interval.high < 0
    assert found.p_value < 0.01
    assert same == (0.0, (0.0, 0.0), 1.0)
    assert bleu_difference([], [], []) is None
