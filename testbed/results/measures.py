"""Scores as functions of sums over requests: these can be resampled and mixed without the texts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from testbed.results.quality import bleu_counts, correctness
from testbed.results.scorers import Right, Scorer

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Measure:
    """A score of answers: ``count`` gives a row for each answer, ``score`` makes numbers of their sums.

    ``count`` gets what the task's scorer judges, ``None`` for a request without an answer, and the
    references. ``score`` gets sums of the shape (…, counts), which need not be whole numbers, and of how many
    answers each of them is, of the shape (…). ``share`` says that it is the mean of zeros and ones.
    """

    count: Callable[[Sequence[Any], Sequence[str]], Floats]
    score: Callable[[Floats, ArrayLike], Floats]
    share: bool


def measure_of(scorer: Scorer) -> Measure | None:
    """The measure of a task's scorer; ``None`` where there is nothing to judge."""
    if scorer.key == "bleu":
        return Measure(bleu_counts, _bleu, share=False)
    if scorer.right is not None:
        return Measure(_hits(scorer.right), _mean, share=True)
    if scorer.column == "score":
        return Measure(_scores, _mean, share=False)
    return None


def _hits(right: Right) -> Callable[[Sequence[Any], Sequence[str]], Floats]:
    def count(answers: Sequence[Any], references: Sequence[str]) -> Floats:
        return np.array(correctness(answers, references, right), dtype=np.float64).reshape(-1, 1)

    return count


def _scores(scores: Sequence[float | None], _references: Sequence[str]) -> Floats:
    return np.array([score or 0.0 for score in scores], dtype=np.float64).reshape(-1, 1)


def _mean(sums: Floats, answers: ArrayLike) -> Floats:
    return np.asarray(sums[..., 0] / np.asarray(answers, dtype=np.float64))


def _bleu(sums: Floats, _answers: ArrayLike) -> Floats:
    """As :func:`testbed.results.quality.bleu_of`, of sums that need not be whole numbers."""
    matches, totals, ours, theirs = sums[..., :4], sums[..., 4:8], sums[..., 8], sums[..., 9]
    possible = (totals > 0).all(axis=-1) & (matches > 0).any(axis=-1)
    halved = 2.0 ** np.cumsum(matches <= 0, axis=-1)  # what takes the place of orders without a match
    counted, there = np.where(matches > 0, matches, 1 / halved), np.where(totals > 0, totals, 1.0)
    brevity = np.minimum(0.0, 1 - theirs / np.where(ours > 0, ours, 1.0))
    scores = 100 * np.exp(brevity + np.log(counted / there).mean(axis=-1))
    return np.asarray(np.where(possible, scores, 0.0), dtype=np.float64)
