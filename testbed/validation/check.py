"""A check: one claim about the emulator, and what it is compared with."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from testbed.validation.bench import Bench
from testbed.validation.figures import Figure

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
