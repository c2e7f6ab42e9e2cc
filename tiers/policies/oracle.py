"""The bound: what offloading could be worth to whoever knew all answers and references."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Annotated, Any

from tiers.parameters import Internal
from tiers.policies.base import ANSWERS, Decision, Place, Policy, Request, at_tier


class Oracle(Policy):
    """A request goes up exactly where this tier's answer is wrong and that of a tier above it is right.

    A tier above it is one that infers under the method, however far up. So a request ends at the lowest tier
    that answers it rightly, and at the lowest of all if none does: no policy has more right answers, and none
    of those that have as many sends up fewer requests. It may know which tiers answer the request rightly.
    """

    knows = ("request_id", ANSWERS)

    def __init__(
        self, place: Place, *, goes_up: Annotated[Mapping[str, Collection[str]] | None, Internal()] = None
    ) -> None:
        super().__init__(place)
        if goes_up is None:
            raise ValueError("which answers are right is not known here")
        nothing: Collection[str] = frozenset()
        self._goes_up = frozenset(at_tier("goes_up", goes_up, place, top=nothing))

    @classmethod
    def foreknown(cls, tiers: Sequence[str], right: Mapping[str, Collection[str]]) -> dict[str, Any]:
        goes_up: dict[str, list[str]] = {}
        above: set[str] = set()
        for lower, upper in zip(reversed(tiers[:-1]), reversed(tiers[1:]), strict=True):
            above |= set(right[upper])
            goes_up[lower] = sorted(above - set(right[lower]))
        return {"goes_up": goes_up}

    def judge(self, request: Request, confidence: float) -> Decision:
        return Decision(keep=request.id not in self._goes_up)
