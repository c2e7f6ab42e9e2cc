"""Intervals without resampling agree with resampling, and the control is what dealing at random gives."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from testbed.errors import TestbedError
from testbed.results.measures import Measure
from testbed.results.quality import bleu_counts, bleu_of
from testbed.results.statistics import share_interval
from testbed.study.what_if.quality import Quality, measure_of, quality
from tests.host.embedded.translation.small_packages import sentence_pairs

ACCURACY, BLEU = (Measure(**vars(measure_of(kind))) for kind in ("classification", "translation"))
Counts = NDArray[np.float64]
Ints = NDArray[np.int64]


def accuracies(requests: int, chance: np.random.Generator) -> tuple[Counts, Ints]:
    """Right answers of three tiers, and levels that know something of them."""
    right = np.array([chance.random(requests) < share for share in (0.6, 0.75, 0.9)], dtype=float)
    hard = chance.random(requests) + 0.8 * (1 - right[0])
    levels = np.digitize(hard, np.quantile(hard, [0.6, 0.9]))
    return right[:, :, np.newaxis], levels


def translations(requests: int, chance: np.random.Generator) -> tuple[Counts, Ints]:
    """BLEU's counts of three tiers that lose ever fewer words."""
    references = [german for _, german in sentence_pairs()]
    drawn = [references[at] for at in chance.integers(0, len(references), requests)]
    counts = []
    for lost in (0.45, 0.3, 0.1):
        answers = [
            " ".join(word if chance.random() > lost else "Wort" for word in text.split()) for text in drawn
        ]
        counts.append(bleu_counts(answers, drawn).astype(float))
    hard = chance.random(requests) - 0.05 * counts[0][:, 3]
    return np.array(counts), np.digitize(hard, np.quantile(hard, [0.6, 0.9]))


def resampled(measure: Measure, counts: Counts, levels: Ints, places: Ints, times: int = 600) -> Counts:
    """Score and difference from chance of that many samples of prompts, drawn with replacement."""
    chance, prompts = np.random.default_rng(3), counts.shape[1]
    found = []
    for _ in range(times):
        weights = chance.multinomial(prompts, np.full(prompts, 1 / prompts))[places].astype(float)
        total = float(weights.sum())
        score = measure.score(weights @ counts[levels, places], total)
        shares = [float(weights[levels == tier].sum()) / total for tier in range(len(counts))]
        sums = np.tensordot(np.array(shares), np.einsum("r,trc->tc", weights, counts[:, places]), axes=1)
        found.append((score, score - measure.score(sums, total)))
    return np.array(found)


def halves(found: Quality) -> tuple[float, float]:
    """Half of each interval in standard errors."""
    assert found.interval is not None
    assert found.difference_interval is not None
    ends = (found.interval, found.difference_interval)
    return tuple((end.high - end.low) / 2 / 1.959964 for end in ends)  # type: ignore[return-value]


@pytest.mark.parametrize("repeats", [1, 4])
@pytest.mark.parametrize("task", ["accuracy", "bleu"])
def test_standard_errors_are_those_of_resampled_prompts(task: str, repeats: int) -> None:
    chance = np.random.default_rng(11)
    measure = ACCURACY if task == "accuracy" else BLEU
    counts, levels = (accuracies if task == "accuracy" else translations)(700, chance)
    places = np.tile(np.arange(700), repeats)
    levels = np.concatenate([levels, *(chance.permutation(levels) for _ in range(repeats - 1))])
    found = quality(measure, counts, levels, places)
    expected = resampled(measure, counts, levels, places).std(axis=0)
    assert halves(found) == pytest.approx(expected, rel=0.12)


def test_without_repeated_prompts_the_interval_of_an_accuracy_is_wilsons() -> None:
    counts, levels = accuracies(500, np.random.default_rng(2))
    found = quality(ACCURACY, counts, levels, np.arange(500))
    right = int(counts[levels, np.arange(500)].sum())
    assert found.score == right / 500
    assert found.interval == pytest.approx(share_interval(right, 500))


@pytest.mark.parametrize("right", [0.0, 1.0])
def test_an_accuracy_at_its_end_has_wilsons_interval_of_as_many_prompts(right: float) -> None:
    counts = np.full((2, 40, 1), right)
    places = np.tile(np.arange(40), 3)
    found = quality(ACCURACY, counts, np.zeros(120, dtype=np.int64), places)
    assert found.interval == pytest.approx(share_interval(int(40 * right), 40))


@pytest.mark.parametrize("task", ["accuracy", "bleu"])
def test_chance_is_the_mean_over_deals_of_the_same_numbers(task: str) -> None:
    chance = np.random.default_rng(4)
    measure = ACCURACY if task == "accuracy" else BLEU
    counts, levels = (accuracies if task == "accuracy" else translations)(600, chance)
    found = quality(measure, counts, levels, np.arange(600))
    deals = [
        measure.score(counts[chance.permutation(levels), np.arange(600)].sum(axis=0), 600) for _ in range(800)
    ]
    assert found.chance == pytest.approx(np.mean(deals), abs=4 * np.std(deals) / np.sqrt(800))
    assert found.chance is not None
    assert found.difference == pytest.approx(found.score - found.chance)


