"""Recursive offloading, the method of arXiv:2505.16502."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from tiers.calibration import Calibration, Needs, quantiles
from tiers.parameters import ByTier, Count, Internal, Probability
from tiers.policies.base import Decision, Place, Policy, at_tier, for_tier
from tiers.window import SlidingWindow

Enter = Literal["before", "after"]
Start = Literal["cold", "prefilled"]
Scope = Literal["node", "tier"]


class RecServe(Policy):
    """Recursive offloading: the threshold is the β-quantile of the node's last ``window`` confidences.

    The current confidence enters the window ``before`` the threshold is computed, or ``after``; with fewer
    than two values there is no threshold, and nothing is offloaded; only what is strictly below the threshold
    goes up. The window starts ``cold``, or ``prefilled`` with the tier's confidences on the rows of a
    calibration split that reach it. Each ``node`` has a window, or all nodes of a ``tier`` one, in the order
    of requests. The defaults are those of the authors' experiment script. It may know this confidence, and
    those before it at this node or at its tier; of the calibration split, no references.
    """

    knows = ("confidence",)

    def __init__(
        self,
        place: Place,
        *,
        beta: Probability | Annotated[Mapping[str, Probability], ByTier("beta")] = 0.3,
        window: Count | Annotated[Mapping[str, Count], ByTier("window")] = 10_000,
        start: Start = "cold",
        enter: Enter = "before",
        scope: Scope = "node",
        prefill: Annotated[Mapping[str, Sequence[float]] | None, Internal()] = None,
    ) -> None:
        super().__init__(place)
        if start == "prefilled" and prefill is None:
            raise ValueError("the window is not prefilled")
        self._beta = at_tier("beta", beta, place, top=0.0)
        self._window = SlidingWindow(at_tier("window", window, place, top=1))
        self._enter, self._scope = enter, scope
        self._seen = 0
        if prefill is not None:
            nothing: Sequence[float] = ()
            for confidence in at_tier("prefill", prefill, place, top=nothing):
                self._window.append(confidence)

    def decide(self, confidence: float) -> Decision:
        if self._enter == "before":
            self._window.append(confidence)
        threshold = self._window.quantile(self._beta) if len(self._window) >= 2 else None
        if self._enter == "after":
            self._window.append(confidence)
        seq, self._seen = self._seen, self._seen + 1
        keep = threshold is None or not confidence < threshold
        return Decision(keep, threshold, seq, len(self._window))

    def observe(self, confidence: float) -> None:
        if self._scope == "node":
            raise ValueError("the window is this node's alone")
        self._window.append(confidence)
        self._seen += 1

    @classmethod
    def shared(cls, parameters: Mapping[str, Any]) -> bool:
        return bool(parameters["scope"] == "tier")

    @classmethod
    def share_asked(cls, parameters: Mapping[str, Any], tier: str) -> float | None:
        return float(for_tier(parameters["beta"], tier))

    @classmethod
    def calibration_needs(cls, parameters: Mapping[str, Any]) -> Needs | None:
        return "confidences" if parameters["start"] == "prefilled" else None

    @classmethod
    def calibrated(cls, parameters: Mapping[str, Any], calibration: Calibration) -> dict[str, Any]:
        found = quantiles(calibration, lambda tier: for_tier(parameters["beta"], tier))
        return {"prefill": {tier: quantile.confidences for tier, quantile in found.items()}}
