"""Recursive offloading, the method of arXiv:2505.16502."""

from __future__ import annotations

from tiers.parameters import Count, Probability
from tiers.policies.base import Decision, Place, Policy
from tiers.window import SlidingWindow


class RecServe(Policy):
    """Recursive offloading: the threshold is the β-quantile of the node's last ``window`` confidences.

    The current confidence enters the window before the threshold is computed; with fewer than two
    values nothing is offloaded; only what is strictly below the threshold goes up. The defaults are those of
    the authors' experiment script.
    """

    def __init__(self, place: Place, *, beta: Probability = 0.3, window: Count = 10_000) -> None:
        super().__init__(place)
        self._beta = beta
        self._window = SlidingWindow(window)
        self._seen = 0

    def decide(self, confidence: float) -> Decision:
        self._window.append(confidence)
        seq, self._seen = self._seen, self._seen + 1
        length = len(self._window)
        if length < 2:
            return Decision(True, None, seq, length)
        threshold = self._window.quantile(self._beta)
        return Decision(not confidence < threshold, threshold, seq, length)
