"""Rows of a data set whose prompts have about a given length."""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from dataclasses import dataclass

from testbed.scenario.draws import below, stream
from testbed.scenario.workload.datasets import Dataset, load
from testbed.scenario.workload.trace_file import TRACE_SPLIT

BYTES_PER_TOKEN = 4.0
"""Of English, by the rule of thumb of those who make the models of these traces."""
TOLERANCE = 0.05
"""Of the length that is wanted: among all rows that near to it, one is drawn."""


@dataclass(frozen=True)
class Lengths:
    """How long a prompt is to be: so many bytes for each token of the trace, times ``scale``."""

    bytes_per_token: float = BYTES_PER_TOKEN
    scale: float = 1.0

    @property
    def wanted_per_token(self) -> float:
        return self.bytes_per_token * self.scale


class NearRows:
    """Draws rows of a data set's held-out split by the length of their prompts, in bytes of UTF-8."""

    def __init__(self, dataset: Dataset, seed: int) -> None:
        by_length = sorted(
            (len(example.text.encode()), example.row) for example in load(dataset, TRACE_SPLIT)
        )
        self.name = dataset.name
        self._lengths = array("q", [length for length, _ in by_length])
        self._rows = array("q", [row for _, row in by_length])
        self._draws = stream(seed, f"near/{dataset.name}")

    @property
    def longest_bytes(self) -> int:
        """Of any prompt."""
        return self._lengths[-1]

    def draw(self, wanted_bytes: float) -> tuple[int, int]:
        """A row within :data:`TOLERANCE` of that length, or else one of the nearest; and its length."""
        low = bisect_left(self._lengths, wanted_bytes * (1 - TOLERANCE))
        high = bisect_right(self._lengths, wanted_bytes * (1 + TOLERANCE))
        if low == high:  # there is none: the row below, or the one above
            around = self._lengths[max(0, low - 1) : low + 1]
            nearest = min(around, key=lambda length: abs(length - wanted_bytes))
            low, high = bisect_left(self._lengths, nearest), bisect_right(self._lengths, nearest)
        chosen = low + below(high - low, self._draws)
        return self._rows[chosen], self._lengths[chosen]
