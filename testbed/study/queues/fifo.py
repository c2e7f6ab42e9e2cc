"""Many servers, each first come first served and one at a time: when each of their customers leaves.

Lindley's recursion (Proc. Cambridge Phil. Soc. 1952) over whole arrays: with C the running sum of services,
the i-th customer of a server leaves at C_i + max_{j ≤ i} (A_j - C_{j-1}). All times are in seconds.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.signedinteger[Any]]
COUNT = np.int32
"""Of numbers of requests, nodes and links, of which there are a million at most: half of what int64 takes."""


@dataclass(frozen=True)
class ByServer:
    """Customers in the order of their servers, and at each of their arrival; equal times keep their order.

    Attributes:
        order: the customers' numbers in that order.
        edges: where in ``order`` each server's customers begin, and the end of the last.
    """

    order: Ints
    edges: Ints

    @classmethod
    def of(cls, arrivals_s: Floats, servers: Ints) -> ByServer:
        order = np.lexsort((arrivals_s, servers))
        firsts = np.flatnonzero(np.diff(servers[order], prepend=-1))
        return cls(order.astype(COUNT), np.append(firsts, len(order)))

    def __iter__(self) -> Iterator[Ints]:
        """The customers of each server that has any, in order of arrival."""
        for first, end in zip(self.edges[:-1].tolist(), self.edges[1:].tolist(), strict=True):
            yield self.order[first:end]


def departures(arrivals_s: Floats, services_s: Floats, servers: ByServer) -> Floats:
    """When each customer leaves its server, which is empty at first."""
    left_s = np.empty_like(arrivals_s)
    for own in servers:
        sums_s = np.cumsum(services_s[own])
        begun_s = np.maximum.accumulate(arrivals_s[own] - (sums_s - services_s[own]))
        left_s[own] = begun_s + sums_s
    return left_s


def in_order(times_s: Floats, servers: ByServer) -> Floats:
    """Times at which nobody overtakes: each at least that of whoever came to the server before."""
    found_s = np.empty_like(times_s)
    for own in servers:
        found_s[own] = np.maximum.accumulate(times_s[own])
    return found_s


def found_there(arrivals_s: Floats, departures_s: Floats, sizes: Ints, servers: ByServer) -> Ints:
    """How much is at the server, waiting or served, when each customer comes: the sum of their ``sizes``."""
    found = np.empty(len(arrivals_s), dtype=np.int64)
    for own in servers:
        sums = np.append(0, np.cumsum(sizes[own]))
        gone = np.searchsorted(departures_s[own], arrivals_s[own], side="right")
        found[own] = sums[:-1] - sums[np.minimum(gone, np.arange(len(own)))]
    return found


def newly_opened(began_s: Floats, ended_s: Floats, servers: ByServer) -> NDArray[np.bool_]:
    """Who finds no idle connection: more are under way with it than ever before at its server."""
    opens = np.empty(len(began_s), dtype=np.bool_)
    for own in servers:
        ended = np.searchsorted(np.sort(ended_s[own]), began_s[own], side="right")
        under_way = np.arange(1, len(own) + 1) - ended
        most_before = np.maximum.accumulate(np.append(0, under_way[:-1]))
        opens[own] = under_way > most_before
    return opens
