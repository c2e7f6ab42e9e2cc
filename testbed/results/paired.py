"""Differences between two methods that met the same requests, each with an interval and a p-value.

Requests that ask the same prompt tell little more than one of them: answered alike they would count the same
difference several times. So they are a group, which is drawn, or exchanged, as a whole.

scipy is imported inside the functions, as in the statistics.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from testbed.results.resampling import Floats, Prompts, by_prompt, interval, resampled
from testbed.results.statistics import LEAST_RESAMPLED, RESAMPLES, ROUNDING, Interval, paired_difference

TRIALS = 10_000
"""Of a randomisation test, as in sacrebleu; so no p-value is below 1 / 10,001."""
_AT_A_TIME = 100
"""Trials that are held in memory together."""

Counts = Floats
"""A row for each request or group, of what is summed before a score is made of it."""
Score = Callable[[Counts], Counts]
"""Makes a score of each row of sums."""


class ScoreDifference(NamedTuple):
    """The second's score less the first's. ``interval`` is ``None`` for fewer than 10 prompts."""

    difference: float
    interval: Interval | None
    p_value: float


def counted_difference(
    first: Counts, second: Counts, score: Score, prompts: Prompts | None = None
) -> ScoreDifference | None:
    """Compare scores that are made of sums over requests, such as BLEU; ``None`` without requests.

    The interval is by resampling prompts, the same for both (Koehn, EMNLP 2004; percentile method). The
    p-value is that of the approximate randomisation test: in how many of 10,000 trials, in each of which the
    two methods' answers to half of the prompts change places by chance, they differ as much as they do, or
    more; itself counted among them (Riezler and Maxwell, ACL workshop 2005). The seed is fixed.
    """
    if not len(first):
        return None
    if prompts is not None:
        first, second = by_prompt(first, prompts), by_prompt(second, prompts)
    one, other = score(np.array([first.sum(axis=0), second.sum(axis=0)]))
    found = None
    if len(first) >= LEAST_RESAMPLED:
        drawn = np.split(resampled(np.hstack([first, second]), RESAMPLES), 2, axis=1)
        found = interval(score(drawn[1]) - score(drawn[0]))
    return ScoreDifference(float(other - one), found, _randomised_p(first, second, score))


def _randomised_p(first: Counts, second: Counts, score: Score) -> float:
    apart = (second - first)[(second != first).any(axis=1)]  # the others may change places as they like
    totals = first.sum(axis=0), second.sum(axis=0)
    one, other = score(np.array(totals))
    chance, as_far = np.random.default_rng(0), 0
    for _ in range(TRIALS // _AT_A_TIME):
        moved = chance.integers(2, size=(_AT_A_TIME, len(apart))).astype(np.float64) @ apart
        differences = score(totals[1] - moved) - score(totals[0] + moved)
        as_far += int((np.abs(differences) >= abs(other - one) - ROUNDING).sum())
    return (as_far + 1) / (TRIALS + 1)


def share_difference(
    first: Sequence[bool], second: Sequence[bool], prompts: Prompts | None = None
) -> ScoreDifference | None:
    """Compare the shares of right answers over the same requests; ``None`` without requests.

    Where no prompt is asked twice it is :func:`testbed.results.statistics.paired_difference`: Newcombe's
    interval and McNemar's exact test. Where prompts repeat, the interval is stretched by the design effect
    (Rao and Scott, Biometrics 1992, 48:577), and the test is McNemar's with prompts in place of requests: the
    sum of differences of each prompt has either sign with the same chance (Obuchowski, Statistics in Medicine
    1998, 17:1495, but exact).
    """
    if not first:
        return None
    found = paired_difference(first, second)
    if prompts is None or len(set(prompts)) == len(prompts):
        return ScoreDifference(*found)
    later = np.array(second, dtype=np.float64) - np.array(first, dtype=np.float64)
    sums, sizes = by_prompt(np.column_stack([later, np.ones_like(later)]), prompts).T
    p_value = exchanged_p([round(total) for total in sums])
    if len(sums) < LEAST_RESAMPLED:
        return ScoreDifference(found.difference, None, p_value)
    stretch = math.sqrt(_design_effect(later, sums, sizes))
    low, high = (found.difference + stretch * (end - found.difference) for end in found.interval)
    return ScoreDifference(found.difference, Interval(max(-1.0, low), min(1.0, high)), p_value)


def _design_effect(values: Counts, sums: Counts, sizes: Counts) -> float:
    """How many times the variance of the mean is that of independent values; at least 1."""
    mean, groups, count = values.mean(), len(sums), len(values)
    independent = float(((values - mean) ** 2).sum()) * count / (count - 1)
    if not independent:
        return 1.0
    clustered = float(((sums - sizes * mean) ** 2).sum()) * groups / (groups - 1)
    return max(1.0, clustered / independent)


def exchanged_p(differences: Sequence[int]) -> float:
    """The chance of a sum as far from 0, or farther, if each of these had either sign with the same chance.

    Exact. Where all are -1, 0 or 1 it is McNemar's test.
    """
    from scipy import stats

    sizes = Counter(abs(each) for each in differences if each)
    total = sum(size * count for size, count in sizes.items())
    chances = np.ones(1)  # of each sum of those that are positive
    for size, count in sizes.items():
        spread = np.zeros(size * count + 1)
        spread[::size] = stats.binom.pmf(np.arange(count + 1), count, 0.5)
        chances = np.convolve(chances, spread)
    far = np.abs(2 * np.arange(total + 1) - total) >= abs(sum(differences))
    return min(1.0, float(chances[far].sum()))


def holm(p_values: Sequence[float]) -> list[float]:
    """P-values of several comparisons, so that the chance of any false one stays what each says.

    The k-th smallest of n counts n - k + 1 times, and none less than a smaller one (Holm, Scandinavian
    Journal of Statistics 1979, 6:65).
    """
    order = sorted(range(len(p_values)), key=p_values.__getitem__)
    adjusted, least = [0.0] * len(p_values), 0.0
    for at, position in enumerate(order):
        least = max(least, min(1.0, (len(p_values) - at) * p_values[position]))
        adjusted[position] = least
    return adjusted
