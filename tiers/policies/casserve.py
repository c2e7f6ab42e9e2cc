"""A cascade with thresholds that were fixed before the run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from tiers.calibration import Calibration, Needs, certified_threshold, quantiles
from tiers.parameters import ByTier, Probability
from tiers.policies.base import Decision, Place, Policy, at_tier

SHARE, GUARANTEE = {"share"}, {"accuracy", "confidence"}


class CasServe(Policy):
    """A cascade with a fixed threshold for each tier below the top.

    ``thresholds`` were tuned by hand, or ``calibrate`` says how a calibration split sets them: ``share``
    sends up that share of the rows that reach a tier; ``accuracy`` and ``confidence`` set one threshold for
    all tiers (:func:`tiers.calibration.certified_threshold`). It may know the confidence.
    """

    knows = ("confidence",)

    def __init__(
        self,
        place: Place,
        *,
        thresholds: Annotated[Mapping[str, Probability], ByTier("threshold")] | None = None,
        calibrate: Mapping[str, Probability] | None = None,
    ) -> None:
        super().__init__(place)
        if thresholds is None:
            raise ValueError(
                "thresholds are missing" if calibrate is None else "thresholds are not calibrated"
            )
        self._threshold = at_tier("thresholds", thresholds, place, top=0.0)

    def decide(self, confidence: float) -> Decision:
        return Decision(keep=not confidence < self._threshold, threshold=self._threshold)

    @classmethod
    def refusal(cls, parameters: Mapping[str, Any]) -> tuple[str, str] | None:
        calibrate = parameters.get("calibrate")
        if parameters.get("thresholds") is not None:
            return None if calibrate is None else ("calibrate", "thresholds are given; remove one of the two")
        if calibrate is None:
            return "thresholds", "is missing; add it, or calibrate: {share: 0.3}"
        if set(calibrate) not in (SHARE, GUARANTEE):
            forms = "{share: 0.3} or {accuracy: 0.9, confidence: 0.95}"
            return "calibrate", f"must be like {forms}, not of {', '.join(calibrate) or 'nothing'}"
        return None

    @classmethod
    def share_asked(cls, parameters: Mapping[str, Any], tier: str) -> float | None:
        share = (parameters.get("calibrate") or {}).get("share")
        return None if share is None else float(share)

    @classmethod
    def calibration_needs(cls, parameters: Mapping[str, Any]) -> Needs | None:
        calibrate = parameters.get("calibrate")
        if calibrate is None:
            return None
        return "confidences" if set(calibrate) == SHARE else "answers"

    @classmethod
    def calibrated(cls, parameters: Mapping[str, Any], calibration: Calibration) -> dict[str, Any]:
        asked = parameters["calibrate"]
        if set(asked) == SHARE:
            found = quantiles(calibration, lambda _: asked["share"])
            return {"thresholds": {tier: quantile.threshold for tier, quantile in found.items()}}
        threshold = certified_threshold(calibration, asked["accuracy"], asked["confidence"])
        return {"thresholds": dict.fromkeys(calibration.deciding, threshold)}
