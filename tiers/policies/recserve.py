"""Recursive offloading, the method of arXiv:2505.16502."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from tiers.parameters import ByTier, Count, Probability
from tiers.policies.base import Decision, Place, Policy, at_tier
from tiers.window import SlidingWindow

Enter = Literal["before", "after"]


class RecServe(Policy):
    """Recursive offloading: the threshold is the β-quantile of the node's last ``window`` confidences.

    The current confidence enters the window ``before`` the threshold is computed, or ``after``; with fewer
    than two values there is no threshold, and nothing is offloaded; only what is strictly below the threshold
    goes up. The defaults are those of the authors' experiment script. It may know this confidence, and those
    before it at this node.
    """

    def __init__(
        self,
        place: Place,
        *,
        beta: Probability | Annotated[Mapping[str, Probability], ByTier("beta")] = 0.3,
        window: Count | Annotated[Mapping[str, Count], ByTier("window")] = 10_000,
        enter: Enter = "before",
    ) -> None:
        super().__init__(place)
        self._beta = at_tier("beta", beta, place, top=0.0)
        self._window = SlidingWindow(at_tier("window", window, place, top=1))
        self._enter = enter
        self._seen = 0

    def decide(self, confidence: float) -> Decision:
        if self._enter == "before":
            self._window.append(confidence)
        threshold = self._window.quantile(self._beta) if len(self._window) >= 2 else None
        if self._enter == "after":
            self._window.append(confidence)
        seq, self._seen = self._seen, self._seen + 1
        keep = threshold is None or not confidence < threshold
        return Decision(keep, threshold, seq, len(self._window))
