"""Offloading by lot: the control that any other method must beat at equal share (arXiv:2505.16502)."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from tiers.parameters import Shares
from tiers.policies.base import Decision, Place, Policy, Request, at_tier, for_tier


class ColServe(Policy):
    """A share of the requests goes up at each tier, drawn by lot, whatever the confidence.

    The lot depends on the run's seed, the method's name, the node and the request's id alone, so it is the
    same in every run. It may know nothing else. The node infers all the same: nothing but who goes up is to
    differ from the method that this one is the control for.
    """

    knows = ("request_id",)

    def __init__(self, place: Place, *, share: Shares = 0.3, seed: int, method: str) -> None:
        super().__init__(place)
        self._share = at_tier("share", share, place, top=0.0)
        self._stream = f"{seed}/{method}/{place.node}"

    @classmethod
    def share_asked(cls, parameters: Mapping[str, Any], tier: str) -> float | None:
        return float(for_tier(parameters["share"], tier))

    def judge(self, request: Request, confidence: float) -> Decision:
        return Decision(keep=not self._lot(request.id) < self._share)

    def _lot(self, request_id: str) -> float:
        """Uniform in [0, 1), in steps of 2**-53."""
        digest = hashlib.sha256(f"{self._stream}/{request_id}".encode()).digest()
        return (int.from_bytes(digest[:8], "big") >> 11) / 2**53
