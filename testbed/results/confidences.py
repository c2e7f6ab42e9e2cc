"""How a tier's confidences go with the prompts' lengths, and how well calibrated they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from testbed.results.columns import Row
from testbed.results.scorers import Right
from testbed.results.statistics import interval_to_json, rank_correlation
from testbed.results.times import work_ms

BINS = 15
"""Bins of equal width over [0, 1], as in Guo et al."""
_DRAWS = 200


def confidence_figures(
    rows: Sequence[Row], tiers: Mapping[str, str], right: Right | None
) -> dict[str, dict[str, Any]]:
    """By tier, from a method's rows of ``requests.parquet``, over all inferences of the tier.

    ``tiers`` has the tier of each node. What a tier above the lowest infers, the method has selected. The
    prompts' lengths are null in runs of schema version 1 and 2, and so is then what rests on them.
    """
    inferences: dict[str, list[tuple[Row, int]]] = {tier: [] for tier in tiers.values()}
    for row in rows:
        for at, node in enumerate(row["path"]):
            if row["confidences"][at] is not None:
                inferences[tiers[node]].append((row, at))
    return {tier: _figures(of_tier, right) for tier, of_tier in inferences.items()}


def _figures(inferences: Sequence[tuple[Row, int]], right: Right | None) -> dict[str, Any]:
    confidences = np.array([row["confidences"][at] for row, at in inferences], dtype=np.float64)
    lengths = [row.get("prompt_bytes") for row, _ in inferences]
    correlation = None
    if None not in lengths:
        correlation = rank_correlation(confidences, np.array(lengths, dtype=np.float64))
    hits = None
    if right is not None:
        answers = [(row["node_answers"][at], row["reference"]) for row, at in inferences]
        hits = np.array([right(answer, reference) for answer, reference in answers], dtype=bool)
    return {
        "inferences": len(inferences),
        "inference_ms": mean([work_ms(row, at) for row, at in inferences]),
        "length_correlation": correlation and correlation.value,
        "length_correlation_ci": interval_to_json(correlation and correlation.interval),
        "calibration_error": None if hits is None else calibration_error(confidences, hits),
        "calibration_error_by_chance": None if hits is None else calibration_error_by_chance(confidences),
    }


def mean(values: Sequence[float]) -> float | None:
    """The arithmetic mean; ``None`` of nothing."""
    return float(np.mean(values)) if values else None


def calibration_error(confidences: NDArray[np.float64], right: NDArray[np.bool_]) -> float | None:
    """The expected calibration error: mean distance of accuracy and mean confidence, weighted by bin.

    With 15 bins of equal width, each without its lower end (Guo et al., On Calibration of Modern Neural
    Networks, ICML 2017, equation 3). ``None`` without answers.

    Raises:
        ValueError: not as many confidences as answers.
    """
    if len(confidences) != len(right):
        raise ValueError(f"{len(confidences)} confidences cannot be held against {len(right)} answers")
    if not len(confidences):
        return None
    return _error(_bins(confidences), right - confidences)


def calibration_error_by_chance(confidences: NDArray[np.float64]) -> float | None:
    """The mean error of as many answers, each of them right with the probability that its confidence says.

    Few answers have an error by chance alone. By 200 draws from a fixed seed. ``None`` without answers.
    """
    if not len(confidences):
        return None
    chance, bins = np.random.default_rng(0), _bins(confidences)
    drawn = (chance.random(len(confidences)) < confidences for _ in range(_DRAWS))
    return float(np.mean([_error(bins, right - confidences) for right in drawn]))


def _bins(confidences: NDArray[np.float64]) -> NDArray[np.intp]:
    """The bin of each confidence: m has those above m / 15 and up to (m + 1) / 15; the first has 0 too."""
    return np.digitize(confidences, np.arange(1, BINS) / BINS, right=True)


def _error(bins: NDArray[np.intp], excess: NDArray[np.float64]) -> float:
    return float(np.abs(np.bincount(bins, weights=excess)).sum() / len(excess))
