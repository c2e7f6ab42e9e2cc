"""Intervals and p-values by resampling requests, the same ones for all that is compared.

Requests of one prompt have like answers under every method and every seed, so prompts are drawn, with all
their requests, and not requests (the cluster bootstrap; Davison and Hinkley, Bootstrap Methods, 1997, 3.8).
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from testbed.results.statistics import CONFIDENCE, Interval

Floats = NDArray[np.float64]
Prompts = Sequence[Hashable]
"""What each request asks, by keys that can be sorted; equal ones are the same prompt."""
_AT_A_TIME = 1_000_000
"""Draws that are held in memory together."""


def by_prompt(rows: Floats, prompts: Prompts) -> Floats:
    """Sums of the rows of each prompt; the order of the rows does not matter."""
    keys: set[Any] = set(prompts)
    places = {prompt: at for at, prompt in enumerate(sorted(keys))}
    sums = np.zeros((len(places), rows.shape[1]))
    np.add.at(sums, [places[prompt] for prompt in prompts], rows)
    return sums


def resampled(rows: Floats, resamples: int, seed: int = 0) -> Floats:
    """Sums over as many rows, drawn with replacement; the same seed draws the same of equally many rows.

    Returns:
        Of the shape (resamples, columns).
    """
    number, chance, found = len(rows), np.random.default_rng(seed), []
    step = max(1, _AT_A_TIME // number)
    for first in range(0, resamples, step):
        samples = min(step, resamples - first)
        drawn = chance.integers(0, number, (samples, number)) + number * np.arange(samples)[:, np.newaxis]
        times = np.bincount(drawn.ravel(), minlength=samples * number).reshape(samples, number)
        found.append(times.astype(np.float64) @ rows)
    return np.concatenate(found)


def interval(values: Floats) -> Interval:
    """The percentile interval of a score's resamples, which may be infinite."""
    return _between(np.sort(values), _tail(len(values), 1 - CONFIDENCE))


def p_value(values: Floats) -> float:
    """Of no difference, two-sided: at which level the percentile interval would leave out 0."""
    total = len(values) + 1
    tails = (np.sum(values <= 0) + 1) / total, (np.sum(values >= 0) + 1) / total
    return min(1.0, 2 * float(min(tails)))


def intervals_together(values: Floats) -> list[Interval]:
    """An interval for each column, all of which hold together with 95 % confidence.

    They are percentile intervals of one level, so high that 95 % of the resamples lie inside all of them
    (Beran, JASA 1988, 83:679; by ranks, as Besag et al., Statistical Science 1995, 10:3). So columns that go
    together cost less than by Bonferroni's rule.

    Args:
        values: of the shape (resamples, columns); values may be infinite.
    """
    total = len(values)
    ordered = np.sort(values, axis=0)
    depths = np.full(total, total)
    for column, ranked in zip(values.T, ordered.T, strict=True):
        above = np.searchsorted(ranked, column, "right")  # ranks among equal values count in their favour
        below = total - np.searchsorted(ranked, column, "left")
        depths = np.minimum(depths, np.minimum(above, below))
    tail = max(1, int(np.sort(depths)[_tail(total, 2 * (1 - CONFIDENCE)) - 1]))
    return [_between(ranked, tail) for ranked in ordered.T]


def _tail(total: int, level: float) -> int:
    """How many of so many values lie in half of that share, at least one."""
    return max(1, math.floor(level / 2 * (total + 1)))


def _between(ordered: Floats, tail: int) -> Interval:
    """From the ``tail``-th of ascending values to the ``tail``-th from their end."""
    return Interval(float(ordered[tail - 1]), float(ordered[len(ordered) - tail]))
