"""How long each phase of a run took, in the words of its estimate (:mod:`testbed.orchestrator.estimate`)."""

from __future__ import annotations

import time
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from typing import Literal, TypeVar, get_args

from testbed.scenario.reading.units import duration

Phase = Literal["starting", "loading", "measuring", "replaying", "accounting", "taking_down", "judging"]
_WORDS: dict[Phase, str] = {
    "starting": "starting containers and links",
    "loading": "loading models",
    "measuring": "measuring links",
    "replaying": "replay",
    "accounting": "accounting",
    "taking_down": "taking the network down",
    "judging": "judging",
}


Name = TypeVar("Name", bound=str)


@contextmanager
def adding(seconds: MutableMapping[Name, float], name: Name) -> Iterator[None]:
    """Add the block's time to what ``name`` took so far, however it ends."""
    began_s = time.monotonic()
    try:
        yield
    finally:
        seconds[name] = seconds.get(name, 0.0) + time.monotonic() - began_s


class Phases:
    """A run's phases as they go by; a phase may come several times, and what is in none counts as nothing.

    Attributes:
        seconds: by phase, in their order.
    """

    def __init__(self) -> None:
        self.seconds: dict[Phase, float] = {}
        self._began_s = time.monotonic()

    @contextmanager
    def timed(self, phase: Phase) -> Iterator[None]:
        """Count the block's time, however it ends."""
        with adding(self.seconds, phase):
            yield

    def to_json(self) -> dict[str, float]:
        """Seconds by phase, to a hundredth."""
        return {phase: round(self.seconds[phase], 2) for phase in get_args(Phase) if phase in self.seconds}

    def __str__(self) -> str:
        told = sorted(self.seconds.items(), key=lambda item: -item[1])
        parts = [f"{duration(seconds)} {_WORDS[phase]}" for phase, seconds in told if seconds >= 1]
        whole = f"the run took {duration(time.monotonic() - self._began_s)}"
        return f"{whole}: {', '.join(parts)}" if parts else whole
