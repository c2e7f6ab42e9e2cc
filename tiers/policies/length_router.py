"""Routes by the prompt's length, before any inference: what no confidence was needed for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from tiers.parameters import ByTier, Count
from tiers.policies.base import KEEP, Decision, Place, Policy, Request, at_tier


class LengthRouter(Policy):
    """A prompt of at most ``longest`` bytes in UTF-8 stays; a longer one goes up, and is not inferred here.

    It may know the prompt's length.
    """

    knows = ("prompt_bytes",)

    def __init__(
        self, place: Place, *, longest: Count | Annotated[Mapping[str, Count], ByTier("length")]
    ) -> None:
        super().__init__(place)
        self._longest = at_tier("longest", longest, place, top=1)

    def passes_on(self, request: Request) -> bool:
        return request.prompt_bytes > self._longest

    def decide(self, confidence: float) -> Decision:
        return KEEP
