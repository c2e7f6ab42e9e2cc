"""What a link of a given shape must show when it is measured, and how far off chance alone may put it.

Pure arithmetic over :class:`~testbed.topology.Shape`; :mod:`testbed.measure` holds the kernel against it.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from testbed.topology import FRAME_BYTES, Shape

RATE_TOLERANCE = 0.01
RATE_FRAMES = 100
"""Of a rate's window: one frame more or less is then no more than the tolerance."""
MOST_WINDOW_S = 20.0
MOST_DATAGRAMS = 12_000
TIME_TOLERANCE = 0.02
TIME_TOLERANCE_MS = 1.0
STILL_JITTER_MS = 1.0
"""A way without jitter may spread by as much as its time may be off before that is called jitter."""
CHANCE = 0.002
"""How often a true link may fall outside a statistical interval, both sides together."""
_DEVIATIONS = 3.09  # of the normal distribution, for CHANCE
_MEDIAN_SPREAD = math.sqrt(math.pi / 2)  # standard error of a median over that of a mean, for normal samples

Where = Literal["up", "down", "both"]


@dataclass(frozen=True)
class Finding:
    """One figure of one link, held against its scenario.

    ``ok`` is ``None`` where there is nothing to hold it against; ``note`` then says why. ``measured`` is
    ``None`` where nothing came back. ``samples`` counts frames or datagrams.
    """

    link: str
    direction: Where
    quantity: str
    unit: str
    configured: float | None
    measured: float | None
    low: float | None
    high: float | None
    samples: int
    ok: bool | None
    note: str = ""

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    def __str__(self) -> str:
        where = self.link if self.direction == "both" else f"{self.link} ({self.direction})"
        if self.measured is None:
            return f"{where}: {self.quantity} not measured, {self.note}"
        within = "" if self.low is None else f", expected {self.low:.6g} to {self.high:.6g}"
        note = f" ({self.note})" if self.note else ""
        return f"{where}: {self.quantity} {self.measured:.6g} {self.unit}{within}{note}"


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


def rate_bounds(rate_bps: int, seconds: float) -> tuple[float, float]:
    """1 %, and the frame that the counting begins or ends in."""
    slack = rate_bps * RATE_TOLERANCE + FRAME_BYTES * 8 / seconds
    return rate_bps - slack, rate_bps + slack


def one_way_ms(shape: Shape, frame_bytes: int) -> float:
    """The median time of a lone frame. netem's jitter is symmetric, so that it leaves the median in place."""
    return shape.delay_ms + serialisation_ms(frame_bytes, shape.rate_bps)


def round_trip_ms(up: Shape, down: Shape, frame_bytes: int) -> float:
    return one_way_ms(up, frame_bytes) + one_way_ms(down, frame_bytes)


def time_bounds(expected_ms: float, jitter_ms: float, samples: int) -> tuple[float, float]:
    """The larger of 2 % and 1 ms, and with jitter what a median of ``samples`` may be off by chance."""
    slack = max(expected_ms * TIME_TOLERANCE, TIME_TOLERANCE_MS)
    if jitter_ms and samples:
        slack += _DEVIATIONS * _MEDIAN_SPREAD * jitter_ms / math.sqrt(samples)
    return max(0.0, expected_ms - slack), expected_ms + slack


def tells_reordered(delay_ms: float, jitter_ms: float) -> bool:
    """Whether no frame that jitter makes early can be taken for one that reordering sent without a delay."""
    return delay_ms > 5 * jitter_ms + 1


def delayed(times_ms: Sequence[float], expected_ms: float, delay_ms: float, jitter_ms: float) -> list[float]:
    """Times of frames that had ``delay_ms``: netem sends those that it reorders without (tc-netem(8)).

    Where the two cannot be told apart (:func:`tells_reordered`) it is all of them.
    """
    if not tells_reordered(delay_ms, jitter_ms):
        return list(times_ms)
    least_ms = expected_ms - (delay_ms + 5 * jitter_ms) / 2
    return [time_ms for time_ms in times_ms if time_ms >= least_ms]


def jitter_bounds(jitter_ms: float, samples: int) -> tuple[float, float]:
    """Around a standard deviation: chance (1/√2n of it), 5 % for netem's tables, and a still way's spread."""
    if jitter_ms == 0:
        return 0.0, STILL_JITTER_MS
    slack = jitter_ms * (_DEVIATIONS / math.sqrt(2 * max(samples, 1)) + 0.05) + STILL_JITTER_MS / 2
    return max(0.0, jitter_ms - slack), jitter_ms + slack


def spread_ms(times_ms: Sequence[float], jitter_ms: float) -> float | None:
    """Standard deviation of one-way times; for a still way that of a normal sample with their quartiles.

    A time that lies further up than jitter can put it was the host's doing and is left out: it is seen by
    the probe during the run, and is not the link's jitter.
    """
    if len(times_ms) < 4:
        return None
    if jitter_ms == 0:
        low, _, high = statistics.quantiles(times_ms, n=4)
        return (high - low) / 1.349
    latest_ms = statistics.median(times_ms) + 5 * jitter_ms + 1
    return statistics.stdev([time_ms for time_ms in times_ms if time_ms <= latest_ms])


def loss_seen(shape: Shape) -> float:
    """Probability that no copy arrives: netem draws both apart, and a duplicate can stand in for a loss."""
    return shape.loss * (1 - shape.duplicate)


def duplicates_seen(shape: Shape) -> float:
    """Probability that a second copy arrives: netem makes one of a datagram that is not lost, and sends it
    through the loss once more (netem_enqueue in the kernel's net/sched/sch_netem.c).
    """
    return shape.duplicate * (1 - shape.loss) ** 2


def datagrams_for(probability: float) -> int:
    """How many datagrams show a loss: about 50 losses, so that half and twice as many stand out."""
    return min(max(math.ceil(50 / probability), 500), MOST_DATAGRAMS) if probability > 0 else 0


def binomial_interval(trials: int, probability: float, chance: float = CHANCE) -> tuple[int, int]:
    """Fewest and most successes that a true ``probability`` gives, but for ``chance`` (half on each side)."""
    if probability <= 0 or trials == 0:
        return 0, 0
    if probability >= 1:
        return trials, trials
    half = chance / 2
    log_p, log_q = math.log(probability), math.log1p(-probability)

    def mass(k: int) -> float:
        ways = math.lgamma(trials + 1) - math.lgamma(k + 1) - math.lgamma(trials - k + 1)
        return math.exp(ways + k * log_p + (trials - k) * log_q)

    low, below = 0, mass(0)
    while below < half:
        low += 1
        below += mass(low)
    high, above = trials, mass(trials)
    while above < half:
        high -= 1
        above += mass(high)
    return low, high
