"""Up to which value do claims hold: doubling, then bisection, one trial telling of all claims at once."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Bracket:
    """A claim held at ``holds`` and at ``fails`` no more, for ``reason``; ``None`` where none was found."""

    claim: str
    holds: int | None
    fails: int | None
    reason: str = ""


class Search:
    """Which value to try next, and what the trials so far show.

    A claim that fails at a value is taken to fail at each higher one. Values are whole numbers from 1 to
    ``most``; a bracket whose ends are within a factor of ``close`` is narrow enough.
    """

    def __init__(self, claims: Sequence[str], start: int, most: int, close: float = 1.25) -> None:
        if not 1 <= start <= most:
            raise ValueError(f"a search starts between 1 and {most}, not at {start}")
        self._claims, self._start, self._most, self._close = tuple(claims), start, most, close
        self._trials: dict[int, Mapping[str, Sequence[str]]] = {}

    def note(self, value: int, against: Mapping[str, Sequence[str]]) -> None:
        """What a trial at ``value`` brought up against each claim; nothing means that it holds."""
        self._trials[value] = against

    def bracket(self, claim: str) -> Bracket:
        """What is known of a claim by now."""
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

        Brackets are narrowed before values are doubled: where time runs out, the claim that ends first, for
        which the search is made, is known by then.
        """
        if not self._trials:
            return self._start
        brackets = self.brackets
        wide = [value for one in brackets if (value := self._between(one)) is not None]
        if wide:
            return wide[0]
        if any(one.fails is None for one in brackets) and (highest := max(self._trials)) < self._most:
            return min(2 * highest, self._most)
        return None

    def _between(self, one: Bracket) -> int | None:
        """The geometric middle of a bracket that is too wide."""
        if one.fails is None or one.fails == 1:
            return None
        holds = one.holds or 1
        if one.holds is None and one.fails <= 2:
            return 1
        if one.fails - holds < 2 or (one.holds is not None and one.fails <= holds * self._close):
            return None
        return min(max(round(math.sqrt(holds * one.fails)), holds + 1), one.fails - 1)
