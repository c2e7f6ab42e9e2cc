"""Intervals of 95 % confidence for what a run measured: shares, paired differences, percentiles.

scipy.stats is imported inside the functions: it takes about a second, and a finished run is printed without.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

CONFIDENCE = 0.95
RESAMPLES = 2000
LEAST_RESAMPLED = 10
"""An interval from fewer values, by resampling or as a mean's, is too narrow."""
ROUNDING = 1e-9


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


class Estimate(NamedTuple):
    """A figure with its interval; ``None`` where there is too little to have one."""

    value: float
    interval: Interval | None


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
    """The interval of the mean of ``second - first`` over the same requests in their order in time.

    Raises:
        ValueError: of unequal length.
    """
    if len(first) != len(second):
        raise ValueError(f"{len(first)} values cannot be paired with {len(second)}")
    return mean_interval([later - earlier for earlier, later in zip(first, second, strict=True)])


def mean_interval(values: Sequence[float]) -> Interval | None:
    """The interval of the mean of values in their order in time.

    By Student's t over as many values as :func:`effective_size` says. ``None`` for fewer than 10.
    """
    return mean_of_runs([values]).interval if len(values) else None


class MeanOfRuns(NamedTuple):
    """A mean, its interval, and the p-value of a mean of 0: both by Student's t over ``units``."""

    mean: float
    interval: Interval | None
    p_value: float | None
    units: Literal["requests", "runs"]


def mean_of_runs(runs: Sequence[Sequence[float]]) -> MeanOfRuns:
    """Test the mean of values of one run, or of several runs with other seeds, none of them empty.

    Of several runs the means are the units: they vary with all that differs between runs, and whether values
    within a run depend on each other does not matter. The mean is theirs. Of one run the values are the
    units, in their order in time, as many as :func:`effective_size` says; neither interval nor p-value for
    fewer than 10. No p-value where nothing varies, unless all is 0.
    """
    series = np.array([np.mean(run) for run in runs]) if len(runs) > 1 else np.asarray(runs[0], dtype=float)
    size = float(len(series)) if len(runs) > 1 else effective_size(series)
    units: Literal["requests", "runs"] = "runs" if len(runs) > 1 else "requests"
    if len(runs) == 1 and size < LEAST_RESAMPLED:
        return MeanOfRuns(float(series.mean()), None, None, units)
    mean, error, interval = _mean(series, size)
    if not error:
        return MeanOfRuns(mean, interval, None if mean else 1.0, units)
    from scipy import stats

    return MeanOfRuns(mean, interval, float(2 * stats.t.sf(abs(mean) / error, size - 1)), units)


def mean_of_seeds(values: Sequence[float]) -> Estimate:
    """The mean of what independent runs measured, such as those of several seeds, with Student's interval.

    There is at least one run; one alone has no interval.
    """
    series = np.asarray(values, dtype=float)
    if len(series) == 1:
        return Estimate(float(series[0]), None)
    mean, _, interval = _mean(series, len(series))
    return Estimate(mean, interval)


def _mean(series: NDArray[np.float64], size: float) -> tuple[float, float, Interval]:
    """The mean, its standard error as of so many values, and Student's interval."""
    mean, error = float(series.mean()), float(series.std(ddof=1)) / math.sqrt(size)
    reach = _student(size - 1) * error
    return mean, error, Interval(mean - reach, mean + reach)


@cache
def _student(freedom: float) -> float:
    """The quantile of Student's t that a two-sided interval takes."""
    from scipy import stats

    return float(stats.t.ppf((1 + CONFIDENCE) / 2, freedom))


def ratio_of_means(values: NDArray[np.float64], chosen: NDArray[np.bool_]) -> Estimate | None:
    """The mean of the chosen values over the mean of all, such as E[bytes | offloaded] / E[bytes].

    Each value counts as drawn together with whether it is chosen. The interval is the delta method's
    (Cochran, Sampling Techniques, 1977, chapter 6), on the logarithm, with Student's t of one degree of
    freedom fewer than there are chosen values; none for fewer than 10 of these. ``None`` if none is chosen,
    or the mean is 0.
    """
    from scipy import stats

    count, total = len(values), int(chosen.sum())
    if not total or not values.sum():
        return None
    ratio = float(values[chosen].mean() / values.mean())
    if total < LEAST_RESAMPLED or not ratio:
        return Estimate(ratio, None)
    # What each value contributes to the logarithm of the ratio, to the first order.
    inside = np.where(chosen, values / values[chosen].sum() - 1 / total, 0.0)
    contributions = count * (inside - values / values.sum()) + 1
    error = math.sqrt(float(np.sum(contributions**2))) / count
    reach = float(stats.t.ppf((1 + CONFIDENCE) / 2, total - 1)) * error
    return Estimate(ratio, Interval(ratio * math.exp(-reach), ratio * math.exp(reach)))