def test_a_score_is_that_of_a_run() -> None:
    counts, levels = translations(300, np.random.default_rng(6))
    found = quality(BLEU, counts, levels, np.arange(300))
    assert found.score == pytest.approx(bleu_of(counts[levels, np.arange(300)].sum(axis=0).astype(np.int64)))


@pytest.mark.parametrize(
    ("answers", "references"),
    [
        (["das Paket ist da", "nichts"], ["das Paket ist hier", "gar nichts"]),
        (["das Paket ist nun da"] * 3, ["das Paket ist nun wirklich da"] * 3),
        (["ein Wort"] * 2, ["ein Wort mehr"] * 2),
        (["anders"], ["nichts davon"]),
        ([""], ["nichts davon"]),
    ],
)
def test_bleu_is_sacrebleus_where_n_grams_are_missing_and_answers_are_short(
    answers: list[str], references: list[str]
) -> None:
    counts = bleu_counts(answers, references)
    expected = bleu_of(counts.sum(axis=0))
    assert BLEU.score(counts.sum(axis=0).astype(float), len(answers)) == pytest.approx(expected)


def test_levels_that_know_nothing_do_not_beat_chance_and_such_that_know_do() -> None:
    chance = np.random.default_rng(8)
    counts, levels = accuracies(2000, chance)
    knowing = quality(ACCURACY, counts, levels, np.arange(2000)).difference_interval
    blind = quality(ACCURACY, counts, chance.permutation(levels), np.arange(2000)).difference_interval
    assert knowing is not None
    assert blind is not None
    assert knowing.low > 0.02
    assert blind.low < 0 < blind.high


def test_one_tier_that_answers_all_has_no_chance_to_be_held_against() -> None:
    counts, _ = accuracies(50, np.random.default_rng(1))
    found = quality(ACCURACY, counts, np.full(50, 2), np.arange(50))
    assert found.interval is not None
    assert (found.chance, found.difference, found.difference_interval) == (None, None, None)


def test_fewer_than_ten_prompts_have_no_interval_however_often_they_are_asked() -> None:
    counts, levels = accuracies(9, np.random.default_rng(1))
    places = np.tile(np.arange(9), 20)
    found = quality(ACCURACY, counts, np.tile(levels, 20), places)
    assert (found.interval, found.difference_interval) == (None, None)
    assert found.difference is not None


def test_a_corpus_without_a_match_has_a_score_and_an_interval_that_are_finite() -> None:
    counts = np.stack([bleu_counts(["ganz anders hier"] * 20, ["nichts davon da"] * 20)] * 2).astype(float)
    found = quality(BLEU, counts, np.arange(20) % 2, np.arange(20))
    assert found.score == found.chance
    assert found.interval is not None
    assert np.isfinite(found.interval).all()


def test_each_kind_of_task_is_scored_by_its_own_rule(tmp_path: Path) -> None:
    question = measure_of("question")
    assert question is not None
    assert question.share
    assert question.count(["It is 7.", "8"], ["#### 7", "#### 7"]).tolist() == [[1.0], [0.0]]
    assert measure_of("generation") is None
    (tmp_path / "mine.py").write_text(
        "from tiers.tasks import Task\n\n\nclass Half(Task):\n"
        "    def score(self, answer, reference):\n        return 0.5 if answer == reference else 0\n"
    )
    own = measure_of(f"{tmp_path / 'mine.py'}:Half")
    assert own is not None
    counts = own.count(["a", "b"] * 10, ["a"] * 20)[np.newaxis]
    found = quality(own, counts, np.zeros(20, dtype=np.int64), np.arange(20))
    assert found.score == 0.25
    assert found.interval == pytest.approx(
        (0.25 - 1.96 * 0.25 / 20**0.5, 0.25 + 1.96 * 0.25 / 20**0.5), rel=1e-4
    )


@pytest.mark.parametrize(
    ("said", "why"),
    [("{}[answer]", "score raised KeyError"), ("7", "score returned 7.0, which is no number in")],
)
def test_a_users_rule_that_gives_no_score_is_told_in_one_sentence(
    said: str, why: str, tmp_path: Path
) -> None:
    path = tmp_path / "mine.py"
    path.write_text(
        "from tiers.tasks import Task\n\n\nclass Mine(Task):\n"
        f"    def score(self, answer, reference):\n        return {said}\n"
    )
    measure = measure_of(f"{path}:Mine")
    assert measure is not None
    with pytest.raises(TestbedError, match=rf"^task.kind: .*: 2 of 2 answers get no score \({why}"):
        measure.count(["good", "bad"], ["good", "good"])
