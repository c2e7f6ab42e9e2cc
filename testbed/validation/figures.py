"""What a check measured: a figure for each number, with what it should be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any


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
        return {**asdict(self), "samples": len(self.samples), "ok": self.ok}


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
