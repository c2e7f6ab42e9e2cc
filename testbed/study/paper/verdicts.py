"""What is to hold of a claim's figures, and the verdict that follows: pure functions, no files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from testbed.errors import TestbedError
from testbed.report.cells import between
from testbed.results.statistics import Estimate, Interval

Verdict = Literal["reproduced", "not", "not testable here", "n/v", "failed"]
"""``n/v``: a run's own verdicts speak against the figures. ``failed``: there are none, for an error."""
Outcome = Literal["holds", "contradicted", "open"]


class NotTestable(TestbedError):
    """A claim cannot be tested here, for a reason that is no failure."""


@dataclass(frozen=True)
class Value:
    """A figure that a claim rests on.

    Attributes:
        estimate: with its 95 % interval; of something counted, both ends are the value itself.
        form: how it is written.
        unit: what it is of, if its name does not say it.
        is_counted: whether it was counted over all there is, so that nothing of it is estimated.
    """

    estimate: Estimate
    form: str = ".3f"
    unit: str = ""
    is_counted: bool = False

    @classmethod
    def counted(cls, value: float, form: str = ".0f", unit: str = "") -> Value:
        """A figure that was counted, so that it has no uncertainty by sampling."""
        return cls(Estimate(float(value), Interval(float(value), float(value))), form, unit, True)

    @property
    def words(self) -> str:
        """The figure with its interval and unit; of one without an interval, that it was counted."""
        value, ends = self.estimate
        told = f"{value:{self.form}}"
        if ends is not None and not self.is_counted:
            told = f"{told} {between(ends, self.form)}"
        told = f"{told} {self.unit}".strip()
        return f"{told} (counted)" if self.is_counted else told


@dataclass(frozen=True)
class Condition:
    """That the whole 95 % interval of a figure lies above a bound, below one, or between two.

    Attributes:
        figure: by its name among a claim's figures.
        unit: of the bounds, which is the figure's.
        is_counted: whether the figure is one that was counted, and so has no interval.
    """

    figure: str
    above: float | None = None
    below: float | None = None
    unit: str = ""
    is_counted: bool = False

    @property
    def words(self) -> str:
        return " ".join([self._bounds, *filter(None, [self.unit]), *(["(counted)"] * self.is_counted)])

    @property
    def _bounds(self) -> str:
        both = self.above is not None and self.below is not None
        if self.is_counted:
            above = "" if self.above is None else f" > {self.above:g}"
            below = "" if self.below is None else f" < {self.below:g}"
            return f"{self.figure}{above}{' and' if both else ''}{below}"
        if both:
            return f"interval of {self.figure} within {self.above:g} to {self.below:g}"
        if self.above is not None:
            return f"lower end of {self.figure} > {self.above:g}"
        return f"upper end of {self.figure} < {self.below:g}"

    def judged(self, estimate: Estimate) -> Outcome:
        """Whether it holds, the interval lies beyond a bound, or a bound lies within it."""
        if estimate.interval is None:
            return "open"
        low, high = estimate.interval
        if (self.above is None or low > self.above) and (self.below is None or high < self.below):
            return "holds"
        beyond = (self.above is not None and high <= self.above) or (
            self.below is not None and low >= self.below
        )
        return "contradicted" if beyond else "open"


def verdict_of(conditions: Sequence[Condition], values: Mapping[str, Value]) -> tuple[Verdict, str]:
    """``reproduced`` if all conditions hold; else ``not``, and why in a sentence.

    Raises:
        KeyError: a condition is about a figure that was not measured.
    """
    broken = []
    for condition in conditions:
        outcome = condition.judged(values[condition.figure].estimate)
        if outcome == "contradicted":
            broken.append(f"contradicted: {condition.words}")
        elif outcome == "open" and values[condition.figure].estimate.interval is None:
            broken.append(f"left open for want of an interval: {condition.words}")
        elif outcome == "open":
            broken.append(f"left open: {condition.words}")
    return ("not", "; ".join(broken)) if broken else ("reproduced", "")
