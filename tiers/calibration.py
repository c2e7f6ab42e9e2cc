"""What is learnt from a calibration split before a run: rows with references that the trace does not have.

Every tier's model answers every row. Which rows a tier would have got follows from the thresholds of the
tiers below it: the edge's threshold rests on the rows that the device sends up, not on all.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from tiers.window import quantile_of_sorted

Needs = Literal["confidences", "answers"]
"""Of every tier that decides its confidences, or of every tier that infers its answers too."""
LEAST_ROWS = 10
"""That must reach a tier for a quantile of its confidences."""
STEPS = 10_000
"""Thresholds that are tried between 0 and 1."""


@dataclass(frozen=True)
class Calibration:
    """What each tier's model said of the rows.

    Attributes:
        tiers: those that infer, lowest first; the last one is the top.
        confidences: of every tier but the top, one for each row.
        correct: of every tier, whether its answer is the row's reference; empty where nobody asked.
    """

    tiers: tuple[str, ...]
    confidences: Mapping[str, Sequence[float]]
    correct: Mapping[str, Sequence[bool]]

    @property
    def deciding(self) -> tuple[str, ...]:
        return self.tiers[:-1]


@dataclass(frozen=True)
class Quantile:
    """A tier's threshold, and the confidences that it is a quantile of, in the order of the rows."""

    threshold: float
    confidences: list[float]


def quantiles(calibration: Calibration, beta: Callable[[str], float]) -> dict[str, Quantile]:
    """By deciding tier the ``beta``-quantile of its confidences in the rows that reach it.

    Raises:
        ValueError: too few rows reach a tier.
    """
    found: dict[str, Quantile] = {}
    rows = list(range(len(calibration.confidences[calibration.tiers[0]]))) if calibration.deciding else []
    asked = len(rows)
    for tier in calibration.deciding:
        if len(rows) < LEAST_ROWS:
            raise ValueError(
                f"only {len(rows)} of {asked} calibration rows reach tier {tier}, and it takes {LEAST_ROWS}; "
                "ask for more rows"
            )
        confidences = [calibration.confidences[tier][row] for row in rows]
        threshold = quantile_of_sorted(sorted(confidences), beta(tier))
        found[tier] = Quantile(threshold, confidences)
        rows = [row for row in rows if calibration.confidences[tier][row] < threshold]
    return found


def certified_threshold(calibration: Calibration, accuracy: float, confidence: float) -> float:
    """A threshold for all tiers at which the cascade has at least that accuracy, with that confidence.

    Learn then Test (Angelopoulos, Bates, Candès, Jordan and Lei, arXiv:2110.01052) with fixed-sequence
    testing: from the threshold 1, at which all but certain answers go up, downwards in :data:`STEPS` steps
    that do not depend on the rows, each threshold is tested for "its accuracy is less", by the exact
    binomial tail (the dual of Clopper and Pearson's bound, Biometrika 26, 1934), until one is not rejected.
    The last that was is returned. If the rows and the requests are drawn alike, the probability that its
    accuracy is less than ``accuracy`` is at most 1 - ``confidence``, however many rows there are.

    Raises:
        ValueError: not even the first threshold is shown to be accurate enough.
    """
    wrong = [[not correct for correct in calibration.correct[tier]] for tier in calibration.tiers]
    rows, top = len(wrong[-1]), len(wrong) - 1
    allowed = most_errors(rows, accuracy, confidence)
    grid = [step / STEPS for step in range(STEPS + 1)]
    reached: defaultdict[int, list[tuple[int, int]]] = defaultdict(list)
    for level, tier in enumerate(calibration.deciding):
        for row, value in enumerate(calibration.confidences[tier]):
            reached[bisect_right(grid, value) - 1].append((row, level))
    answering, errors = [top] * rows, sum(wrong[top])
    certified: float | None = None
    for step in range(STEPS, -1, -1):
        for row, level in reached[step]:
            if level < answering[row]:
                errors += wrong[level][row] - wrong[answering[row]][row]
                answering[row] = level
        if errors > allowed:
            break
        certified = grid[step]
    if certified is None:
        raise ValueError(
            f"an accuracy of {accuracy:g} at confidence {confidence:g} cannot be shown: {errors} of {rows} "
            f"calibration rows are wrong even where all goes up, and {max(allowed, 0)} may be; "
            "ask for less, or for more rows"
        )
    return certified


def most_errors(rows: int, accuracy: float, confidence: float) -> int:
    """The most wrong answers in ``rows`` that show the accuracy with that confidence; -1 if none do.

    The largest *k* with P(X ≤ k) ≤ 1 - ``confidence`` for X ~ Binomial(``rows``, 1 - ``accuracy``).
    """
    if not 0 < accuracy < 1:
        return rows if accuracy <= 0 else -1
    tail, most = 0.0, -1
    for wrong in range(rows + 1):
        ways = math.lgamma(rows + 1) - math.lgamma(wrong + 1) - math.lgamma(rows - wrong + 1)
        tail += math.exp(ways + wrong * math.log1p(-accuracy) + (rows - wrong) * math.log(accuracy))
        if tail > 1 - confidence:
            break
        most = wrong
    return most
