"""A budget for each hop: the least certain go up, and no more nor less than the hop is to carry."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from tiers.parameters import Shares
from tiers.policies.base import Decision, Place, Policy, Request, at_tier, for_tier
from tiers.window import SlidingWindow

Of = Literal["requests", "bytes"]
SLACK = 4.0
"""How far, in requests, what went up may be ahead of the budget or behind it."""
GAIN = 0.1
"""By how much each request behind raises the quantile."""
WINDOW = 1_000
"""Confidences that a node remembers."""


class Budget(Policy):
    """A share of the requests, or of their prompt bytes, goes up, whatever the confidences do.

    What goes up is what is least certain, as in RecServe: below a quantile of the node's last
    confidences, which rises while the node is behind its budget and falls while it is ahead. Where the budget
    would be missed by more than :data:`SLACK` requests, it decides alone. So of any 500 requests in a row at
    a node the share that goes up is within 2 * 4 / 500 = 1.6 percentage points of the budget. Of bytes it is
    so while prompts keep their mean length, and none is longer than 8 times that.

    It may know the confidence and the prompt's length, and those before it at this node.
    """

    knows = ("confidence", "prompt_bytes")

    def __init__(self, place: Place, *, share: Shares = 0.3, of: Of = "requests") -> None:
        super().__init__(place)
        self._share = at_tier("share", share, place, top=0.0)
        self._of = of
        self._window = SlidingWindow(WINDOW)
        self._seen, self._total, self._behind = 0, 0, 0.0

    @classmethod
    def share_asked(cls, parameters: Mapping[str, Any], tier: str) -> float | None:
        return float(for_tier(parameters["share"], tier)) if parameters["of"] == "requests" else None

    def judge(self, request: Request, confidence: float) -> Decision:
        size = 1 if self._of == "requests" else request.prompt_bytes
        self._window.append(confidence)
        seq, self._seen = self._seen, self._seen + 1
        self._total += size
        mean = self._total / self._seen
        kept = self._behind + self._share * size  # what the balance is if it stays, and if it goes up
        sent = kept - size
        threshold = None
        if max(abs(kept), abs(sent)) > SLACK * mean:
            keep = abs(kept) <= abs(sent)
        else:
            quantile = min(1.0, max(0.0, self._share + GAIN * self._behind / mean))
            threshold = self._window.quantile(quantile)
            keep = not confidence < threshold
        self._behind = kept if keep else sent
        return Decision(keep, threshold, seq, len(self._window))
