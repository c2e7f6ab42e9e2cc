"""What a link of a given shape must show when it is measured, and how far off chance alone may put it.

Arithmetic over :class:`~testbed.scenario.topology.Shape`; :mod:`testbed.network.measure` measures.
"""

from __future__ import annotations

import functools
import math
import statistics
from collections.abc import Sequence
from pathlib import Path

from testbed.scenario.reading.delay_file import median_range_ms
from testbed.scenario.reports import Finding, Where
from testbed.scenario.topology import FRAME_BYTES, JitterDistribution, Shape

RATE_TOLERANCE = 0.01
RATE_FRAMES = 20
"""Of a rate's window at least, on a slow link. Each has the kernel's stamp, so that few are enough."""
MOST_WINDOW_S = 20.0
TIME_TOLERANCE = 0.02
TIME_TOLERANCE_MS = 1.0
STILL_JITTER_MS = 1.0
"""A way without jitter may spread by as much as its time may be off before that is called jitter."""
CHANCE = 0.002
"""How often a true link may fall outside a statistical interval, both sides together."""
_NORMAL = statistics.NormalDist()
_DEVIATIONS = _NORMAL.inv_cdf(1 - CHANCE / 2)
_MEDIAN_SPREAD: dict[JitterDistribution, float] = {
    "normal": math.sqrt(math.pi / 2),
    "uniform": math.sqrt(3),
    "pareto": 2 ** (4 / 3) / 6 / math.sqrt(0.75),
}
"""Standard error of a median of n times √n, in standard deviations: 1 / 2f, with the density f there."""
_PARETO_QUARTILES: float = (0.25 ** (-1 / 3) - 0.75 ** (-1 / 3)) / math.sqrt(0.75)
"""How far apart they are, in standard deviations."""
_PARETO_SPREAD = 1.79
"""Relative standard error of that distance, in a sample of n, times √n."""
FROM_FILE = "the delays are the file's, in its order"
"""The note on a spread that has no bounds."""


def held(
    link: str,
    direction: Where,
    quantity: str,
    unit: str,
    configured: float | None,
    measured: float | None,
    bounds: tuple[float, float],
    samples: int,
    note: str = "",
) -> Finding:
    """A finding that is ``ok`` if it was measured and lies within ``bounds``, ends included."""
    low, high = bounds
    ok = measured is not None and low <= measured <= high
    return Finding(link, direction, quantity, unit, configured, measured, low, high, samples, ok, note)


def serialisation_ms(frame_bytes: int, rate_bps: int | None) -> float:
    """How long a frame occupies the bottleneck; 0 where the rate is unlimited."""
    return 0.0 if rate_bps is None else frame_bytes * 8e3 / rate_bps


def rate_window_s(rate_bps: int, least_s: float) -> float:
    """For how long a rate is watched: for :data:`RATE_FRAMES` frames if it takes longer than ``least_s``."""
    wanted_s = RATE_FRAMES * serialisation_ms(FRAME_BYTES, rate_bps) / 1000
    return max(least_s, min(wanted_s, MOST_WINDOW_S))


def rate_bounds(rate_bps: int) -> tuple[float, float]:
    """1 %; what is counted is whole frames, from one's stamp to another's."""
    slack = rate_bps * RATE_TOLERANCE
    return rate_bps - slack, rate_bps + slack


def jitter_quantile(share: float, distribution: JitterDistribution) -> float:
    """The value below which a ``share`` in (0, 1) of jitter lies, in standard deviations; the mean is 0.

    ``pareto`` has the shape 3, and its long tail upwards. Written apart from how the link process draws
    jitter, which is held against it.
    """
    if distribution == "uniform":
        return (share - 0.5) * math.sqrt(12)
    if distribution == "pareto":
        return float((1 - share) ** (-1 / 3) - 1.5) / math.sqrt(0.75)
    return _NORMAL.inv_cdf(share)


@functools.cache
def _median_jitter_ms(jitters: tuple[tuple[float, JitterDistribution], ...]) -> float:
    """Median of the sum of one or two independent jitters: 0, unless one is skewed."""
    jitters = tuple((sd_ms, kind) for sd_ms, kind in jitters if sd_ms)
    if all(kind != "pareto" for _, kind in jitters):
        return 0.0
    shares = [(number + 0.5) / 400 for number in range(400)] if len(jitters) > 1 else [0.5]
    sums = [0.0]
    for sd_ms, kind in jitters:
        sums = [sum_ms + sd_ms * jitter_quantile(share, kind) for sum_ms in sums for share in shares]
    return statistics.median(sums)


def one_way_ms(shape: Shape, frame_bytes: int) -> float:
    """The median time of a lone frame."""
    jitter_ms = _median_jitter_ms(((shape.jitter_ms, shape.jitter_distribution),))
    return shape.delay_ms + jitter_ms + serialisation_ms(frame_bytes, shape.rate_bps)


