"""A cascade with thresholds that somebody has tuned by hand."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from tiers.parameters import ByTier, Probability
from tiers.policies.base import Decision, Place, Policy


class CasServe(Policy):
    """A cascade with a fixed threshold for each tier below the top."""

    def __init__(
        self, place: Place, *, thresholds: Annotated[Mapping[str, Probability], ByTier("threshold")]
    ) -> None:
        super().__init__(place)
        if place.tier not in thresholds and not place.is_top:
            raise ValueError(f"thresholds has none for tier {place.tier}; add one in [0, 1]")
        self._threshold = thresholds.get(place.tier, 0.0)

    def decide(self, confidence: float) -> Decision:
        return Decision(keep=not confidence < self._threshold, threshold=self._threshold)
