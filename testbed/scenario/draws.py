"""What is drawn for a trace: times, devices and rows, each from a random stream of its own.

The streams use ``random()`` alone, which Python promises to keep; NumPy's generators and Python's other draws
may change. So a seed gives the same trace on every host.
"""

from __future__ import annotations

import itertools
import math
import random
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from typing import TypeVar

from testbed.scenario.sections.trace import Arrivals

Thing = TypeVar("Thing")


def stream(seed: int, name: str) -> random.Random:
    """The random stream of that name."""
    return random.Random(f"{seed}/{name}")


def below(bound: int, draws: random.Random) -> int:
    """A uniform integer in [0, bound)."""
    return int(draws.random() * bound)


def arrival_times(arrivals: Arrivals, seed: int) -> Iterator[float]:
    """The times of requests in seconds, without end."""
    draws, rate = stream(seed, "arrivals"), arrivals.rate_per_s
    if arrivals.process == "gamma":
        assert arrivals.burstiness is not None
        return itertools.accumulate(_gamma_gaps(rate, arrivals.burstiness, draws))
    if arrivals.process == "diurnal":
        assert arrivals.period_s is not None
        assert arrivals.swing is not None
        return _diurnal(rate, arrivals.period_s, arrivals.swing, draws)
    if arrivals.process == "poisson":
        return itertools.accumulate(_exponential(rate, draws) for _ in itertools.count())
    return (number / rate for number in itertools.count())


def _exponential(rate: float, draws: random.Random) -> float:
    return -math.log1p(-draws.random()) / rate


def _gamma_gaps(rate: float, burstiness: float, draws: random.Random) -> Iterator[float]:
    """Gaps of mean ``1 / rate`` whose coefficient of variation is ``burstiness``."""
    shape = burstiness**-2
    while True:
        yield _gamma(shape, draws) / (shape * rate)


def _gamma(shape: float, draws: random.Random) -> float:
    """A gamma variate of scale 1 (Marsaglia and Tsang, ACM TOMS 26(3), 2000; below 1 by their remark)."""
    if shape < 1:
        return _gamma(shape + 1, draws) * math.pow(1 - draws.random(), 1 / shape)
    d = shape - 1 / 3
    while True:
        radius, angle = math.sqrt(-2 * math.log1p(-draws.random())), 2 * math.pi * draws.random()
        normal = radius * math.cos(angle)
        v = (1 + normal / math.sqrt(9 * d)) ** 3
        if v > 0 and math.log1p(-draws.random()) < normal**2 / 2 + d * (1 - v + math.log(v)):
            return d * v


def _diurnal(rate: float, period_s: float, swing: float, draws: random.Random) -> Iterator[float]:
    """Thinned from a Poisson process of the highest rate (Lewis and Shedler, 1979)."""
    highest, at_s = rate * (1 + swing), 0.0
    while True:
        at_s += _exponential(highest, draws)
        if draws.random() * (1 + swing) < 1 + swing * math.sin(2 * math.pi * at_s / period_s):
            yield at_s


def device_draws(devices: Sequence[str], seed: int, zipf: float = 0.0) -> Iterator[str]:
    """Devices, independently, without end; the k-th has a share proportional to ``k ** -zipf``.

    All are alike with 0.
    """
    draws = stream(seed, "devices")
    if zipf == 0:
        while True:
            yield devices[below(len(devices), draws)]
    sums = list(itertools.accumulate(number**-zipf for number in range(1, len(devices) + 1)))
    while True:
        yield devices[min(bisect_right(sums, draws.random() * sums[-1]), len(devices) - 1)]


def shuffled_forever(things: Sequence[Thing], draws: random.Random) -> Iterator[Thing]:
    """The things in random order (Fisher and Yates), then in another, without end."""
    while True:
        order = list(things)
        for last in range(len(order) - 1, 0, -1):
            chosen = below(last + 1, draws)
            order[last], order[chosen] = order[chosen], order[last]
        yield from order
