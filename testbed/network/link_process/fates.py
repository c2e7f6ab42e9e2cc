"""What becomes of the i-th frame on a direction's wire: is it lost, doubled, sent ahead, how long delayed.

Each fate follows from (seed, method, link, direction, i) alone. Every frame takes one number from every
stream, whatever the figures are, so that a figure that is 0 for a while shifts nothing; second copies have
streams of their own. Only ``random()`` is used, the only method whose numbers Python promises to keep.

The rules are those of netem (``netem_enqueue`` and ``loss_gilb_ell`` in the kernel's net/sched/sch_netem.c),
but for the order: a delay never lets a frame overtake the one ahead, only ``reorder`` does.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from statistics import NormalDist

_LEAST = 2.0**-54
"""Half the smallest step of ``random()``; it takes the place of 0, where a quantile may be infinite."""
_PARETO_SHAPE = 3.0
_PARETO_MEAN, _PARETO_SD = 1.5, math.sqrt(0.75)
_normal = NormalDist().inv_cdf

STREAMS = ("loss", "state", "duplicate", "reorder", "jitter", "copy-loss", "copy-jitter")


@dataclass(frozen=True)
class WayFigures:
    """The figures of the way from the wire to the far port; times in nanoseconds, probabilities in [0, 1].

    Attributes:
        delay_ns: one way.
        jitter_ns: the standard deviation of the delay.
        distribution: of the jitter: ``normal``, ``uniform`` or ``pareto`` (shape 3); each has the mean 0.
        loss: probability that a frame is lost; with ``bursts``, not used.
        bursts: probabilities (p, r, bad, good) of a Gilbert-Elliott chain.
        duplicate: probability that a frame is doubled.
        reorder: probability that a frame is sent without the delay.
        delays_ns: if given, the delay of frame i is the (i modulo length)-th of them.
    """

    delay_ns: int = 0
    jitter_ns: int = 0
    distribution: str = "normal"
    loss: float = 0.0
    bursts: tuple[float, float, float, float] | None = None
    duplicate: float = 0.0
    reorder: float = 0.0
    delays_ns: Sequence[int] | None = None


def numbers(seed: object, method: str, link: str, direction: str, stream: str) -> Callable[[], float]:
    """One of :data:`STREAMS` of a direction under a method: each call gives the next frame's number."""
    return Random(f"{seed}/{method}/{link}/{direction}/{stream}").random


def variant(method: str, number: int) -> str:
    """Another name of a method, by which other fates are drawn; the method's own, if the number is 0."""
    return f"{method}/{number}" if number else method


class Fates:
    """The numbers of one direction under one method, frame by frame."""

    def __init__(self, seed: object, method: str, link: str, direction: str) -> None:
        self._streams = tuple(numbers(seed, method, link, direction, name) for name in STREAMS)

    def draw(self) -> tuple[float, ...]:
        """The next frame's numbers in [0, 1), one from each of :data:`STREAMS`, in that order."""
        loss, state, duplicate, reorder, jitter, copy_loss, copy_jitter = self._streams
        return loss(), state(), duplicate(), reorder(), jitter(), copy_loss(), copy_jitter()


class Way:
    """The way from the wire to the far port.

    Attributes:
        figures: they may be changed between two frames.
        lost_frames: with the second copies that were lost.
        duplicated_frames: second copies that were made.
    """

    def __init__(self, figures: WayFigures, fates: Fates) -> None:
        self.figures = figures
        self.lost_frames = self.duplicated_frames = 0
        self._last_ns = 0
        self.begin(fates)

    def begin(self, fates: Fates) -> None:
        """Count frames from 0, with other fates."""
        self._fates, self._index, self._bad = fates, 0, False

    def enter(self, at_ns: int, *, cut: bool = False) -> tuple[int, ...]:
        """The times at which a frame that was put on the wire at ``at_ns`` comes out: none, one or two.

        A frame of a link that is cut takes its numbers like any other, and does not come out.
        """
        loss, state, duplicate, reorder, jitter, copy_loss, copy_jitter = self._fates.draw()
        index, figures = self._index, self.figures
        self._index += 1
        probability = figures.loss if figures.bursts is None else self._next_state(figures.bursts, state)
        if cut:
            return ()
        is_lost, is_double = loss < probability, duplicate < figures.duplicate
        if is_lost and not is_double:
            self.lost_frames += 1
            return ()
        first = at_ns if reorder < figures.reorder else self._due(at_ns, index, jitter)
        if is_lost or not is_double:  # lost and doubled: one of the two goes on
            return (first,)
        self.duplicated_frames += 1
        if copy_loss < probability:
            self.lost_frames += 1
            return (first,)
        return first, self._due(at_ns, index, copy_jitter)

    def _next_state(self, bursts: tuple[float, float, float, float], draw: float) -> float:
        """The probability of losing this frame; the chain then goes on to the state of the next."""
        p, r, bad, good = bursts
        probability = bad if self._bad else good
        if draw < (r if self._bad else p):
            self._bad = not self._bad
        return probability

    def _due(self, at_ns: int, index: int, draw: float) -> int:
        figures = self.figures
        delay_ns = (
            figures.delays_ns[index % len(figures.delays_ns)] if figures.delays_ns else figures.delay_ns
        )
        if figures.jitter_ns:
            delay_ns += round(figures.jitter_ns * standardised(draw, figures.distribution))
        due_ns = at_ns + delay_ns if delay_ns > 0 else at_ns
        if due_ns > self._last_ns:
            self._last_ns = due_ns
        return self._last_ns


def standardised(draw: float, distribution: str) -> float:
    """The ``draw``-quantile of a distribution with mean 0 and standard deviation 1.

    Args:
        distribution: ``normal``, ``uniform``, or ``pareto`` of shape 3, with the long tail upwards.
    """
    if distribution == "uniform":
        return math.sqrt(3) * (2 * draw - 1)
    if distribution == "pareto":
        return float(max(1 - draw, _LEAST) ** (-1 / _PARETO_SHAPE) - _PARETO_MEAN) / _PARETO_SD
    return _normal(max(draw, _LEAST))
