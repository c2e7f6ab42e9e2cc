"""Finds again, from ``calibration.json`` alone, what methods were given before the run; for the audit.

It shares no code with the tiers' own calibration.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

Recorded = Mapping[str, Any]
"""The content of ``calibration.json``."""
STEPS = 10_000
"""Thresholds that a guarantee is sought among, between 0 and 1."""


def frozen_quantiles(
    recorded: Recorded, deciding: Sequence[str], beta: Callable[[str], float]
) -> dict[str, tuple[float, list[float]]]:
    """By deciding tier, lowest first, the quantile of its confidences on rows that reach it, and these."""
    found = {}
    reaching = np.ones(len(recorded["rows"]), bool)
    for tier in deciding:
        confidences = _confidences(recorded, tier)
        threshold = float(np.percentile(confidences[reaching], 100 * beta(tier)))
        found[tier] = threshold, confidences[reaching].tolist()
        reaching &= confidences < threshold
    return found


def certified_threshold(
    recorded: Recorded, tiers: Sequence[str], accuracy: float, confidence: float
) -> float | None:
    """The last of the thresholds 1, 0.9999, … whose accuracy is shown, and all before it too; for all tiers.

    ``tiers`` are those that infer, lowest first. ``None`` if the first is not shown.
    """
    references = np.array(recorded["references"])
    wrong = {tier: np.array(_column(recorded, tier, "answer")) != references for tier in tiers}
    allowed = _allowed(len(references), accuracy, confidence)
    shown = None
    for step in range(STEPS, -1, -1):
        threshold = step / STEPS
        errors = wrong[tiers[-1]]
        for tier in reversed(tiers[:-1]):
            errors = np.where(_confidences(recorded, tier) >= threshold, wrong[tier], errors)
        if errors.sum() > allowed:
            break
        shown = threshold
    return shown


def _allowed(rows: int, accuracy: float, confidence: float) -> int:
    """Errors up to which a binomial of ``rows`` and 1 - ``accuracy`` is improbable enough; -1 for none."""
    wrong = np.arange(1, rows + 1)
    ways = np.concatenate([[0.0], np.cumsum(np.log((rows - wrong + 1) / wrong))])
    number = np.arange(rows + 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = ways + number * np.log(1 - accuracy) + (rows - number) * np.log(accuracy)
    tails = np.cumsum(np.exp(logs))
    return int(np.sum(tails <= 1 - confidence)) - 1


def _confidences(recorded: Recorded, tier: str) -> Any:
    return np.array(_column(recorded, tier, "confidence"), float)


def _column(recorded: Recorded, tier: str, name: str) -> list[Any]:
    return [answer[name] for answer in recorded["tiers"][tier]["answers"]]
