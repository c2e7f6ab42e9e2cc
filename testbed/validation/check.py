"""One claim about the emulator, and what it is held against."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from testbed.validation.bench import Bench
from testbed.validation.figures import Figure

Measure = Callable[[Bench], Iterator[Figure]]


@dataclass(frozen=True)
class Check:
    """One claim about the emulator.

    ``source`` is what it is held against. ``exact`` checks leave nothing to chance, or see to it themselves,
    and are never repeated; of the others one that fails runs again.
    """

    name: str
    question: str
    source: str
    measure: Measure
    exact: bool = False
