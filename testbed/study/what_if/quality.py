"""How good the answers of a point are, and by how much they beat chance at equal share, with intervals.

A score is a function of what is counted of each answer, averaged over the requests: accuracy of right
answers, BLEU of n-grams and lengths. So its variance follows from the function's gradient (the delta method;
Wasserman, All of Statistics, 5.5), without resampling. Requests of one prompt have one answer and are not
independent: they are taken together (cluster-robust variance; Liang and Zeger, Biometrika 1986).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from testbed.errors import TestbedError
from testbed.results import measures
from testbed.results.measures import Floats, Measure
from testbed.results.scorers import SCORERS
from testbed.results.statistics import CONFIDENCE, LEAST_RESAMPLED, Interval
from testbed.scenario.scores import score_answers

Ints = NDArray[np.int64]
_DEVIATIONS = NormalDist().inv_cdf((1 + CONFIDENCE) / 2)
_STEP = 1e-5
"""Of the numerical gradient, relative to each sum."""


def measure_of(kind: str) -> Measure | None:
    """The measure of answers to a task of that kind; ``None`` for one without any.

    That of a class of the user's raises a :class:`~testbed.errors.TestbedError` when it counts, if the class
    is not there or not as it must be.
    """
    scorer = SCORERS[kind]
    measure = measures.measure_of(scorer)
    if measure is None or scorer.column == "answer":
        return measure
    return replace(measure, count=_scored(kind))  # no run has scored these answers


def _scored(kind: str) -> Callable[[Sequence[str], Sequence[str]], Floats]:
    """One count: the score of each answer by a rule of the user's, which is not trusted."""

    def count(answers: Sequence[str], references: Sequence[str]) -> Floats:
        found = score_answers(kind, zip(answers, references, strict=True))
        if found.failed:
            raise TestbedError(
                f"task.kind: {kind}: {found.failed} of {len(found.scores)} answers get no score "
                f"({found.why}); mend the class"
            )
        return np.array([score or 0.0 for score in found.scores], dtype=np.float64).reshape(-1, 1)

    return count


@dataclass(frozen=True)
class Quality:
    """A point's score, and what as many requests for each tier would have scored, drawn at random.

    ``interval`` is the score's, ``difference`` and its interval that of score and chance on the same
    requests. Intervals are ``None`` of fewer than 10 prompts; the difference is, too, where one tier answers
    all, so that there is nothing to draw.
    """

    score: float
    interval: Interval | None
    chance: float | None = None
    difference: float | None = None
    difference_interval: Interval | None = None


def quality(measure: Measure, counts: Floats, levels: Ints, places: Ints) -> Quality:
    """Score who answered what.

    The control is the expectation over all ways to deal the requests to the tiers, as many to each as
    ``levels`` has: with the share p_t for tier t, the score of the means Σ p_t a_t, where a_t are the means
    if tier t answered all. (Of BLEU, which is not linear, this is the expectation but for terms of the order
    of 1/requests.)

    Args:
        measure: how to score.
        counts: what it counts of each tier's answer to each prompt, (tiers, prompts, counts).
        levels: the tier, from 0, that answers each request.
        places: each request's prompt.
    """
    requests = len(levels)
    chosen = counts[levels, places]
    sums = chosen.sum(axis=0)
    score = float(measure.score(sums, requests))
    influence = (chosen * requests - sums) @ _gradient(measure, sums, requests)
    clusters = _Clusters(places, counts.shape[1])
    interval = None
    if clusters.enough:
        spread = clusters.standard_error(influence)
        interval = _wilson(score, spread, clusters.number) if measure.share else _normal(score, spread)
    served = np.bincount(levels, minlength=len(counts)) / requests
    if np.count_nonzero(served) < 2:
        return Quality(score, interval)
    by_tier = counts[:, places]
    tier_sums = by_tier.sum(axis=1)
    mixed = served @ tier_sums
    chance = float(measure.score(mixed, requests))
    difference = score - chance
    if not clusters.enough:
        return Quality(score, interval, chance, difference)
    drawn = np.tensordot(served, by_tier, axes=1) * requests + tier_sums[levels] - 2 * mixed
    influence -= drawn @ _gradient(measure, mixed, requests)
    reach = _normal(difference, clusters.standard_error(influence))
    return Quality(score, interval, chance, difference, reach)


class _Clusters:
    """Requests by prompt: those of one prompt are no independent observations."""

    def __init__(self, places: Ints, prompts: int) -> None:
        self._places, self._prompts = places, prompts
        self.number = len(np.unique(places))
        self.enough = self.number >= LEAST_RESAMPLED

    def standard_error(self, influence: Floats) -> float:
        """Of a mean of ``influence``, one for each request, whose expectation is 0."""
        sums = np.bincount(self._places, influence, self._prompts)
        return math.sqrt(float(sums @ sums)) / len(influence)


def _gradient(measure: Measure, sums: Floats, requests: int) -> Floats:
    """The score's, by central differences; 0 where nothing was counted, since BLEU is smoothed there."""
    slope = np.zeros(len(sums))
    counted = np.flatnonzero(sums)
    steps = np.zeros((len(counted), len(sums)))
    steps[range(len(counted)), counted] = _STEP * sums[counted]
    rises = measure.score(sums + steps, requests) - measure.score(sums - steps, requests)
    slope[counted] = rises / (2 * _STEP * sums[counted])
    return slope


def _normal(value: float, spread: float) -> Interval:
    return Interval(value - _DEVIATIONS * spread, value + _DEVIATIONS * spread)


def _wilson(share: float, spread: float, clusters: int) -> Interval:
    """Wilson's interval for as many independent requests as have this standard error.

    Without repeated prompts these are all requests, and it is
    :func:`testbed.results.statistics.share_interval`.
    """
    total = share * (1 - share) / spread**2 if spread else float(clusters)
    squared = _DEVIATIONS**2
    centre = (share + squared / (2 * total)) / (1 + squared / total)
    reach = math.sqrt(share * (1 - share) / total + squared / (4 * total**2))
    reach *= _DEVIATIONS / (1 + squared / total)
    return Interval(max(0.0, centre - reach), min(1.0, centre + reach))
