"""One tier alone: the policies ``device-only``, ``cloud-only``, and so on."""

from __future__ import annotations

from typing import Annotated

from tiers.parameters import Internal
from tiers.policies.base import KEEP, Decision, Place, Policy


class TierOnly(Policy):
    """Every request is answered by one tier, which the policy's name says; nodes below relay.

    It may know nothing.
    """

    knows = ()

    def __init__(self, place: Place, *, tier: Annotated[str, Internal()]) -> None:
        super().__init__(place)
        if tier not in place.tiers:
            raise ValueError(f"no tier {tier}; there are {', '.join(place.tiers)}")
        self._below = place.level < place.tiers.index(tier)

    @property
    def infers(self) -> bool:
        return not self._below

    def decide(self, confidence: float) -> Decision:
        return KEEP
