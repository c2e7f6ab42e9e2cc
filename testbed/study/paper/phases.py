"""How long the parts of a call took, over all calls that went on in its directory."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from testbed.host.files import write_whole
from testbed.orchestrator.phases import adding

MINUTES = "minutes.json"
ANEW = "from recordings"
"""What a phase's name ends with that each call does anew."""


class Phases:
    """Seconds by phase. What an earlier call in the same directory took counts, unless it is done anew."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / MINUTES
        try:
            told = json.loads(self._path.read_text())
            self.seconds = {
                str(name): float(spent) for name, spent in told.items() if not name.endswith(ANEW)
            }
        except (OSError, ValueError, AttributeError, TypeError):
            self.seconds = {}

    @contextmanager
    def timed(self, phase: str) -> Iterator[None]:
        """Add the block's time to a phase, also if it is interrupted."""
        try:
            with adding(self.seconds, phase):
                yield
        finally:
            write_whole(self._path, (json.dumps(self.seconds, indent=1) + "\n").encode())

    def minutes(self, phase: str, own_s: float) -> float:
        """Of a line: those of its whole phase where that is on the wire, else its own seconds."""
        spent_s = self.seconds.get(phase, own_s) if "on the wire" in phase else own_s
        return round(spent_s / 60, 2)
