"""What a run recorded, read file by file, for the audit that holds one against another."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from testbed.results.columns import Row
from testbed.results.directory import RunDirectory
from testbed.scenario.scenario import Scenario

TOLERANCE = 1e-9
"""Relative: between platforms, sums of floats differ in their last digits."""


@dataclass(frozen=True)
class Recorded:
    """A run's files, as far as they are there: one that never ended lacks some."""

    directory: RunDirectory
    scenario: Scenario
    requests: Sequence[Row]
    decisions: int

    def _table(self, name: str) -> list[dict[str, Any]] | None:
        return self.directory.read_table(name) if (self.directory.path / name).exists() else None

    @cached_property
    def links(self) -> list[dict[str, Any]] | None:
        return self._table("links.parquet")

    @cached_property
    def tiers(self) -> list[dict[str, Any]] | None:
        return self._table("tiers.parquet")

    @cached_property
    def events(self) -> list[dict[str, Any]] | None:
        return self._table("events.parquet")

    @cached_property
    def fidelity(self) -> dict[str, Any] | None:
        there = (self.directory.path / "fidelity.json").exists()
        return self.directory.read_fidelity() if there else None

    @cached_property
    def summary(self) -> dict[str, Any] | None:
        there = (self.directory.path / "summary.json").exists()
        return self.directory.read_summary() if there else None

    @cached_property
    def by_method(self) -> dict[str, list[Row]]:
        """The rows of each method that was run."""
        found: dict[str, list[Row]] = {}
        for row in self.requests:
            found.setdefault(row["method"], []).append(row)
        return found


def alike(written: Any, again: Any) -> bool:
    """Whether two values of JSON are the same, but for the last digits of floats."""
    if isinstance(written, list | tuple) and isinstance(again, list | tuple):
        return len(written) == len(again) and all(map(alike, written, again))
    numbers = all(isinstance(one, int | float) and not isinstance(one, bool) for one in (written, again))
    if numbers:
        return math.isclose(written, again, rel_tol=TOLERANCE, abs_tol=TOLERANCE)
    return bool(written == again)
