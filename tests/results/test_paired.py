"""Differences have p-values that others find too, and prompts asked again prove nothing new."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats

from testbed.results.paired import (
    TRIALS,
    ScoreDifference,
    exchanged_p,
    holm,
    share_difference,
)
from testbed.results.quality import (
    bleu_difference,
    chrf_difference,
    macro_f1,
    macro_f1_difference,
    mean_difference,
)
from testbed.results.resampling import Prompts
from testbed.results.statistics import paired_difference

WORDS = [f"word{number}" for number in range(80)]


def known(found: ScoreDifference | None) -> ScoreDifference:
    assert found is not None
    return found


def texts(random: np.random.Generator, references: list[str], spoiled: float) -> list[str]:
    """References of which each word is wrong with that chance."""
    return [
        " ".join("wrong" if random.random() < spoiled else word for word in reference.split())
        for reference in references
    ]


@pytest.fixture(scope="module")
def translated() -> tuple[list[str], list[str], list[str]]:
    """Answers of two systems that hardly differ, and the references."""
    random = np.random.default_rng(3)
    references = [" ".join(random.choice(WORDS, 9)) for _ in range(60)]
    return texts(random, references, 0.25), texts(random, references, 0.36), references


@given(st.lists(st.sampled_from([-1, 0, 1]), max_size=200))
def test_of_prompts_asked_once_the_test_is_mcnemars(differences: list[int]) -> None:
    up, down = differences.count(1), differences.count(-1)
    expected = stats.binomtest(up, up + down).pvalue if up + down else 1.0
    assert exchanged_p(differences) == pytest.approx(expected)


@given(st.lists(st.integers(-4, 4), max_size=9))
def test_of_prompts_asked_several_times_it_counts_all_signs(differences: list[int]) -> None:
    sums = [
        abs(sum(sign * each for sign, each in zip(signs, differences, strict=True)))
        for signs in product((-1, 1), repeat=len(differences))
    ]
    as_far = sum(each >= abs(sum(differences)) for each in sums)
    assert exchanged_p(differences) == pytest.approx(as_far / len(sums))


def test_shares_without_repeated_prompts_are_compared_as_ever() -> None:
    random = np.random.default_rng(0)
    first, second = (random.random(80) < 0.7).tolist(), (random.random(80) < 0.6).tolist()
    assert tuple(known(share_difference(first, second, range(80)))) == tuple(paired_difference(first, second))
    assert share_difference([], [], []) is None


def asked_again(
    random: np.random.Generator, better: float
) -> tuple[NDArray[np.bool_], NDArray[np.bool_], list[int]]:
    """Five runs of 150 of the same 300 prompts, to which methods have always the same answers."""
    draw = random.random(300)
    first, second = draw < 0.75, (draw < 0.6) | (draw > 0.85 - better)
    prompts = np.concatenate([random.permutation(300)[:150] for _ in range(5)])
    return first[prompts], second[prompts], prompts.tolist()


def test_the_interval_covers_the_truth_where_prompts_repeat() -> None:
    random = np.random.default_rng(1)
    covered = plain = 0
    for _ in range(250):
        first, second, prompts = asked_again(random, 0.05)
        one, other = first.tolist(), second.tolist()
        found = known(share_difference(one, other, prompts)).interval
        assert found is not None
        covered += found.low <= 0.05 <= found.high
        low, high = paired_difference(one, other).interval
        plain += low <= 0.05 <= high
    assert covered >= 0.92 * 250
    assert plain < 0.85 * 250


def test_the_test_errs_no_oftener_than_it_says_where_prompts_repeat() -> None:
    random = np.random.default_rng(2)
    false = plain = 0
    for _ in range(250):
        first, second, prompts = asked_again(random, 0.0)
        one, other = first.tolist(), second.tolist()
        false += known(share_difference(one, other, prompts)).p_value < 0.05
        plain += paired_difference(one, other).p_value < 0.05
    assert false <= 0.07 * 250
    assert plain > 0.12 * 250


def test_few_prompts_have_no_interval_however_often_they_are_asked() -> None:
    found = known(share_difference([True] * 40, [False] * 40, list(range(8)) * 5))
    assert (found.difference, found.interval) == (-1.0, None)
    assert found.p_value == pytest.approx(2 * 0.5**8)


def test_p_values_of_bleu_and_chrf_are_sacrebleus(translated: tuple[list[str], list[str], list[str]]) -> None:
    from sacrebleu.metrics import BLEU, CHRF
    from sacrebleu.significance import PairedTest

    first, second, references = translated
    _, others = PairedTest([("1", first), ("2", second)], {"b": BLEU(), "c": CHRF()}, [references])()
    for name, difference in (("BLEU", bleu_difference), ("chrF2", chrf_difference)):
        found, (one, other) = known(difference(first, second, references)), others[name]
        assert not isinstance(one, str)
        assert not isinstance(other, str)
        assert other.p_value is not None
        assert found.difference == pytest.approx(other.score - one.score)
        assert 0.01 < found.p_value < 0.5
        by_chance = 4 * (2 * other.p_value * (1 - other.p_value) / TRIALS) ** 0.5
        assert found.p_value == pytest.approx(other.p_value, abs=by_chance)


def test_prompts_asked_twice_with_the_same_answers_prove_what_they_prove_once(
    translated: tuple[list[str], list[str], list[str]],
) -> None:
    first, second, references = translated
    once = bleu_difference(first, second, references)
    prompts: Prompts = list(range(60)) * 2
    assert bleu_difference(first * 2, second * 2, references * 2, prompts) == once
    assert known(bleu_difference(first * 2, second * 2, references * 2)).p_value < known(once).p_value


@pytest.mark.parametrize("difference", [bleu_difference, chrf_difference, macro_f1_difference])
def test_no_difference_and_the_greatest(difference: Callable[..., ScoreDifference | None]) -> None:
    answers, references = ["right it is now then"] * 30, ["right it is now then"] * 30
    assert difference(answers, answers, references) == (0.0, (0.0, 0.0), 1.0)
    assert known(difference(answers, [None] * 30, references)).p_value == 1 / (TRIALS + 1)
    assert difference([], [], []) is None


def test_means_are_tested_by_all_signs_of_their_differences() -> None:
    random = np.random.default_rng(5)
    first = random.random(11)
    later = random.normal(0.2, 0.4, 11)
    found = known(mean_difference(first.tolist(), (first + later).tolist()))
    signs = np.array(list(product((-1, 1), repeat=11)))
    as_far = np.mean(np.abs(signs @ later) >= abs(later.sum()) - 1e-12)
    assert found.difference == pytest.approx(later.mean())
    assert found.p_value == pytest.approx(as_far, abs=0.02)
    assert found == mean_difference(first.tolist(), (first + later).tolist())


def test_a_difference_in_macro_f1_is_that_of_both() -> None:
    random = np.random.default_rng(6)
    labels = ["a", "b", "c"]
    references = random.choice(labels, 200, p=[0.6, 0.3, 0.1]).tolist()
    first, second = (
        [None if random.random() < 0.05 else one if random.random() < right else "a" for one in references]
        for right in (0.8, 0.6)
    )
    scores = [macro_f1(answers, references) for answers in (first, second)]
    assert scores[0]
    assert scores[1]
    found = known(macro_f1_difference(first, second, references))
    assert found.interval is not None
    assert found.difference == pytest.approx(scores[1].score - scores[0].score)
    assert found.interval.low < found.difference < found.interval.high


def test_p_values_are_adjusted_as_in_holms_example() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.9]) == [1.0, 1.0]
    assert holm([]) == []
