"""A node's last N confidences and their β-quantile (arXiv:2505.16502's "historical confidence queue")."""

from __future__ import annotations

import math
from array import array
from bisect import bisect_left, insort
from collections import deque
from collections.abc import Sequence


class SlidingWindow:
    """The last ``capacity`` values, always sorted, so that a quantile is two look-ups.

    Insertion and eviction find their place by bisection. At N = 10,000 both take three microseconds in an
    array, and five in a list, whose items Python moves one by one.
    """

    def __init__(self, capacity: int) -> None:
        """Begin with no value.

        Raises:
            ValueError: ``capacity`` is less than 1.
        """
        if capacity < 1:
            raise ValueError(f"a window holds at least 1 value, not {capacity}")
        self.capacity = capacity
        self._arrival: deque[float] = deque()
        self._sorted = array("d")

    def __len__(self) -> int:
        return len(self._sorted)

    def append(self, value: float) -> None:
        """Take ``value`` in; the oldest leaves when the window is over-full.

        Raises:
            ValueError: ``value`` is NaN or infinite: it would have no place in the order.
        """
        if not math.isfinite(value):
            raise ValueError(f"a window takes finite values, not {value!r}")
        self._arrival.append(value)
        insort(self._sorted, value)
        if len(self._arrival) > self.capacity:
            del self._sorted[bisect_left(self._sorted, self._arrival.popleft())]

    def quantile(self, beta: float) -> float:
        """The β-quantile with linear interpolation; see :func:`quantile_of_sorted`."""
        return quantile_of_sorted(self._sorted, beta)


def quantile_of_sorted(values: Sequence[float], beta: float) -> float:
    """``numpy.percentile(values, 100 * beta)``, bit for bit, of values that are sorted already.

    By the paper, r = β(m-1), τ = c_⌊r⌋ + (r-⌊r⌋)(c_⌈r⌉ - c_⌊r⌋). In floating point the order of operations
    decides the last bit, and with it ``confidence < τ``. So this follows numpy (``percentile``
    divides by 100 again; ``_lerp`` goes down from the upper neighbour when the fraction is at least 0.5).

    Args:
        values: at least one finite value, ascending.
        beta: in [0, 1].

    Raises:
        ValueError: no value, or ``beta`` outside [0, 1].
    """
    if not values:
        raise ValueError("an empty window has no quantile")
    if not 0.0 <= beta <= 1.0:
        raise ValueError(f"beta must lie in [0, 1], not {beta!r}")
    last = len(values) - 1
    rank = last * (beta * 100.0 / 100.0)
    if rank >= last:
        return values[last]
    below = math.floor(rank)
    fraction = rank - below
    low, high = values[below], values[below + 1]
    if fraction >= 0.5:
        return high - (high - low) * (1 - fraction)
    return low + (high - low) * fraction
