"""What a check measured: a figure for each number, with what it should be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from testbed.scenario.reports import Finding

Verdict = Literal["pass", "fail", "not run"]


@dataclass(frozen=True)
class Figure:
    """A measured number and the bounds, ends included, in which it must lie.

    ``expected`` is the closed form's. ``tolerance`` says in words where the bounds come from. ``measured`` is
    ``None`` where nothing came back, which fails. ``samples`` are the single measurements behind the number.
    """

    quantity: str
    unit: str
    expected: float
    measured: float | None
    low: float
    high: float
    tolerance: str
    note: str = ""
    samples: tuple[float, ...] = field(default=(), repr=False)

    @property
    def ok(self) -> bool:
        return self.measured is not None and self.low <= self.measured <= self.high

    def to_json(self) -> dict[str, Any]:
        """All but the samples, which go into a separate table."""
        return {
            "quantity": self.quantity,
            "unit": self.unit,
            "expected": self.expected,
            "measured": self.measured,
            "low": self.low,
            "high": self.high,
            "tolerance": self.tolerance,
            "samples": len(self.samples),
            "ok": self.ok,
            "note": self.note,
        }


def within(
    quantity: str,
    unit: str,
    expected: float,
    measured: float | None,
    share: float,
    samples: Sequence[float] = (),
    note: str = "",
) -> Figure:
    """A figure that may be off by a ``share`` of what is expected, such as 0.05."""
    slack = abs(expected) * share
    return Figure(
        quantity, unit, expected, measured, expected - slack, expected + slack,
        f"± {share * 100:g} %", note, tuple(samples),
    )  # fmt: skip


def exactly(quantity: str, unit: str, expected: float, measured: float | None, note: str = "") -> Figure:
    """A figure that may not be off at all, such as a count of frames."""
    return Figure(quantity, unit, expected, measured, expected, expected, "exact", note)


def from_finding(finding: Finding, quantity: str, tolerance: str) -> Figure:
    """A finding of :mod:`testbed.network.measure.measure` as a figure.

    Raises:
        ValueError: the finding has no bounds.
    """
    if finding.configured is None or finding.low is None or finding.high is None:
        raise ValueError(f"{finding} has no bounds")
    return Figure(
        quantity, finding.unit, finding.configured, finding.measured, finding.low, finding.high, tolerance,
        finding.note,
    )  # fmt: skip


@dataclass(frozen=True)
class CheckResult:
    """One check's outcome. ``note`` says why it did not run, what went wrong, or that it ran again."""

    name: str
    question: str
    source: str
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
            "name": self.name,
            "question": self.question,
            "source": self.source,
            "verdict": self.verdict,
            "seconds": round(self.seconds, 3),
            "attempts": self.attempts,
            "note": self.note,
            "figures": [figure.to_json() for figure in self.figures],
        }
