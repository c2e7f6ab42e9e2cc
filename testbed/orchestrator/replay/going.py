"""How far a replay has come, kept while it goes on, for whoever wants to look."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Going:
    """A replay so far. Written by its thread alone; others may read any of it at any time.

    Attributes:
        start_s: when time 0 is (``time.monotonic()``); NaN before it is known.
        served: answers by tier.
        thresholds: by node, the last that an answer told.
        late_ms: the sum of how late the requests that are done were sent.
    """

    start_s: float = math.nan
    begun: int = 0
    done: int = 0
    errors: int = 0
    served: Counter[str] = field(default_factory=Counter)
    thresholds: dict[str, float] = field(default_factory=dict)
    late_ms: float = 0.0
    most_late_ms: float = 0.0

    def note(self, late_ms: float, tier: str | None, path: Sequence[Mapping[str, Any]]) -> None:
        """Note that a request is done: how late it was sent, whose answer it got, and the answer's path."""
        self.done += 1
        self.late_ms += late_ms
        self.most_late_ms = max(self.most_late_ms, late_ms)
        if tier is None:
            self.errors += 1
            return
        self.served[tier] += 1
        with suppress(KeyError, TypeError):  # of an answer that no tier of ours wrote
            self.thresholds |= {
                step["node"]: step["threshold"] for step in path if isinstance(step["threshold"], float | int)
            }
