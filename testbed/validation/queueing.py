"""Queues in closed form: mean time at a server with Poisson arrivals, and Lindley's recursion.

Times of one call share a unit, whatever it is; rates are per that unit.
"""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Sequence
from typing import NamedTuple


def mg1_sojourn(rate: float, mean: float, second_moment: float) -> float:
    """Mean time at an M/G/1 queue, waiting and service, first come first served.

    Pollaczek and Khinchine: E[T] = E[S] + λ E[S²] / (2 (1 - ρ)) with ρ = λ E[S] (Kleinrock, Queueing Systems
    I, 5.5). With E[S²] = 2 E[S]² it is the M/M/1 queue, with E[S²] = E[S]² the M/D/1 queue.

    Raises:
        ValueError: a load of 1 or more, under which there is no mean, or moments that no service has.
    """
    load = rate * mean
    if not 0 <= load < 1:
        raise ValueError(f"a queue at load {load:.3f} has no mean sojourn")
    if second_moment < mean * mean * (1 - 1e-9):
        raise ValueError("a second moment below the mean's square is none")
    return mean + rate * second_moment / (2 * (1 - load))


def lindley_sojourns(arrivals: Sequence[float], services: Sequence[float]) -> list[float]:
    """Time at the server of each request of one arrival sequence, the server empty at first.

    Waiting times obey W' = max(0, W + S - A), with A the gap to the next arrival (Lindley, Proc. Cambridge
    Phil. Soc. 1952).

    Raises:
        ValueError: of unequal length.
    """
    free, sojourns = -math.inf, []
    for arrival, service in zip(arrivals, services, strict=True):
        free = max(free, arrival) + service
        sojourns.append(free - arrival)
    return sojourns


class Estimate(NamedTuple):
    """A mean with its standard error."""

    mean: float
    standard_error: float


def batch_means(values: Sequence[float], batches: int = 10) -> Estimate:
    """Mean of a correlated series, its error from the spread of the means of consecutive batches.

    (Law, Simulation Modeling and Analysis, 9.5.3.) What is left over after equal batches joins the last.

    Raises:
        ValueError: fewer than two values for each batch.
    """
    if batches < 2 or len(values) < 2 * batches:
        raise ValueError(f"{len(values)} values do not make {batches} batches")
    size = len(values) // batches
    edges = [*range(0, size * batches, size), len(values)]
    means = [statistics.fmean(values[a:b]) for a, b in itertools.pairwise(edges)]
    return Estimate(statistics.fmean(values), statistics.stdev(means) / math.sqrt(batches))