def round_trip_ms(up: Shape, down: Shape, frame_bytes: int) -> float:
    """The median time of a lone frame there and back; with two skewed jitters it is not the sum of both."""
    jitters = tuple((shape.jitter_ms, shape.jitter_distribution) for shape in (up, down))
    still_ms = sum(shape.delay_ms + serialisation_ms(frame_bytes, shape.rate_bps) for shape in (up, down))
    return still_ms + _median_jitter_ms(jitters)


def time_bounds(
    expected_ms: float, jitter_ms: float, samples: int, *distributions: JitterDistribution
) -> tuple[float, float]:
    """The larger of 2 % and 1 ms, and with jitter what a median of ``samples`` may be off by chance.

    Args:
        jitter_ms: standard deviation of all that adds up to the time.
        distributions: of the jitters in it; normal, if not given.
    """
    slack = max(expected_ms * TIME_TOLERANCE, TIME_TOLERANCE_MS)
    if jitter_ms and samples:
        spread = max(_MEDIAN_SPREAD[distribution] for distribution in distributions or ("normal",))
        slack += _DEVIATIONS * spread * jitter_ms / math.sqrt(samples)
    return max(0.0, expected_ms - slack), expected_ms + slack


def along_files(bounds: tuple[float, float], shapes: Sequence[Shape], samples: int) -> tuple[float, float]:
    """Bounds of a median, with what ``samples`` in a row of a delay file may be off its median as a whole."""
    low, high = bounds
    for shape in shapes:
        if shape.delay_file is not None:
            least_ms, most_ms = median_range_ms(Path(shape.delay_file), samples)
            low, high = low + least_ms - shape.delay_ms, high + most_ms - shape.delay_ms
    return max(0.0, low), high


def tells_reordered(delay_ms: float, jitter_ms: float) -> bool:
    """Whether no frame that jitter makes early can be taken for one that reordering sent without a delay."""
    return delay_ms > 5 * jitter_ms + 1


def delayed(times_ms: Sequence[float], expected_ms: float, delay_ms: float, jitter_ms: float) -> list[float]:
    """Times of frames that had ``delay_ms``: those that overtake others are sent without (tc-netem(8)).

    Where the two cannot be told apart (:func:`tells_reordered`) it is all of them.
    """
    if not tells_reordered(delay_ms, jitter_ms):
        return list(times_ms)
    least_ms = expected_ms - (delay_ms + 5 * jitter_ms) / 2
    return [time_ms for time_ms in times_ms if time_ms >= least_ms]


def spread_expected_ms(shape: Shape) -> float:
    """Standard deviation of frames' times: what jitter near the delay lacks, since none arrives too early."""
    if shape.jitter_ms == 0 or shape.jitter_distribution == "pareto" or shape.delay_file is not None:
        return shape.jitter_ms
    shares = [(number + 0.5) / 1000 for number in range(1000)]
    drawn_ms = [shape.jitter_ms * jitter_quantile(share, shape.jitter_distribution) for share in shares]
    seen_ms = [max(-shape.delay_ms, jitter_ms) for jitter_ms in drawn_ms]
    return shape.jitter_ms * statistics.pstdev(seen_ms) / statistics.pstdev(drawn_ms)


def jitter_bounds(
    jitter_ms: float, samples: int, distribution: JitterDistribution = "normal"
) -> tuple[float, float]:
    """Around a spread (:func:`spread_ms`): what chance does, and half of what a still way may spread."""
    if jitter_ms == 0:
        return 0.0, STILL_JITTER_MS
    error = _PARETO_SPREAD if distribution == "pareto" else math.sqrt(0.5)
    slack = jitter_ms * _DEVIATIONS * error / math.sqrt(max(samples, 1)) + STILL_JITTER_MS / 2
    return max(0.0, jitter_ms - slack), jitter_ms + slack


def spread_ms(
    times_ms: Sequence[float], jitter_ms: float, distribution: JitterDistribution = "normal"
) -> float | None:
    """Standard deviation of one-way times; where the way is still, and with ``pareto``, that of a sample of
    the distribution with their quartiles: a long tail makes every sample's own standard deviation another.

    A time that lies further up than jitter can put it was the host's doing and is left out: it is seen by
    the probe during the run, and is not the link's jitter.
    """
    if len(times_ms) < 4:
        return None
    low, _, high = statistics.quantiles(times_ms, n=4)
    if jitter_ms == 0:
        return (high - low) / (2 * _NORMAL.inv_cdf(0.75))
    if distribution == "pareto":
        return (high - low) / _PARETO_QUARTILES
    latest_ms = statistics.median(times_ms) + 5 * jitter_ms + 1
    return statistics.stdev([time_ms for time_ms in times_ms if time_ms <= latest_ms])
