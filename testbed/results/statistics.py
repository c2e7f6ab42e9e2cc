"""Intervals of 95 % confidence for what a run measured: shares, paired differences, percentiles.

scipy.stats is imported inside the functions: it takes about a second, and a finished run is printed without.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

CONFIDENCE = 0.95
RESAMPLES = 2000
LEAST_RESAMPLED = 10
"""An interval by resampling fewer values is too narrow."""


class Interval(NamedTuple):
    """A confidence interval, both ends included."""

    low: float
    high: float


def interval_to_json(interval: Interval | None) -> list[float | None] | None:
    """An interval as a run's JSON files have it: an end at infinity is null."""
    return None if interval is None else [end if math.isfinite(end) else None for end in interval]


class PairedDifference(NamedTuple):
    """The second share less the first, over the same requests; ``p_value`` of no difference."""

    difference: float
    interval: Interval
    p_value: float


class Percentile(NamedTuple):
    """A percentile with an interval between two of the sample's own values."""

    value: float
    interval: Interval


def share_interval(successes: int, total: int) -> Interval:
    """Wilson's score interval of a share, such as an accuracy (Wilson, JASA 1927).

    Raises:
        ValueError: ``total`` is 0, or ``successes`` is not between 0 and it.
    """
    from scipy import stats

    interval = stats.binomtest(successes, total).proportion_ci(CONFIDENCE, method="wilson")
    return Interval(float(interval.low), float(interval.high))


def paired_difference(first: Sequence[bool], second: Sequence[bool]) -> PairedDifference:
    """Compare the shares of two methods that met the same requests, in the same order.

    The interval is Newcombe's hybrid score interval for paired shares (method 10 of Statistics in Medicine
    1998, 17:2635); the p-value is McNemar's exact, two-sided one.

    Raises:
        ValueError: of unequal length, or empty.
    """
    from scipy import stats

    if not first:
        raise ValueError("no requests to compare")
    pairs = list(zip(first, second, strict=True))
    total = len(pairs)
    both = sum(a and b for a, b in pairs)
    only_first = sum(a and not b for a, b in pairs)
    only_second = sum(b and not a for a, b in pairs)
    neither = total - both - only_first - only_second
    difference = (only_second - only_first) / total
    discordant = only_first + only_second
    p_value = float(stats.binomtest(only_second, discordant).pvalue) if discordant else 1.0
    share_1, share_2 = (both + only_first) / total, (both + only_second) / total
    interval_1 = share_interval(both + only_first, total)
    interval_2 = share_interval(both + only_second, total)
    phi = _phi(both, only_first, only_second, neither)

    def reach(a: float, b: float) -> float:
        return math.sqrt(max(0.0, a * a - 2 * phi * a * b + b * b))

    interval = Interval(
        difference - reach(share_2 - interval_2.low, interval_1.high - share_1),
        difference + reach(interval_2.high - share_2, share_1 - interval_1.low),
    )
    return PairedDifference(difference, interval, p_value)


def paired_mean_difference(first: Sequence[float], second: Sequence[float]) -> Interval | None:
    """The interval of the mean of ``second - first`` over the same requests, such as latencies in ms.

    By bootstrap (percentile method, fixed seed). ``None`` for fewer than 10 pairs.

    Raises:
        ValueError: of unequal length.
    """
    from scipy import stats

    if len(first) != len(second):
        raise ValueError(f"{len(first)} values cannot be paired with {len(second)}")
    if len(first) < LEAST_RESAMPLED:
        return None
    differences = np.asarray(second, dtype=float) - np.asarray(first, dtype=float)
    means = stats.bootstrap(
        (differences,),
        np.mean,
        n_resamples=RESAMPLES,
        batch=100,
        confidence_level=CONFIDENCE,
        method="percentile",
        rng=np.random.default_rng(0),
    ).confidence_interval
    return Interval(float(means.low), float(means.high))


def percentile(values: Sequence[float], percent: float) -> Percentile | None:
    """A percentile, linear between order statistics, with an interval free of any distribution.

    The interval's ends are order statistics (David and Nagaraja, Order Statistics, 7.1). Where the sample is
    too small to have both, the percentile itself means little, and the answer is ``None``: the 50th takes 6
    values, the 95th 72, and the 99th 368.

    Raises:
        ValueError: ``percent`` is not strictly between 0 and 100.
    """
    from scipy import stats

    if not 0 < percent < 100:
        raise ValueError(f"a percentile is strictly between 0 and 100, not {percent}")
    if not values:
        return None
    ends = stats.quantile_test(values, p=percent / 100).confidence_interval(CONFIDENCE)
    if math.isnan(ends.low) or math.isnan(ends.high):
        return None
    return Percentile(float(np.percentile(values, percent)), Interval(float(ends.low), float(ends.high)))


def _phi(both: int, only_first: int, only_second: int, neither: int) -> float:
    """Newcombe's correlation of the two shares, corrected for continuity where it is positive."""
    product = both * neither - only_first * only_second
    margins = math.sqrt(
        float(both + only_first) * (only_second + neither) * (both + only_second) * (only_first + neither)
    )
    if margins == 0:
        return 0.0
    if product > 0:
        total = both + only_first + only_second + neither
        product = max(0, 2 * product - total) / 2  # type: ignore[assignment]
    return product / margins


def nearest_rank(ordered: Sequence[float], share: float) -> float:
    """The smallest of these ascending values that ``share`` of them do not exceed."""
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]
