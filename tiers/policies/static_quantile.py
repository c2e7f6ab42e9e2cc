"""RecServe's threshold, frozen before the run: does the moving window matter?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from tiers.calibration import Calibration, Needs, quantiles
from tiers.parameters import ByTier, Internal, Probability
from tiers.policies.base import Decision, Place, Policy, at_tier, for_tier


class StaticQuantile(Policy):
    """The threshold is the β-quantile of the tier's confidences on a calibration split, and stays.

    It may know the confidence; of the calibration split, no references.
    """

    knows = ("confidence",)

    def __init__(
        self,
        place: Place,
        *,
        beta: Probability | Annotated[Mapping[str, Probability], ByTier("beta")] = 0.3,
        thresholds: Annotated[Mapping[str, Probability] | None, Internal()] = None,
    ) -> None:
        super().__init__(place)
        if thresholds is None:
            raise ValueError("thresholds are not calibrated")
        at_tier("beta", beta, place, top=0.0)
        self._threshold = at_tier("thresholds", thresholds, place, top=0.0)

    def decide(self, confidence: float) -> Decision:
        return Decision(keep=not confidence < self._threshold, threshold=self._threshold)

    @classmethod
    def share_asked(cls, parameters: Mapping[str, Any], tier: str) -> float | None:
        return float(for_tier(parameters["beta"], tier))

    @classmethod
    def calibration_needs(cls, parameters: Mapping[str, Any]) -> Needs | None:
        return "confidences"

    @classmethod
    def calibrated(cls, parameters: Mapping[str, Any], calibration: Calibration) -> dict[str, Any]:
        found = quantiles(calibration, lambda tier: for_tier(parameters["beta"], tier))
        return {"thresholds": {tier: quantile.threshold for tier, quantile in found.items()}}