def rank_correlation(first: NDArray[np.float64], second: NDArray[np.float64]) -> Estimate | None:
    """Spearman's rank correlation of two columns: no rising transform of either changes it.

    The interval is Fisher's, with the standard error of Bonett and Wright (Psychometrika 2000, 65:23).
    ``None`` for fewer than 10 pairs, or if all values of a column are equal.

    Raises:
        ValueError: of unequal length.
    """
    from scipy import stats

    if len(first) != len(second):
        raise ValueError(f"{len(first)} values cannot be paired with {len(second)}")
    if len(first) < LEAST_RESAMPLED or min(len(np.unique(column)) for column in (first, second)) < 2:
        return None
    rho = float(np.clip(stats.spearmanr(first, second).statistic, -1, 1))
    if abs(rho) == 1:
        return Estimate(rho, Interval(rho, rho))
    reach = float(stats.norm.ppf((1 + CONFIDENCE) / 2)) * math.sqrt((1 + rho * rho / 2) / (len(first) - 3))
    return Estimate(rho, Interval(math.tanh(math.atanh(rho) - reach), math.tanh(math.atanh(rho) + reach)))


def percentile(values: Sequence[float], percent: float) -> Percentile | None:
    """A percentile, linear between order statistics, of values in their order in time.

    The interval's ends are order statistics (David and Nagaraja, Order Statistics, 7.1) at the ranks that so
    many independent values would have as :func:`effective_size` says: requests that queue behind one another
    have like latencies. Where these are too few to have both ends, the percentile itself means little, and
    the answer is ``None``: the 50th takes 6 independent values, the 95th 72, and the 99th 368.

    Raises:
        ValueError: ``percent`` is not strictly between 0 and 100.
    """
    from scipy import stats

    if not 0 < percent < 100:
        raise ValueError(f"a percentile is strictly between 0 and 100, not {percent}")
    if not values:
        return None
    share, ordered = percent / 100, np.sort(values)
    below = np.asarray(values) <= ordered[math.ceil(share * len(ordered)) - 1]
    size = int(min(effective_size(stats.rankdata(values)), effective_size(below.astype(float))))
    tails = [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2]
    low, high = stats.binom.ppf(tails, size, share) + np.array([0, 1])
    if low < 1 or high > size:
        return None
    ranks = [math.ceil(end / size * len(ordered) - ROUNDING) for end in (low, high)]
    value = float(np.percentile(ordered, percent))
    return Percentile(value, Interval(*(float(ordered[rank - 1]) for rank in ranks)))


def effective_size(values: NDArray[np.float64]) -> float:
    """How many independent values would tell as much as these of a stationary series.

    That is n / τ, with the integrated autocorrelation time τ = 1 + 2 Σ ρ(k), at least 1, by the initial
    monotone sequence (Geyer, Statistical Science 1992, 7:473): sums of neighbouring ρ, as long as they stay
    positive, none above the one before. Each ρ(k) comes out too small by τ / n, since the mean is the
    sample's own; that is put right.
    """
    size = len(values)
    centred = np.asarray(values, dtype=float) - np.mean(values) if size else np.zeros(0)
    power = float(centred @ centred)
    if size < 2 or power == 0:
        return float(size)
    spectrum = np.abs(np.fft.rfft(centred, 1 << (2 * size - 1).bit_length())) ** 2  # a power of 2 is quick
    correlations = np.fft.irfft(spectrum)[: size - size % 2] / power
    sums = np.minimum.accumulate(correlations.reshape(-1, 2).sum(axis=1))
    positive = int(np.argmax(sums <= 0)) if (sums <= 0).any() else len(sums)
    time = 2 * float(sums[:positive].sum()) - 1
    if time <= 1:
        return float(size)
    return size / min(size, time / max(1 - (4 * positive - 1) / size, 1 / size))


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
