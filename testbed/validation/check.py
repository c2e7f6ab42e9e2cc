"""A check: one claim about the emulator, what it is compared with, and what came out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

from testbed.validation.bench import Bench
from testbed.validation.figures import Figure

Verdict = Literal["pass", "fail", "not run"]
Measure = Callable[[Bench], Iterator[Figure]]


@dataclass(frozen=True)
class Check:
    """One claim about the emulator.

    ``source`` is what it is compared with. An ``exact`` check leaves nothing to chance, or allows for it
    itself, and is never repeated. Any other check runs again if it fails.
    """

    name: str
    question: str
    source: str
    measure: Measure
    exact: bool = False


@dataclass(frozen=True)
class CheckResult:
    """One check's outcome. ``note`` says why it did not run, what went wrong, or that it ran again."""

    check: Check
    figures: tuple[Figure, ...]
    seconds: float = 0.0
    note: str = ""
    attempts: int = 1
    ran: bool = True

    @property
    def verdict(self) -> Verdict:
        """``pass`` if every figure is within its bounds. A check that ran without any figure fails."""
        if not self.ran:
            return "not run"
        return "pass" if self.figures and all(figure.ok for figure in self.figures) else "fail"

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.check.name,
            "question": self.check.question,
            "source": self.check.source,
            "verdict": self.verdict,
            "seconds": round(self.seconds, 3),
            "attempts": self.attempts,
            "note": self.note,
            "figures": [figure.to_json() for figure in self.figures],
        }
