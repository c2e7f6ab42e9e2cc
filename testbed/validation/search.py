"""Searches up to which value claims hold, by doubling, then bisection. One trial tests all claims at once."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Bracket:
    """A claim held at ``holds`` and failed at ``fails``, for ``reason``; ``None`` where no value is known."""

    claim: str
    holds: int | None
    fails: int | None
    reason: str = ""


class Search:
    """Says which value to try next, and what the trials so far show.

    A claim that fails at a value is taken to fail at each higher one. Values are whole numbers from 1 to
    ``most``; a bracket whose ends are within a factor of ``close`` is narrow enough.
    """

    def __init__(self, claims: Sequence[str], start: int, most: int, close: float = 1.25) -> None:
        if not 1 <= start <= most:
            raise ValueError(f"a search starts between 1 and {most}, not at {start}")
        self._claims, self._start, self._most, self._close = tuple(claims), start, most, close
        self._trials: dict[int, Mapping[str, Sequence[str]]] = {}

    def note(self, value: int, against: Mapping[str, Sequence[str]]) -> None:
        """Take in a trial at ``value``: what spoke against each claim. A claim without reasons holds."""
        self._trials[value] = against

    def bracket(self, claim: str) -> Bracket:
        """What is known of a claim so far."""
        failing = [value for value, against in self._trials.items() if against[claim]]
        fails = min(failing, default=None)
        holding = [value for value in self._trials if fails is None or value < fails]
        reason = "" if fails is None else self._trials[fails][claim][0]
        return Bracket(claim, max(holding, default=None), fails, reason)

    @property
    def brackets(self) -> list[Bracket]:
        return [self.bracket(claim) for claim in self._claims]

    def next(self) -> int | None:
        """The value to try now; ``None`` when every bracket is narrow enough, or open at an end.

        Brackets are narrowed before values are doubled, so that the claim that fails first is known even if
        time runs out.
        """
        if not self._trials:
            return self._start
        brackets = self.brackets
        wide = [value for bracket in brackets if (value := self._between(bracket)) is not None]
        if wide:
            return wide[0]
        if any(bracket.fails is None for bracket in brackets) and (highest := max(self._trials)) < self._most:
            return min(2 * highest, self._most)
        return None

    def _between(self, bracket: Bracket) -> int | None:
        """The geometric middle of a bracket, ``None`` if it is narrow enough."""
        holds, fails = bracket.holds, bracket.fails
        if fails is None or fails == 1:
            return None
        if holds is None:
            return 1 if fails <= 2 else self._middle(1, fails)
        if fails - holds < 2 or fails <= holds * self._close:
            return None
        return self._middle(holds, fails)

    @staticmethod
    def _middle(low: int, high: int) -> int:
        return min(max(round(math.sqrt(low * high)), low + 1), high - 1)
