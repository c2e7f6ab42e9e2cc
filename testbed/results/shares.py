"""What share of its requests a method should put on each hop: in the long run, and of so many requests.

It follows from what the method asks for, and holds for confidences that are exchangeable and untied.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from testbed.results.columns import Row
from testbed.scenario.sections.methods import Method
from testbed.scenario.topology import Topology

_ROUNDING = 1e-9
"""Products like 0.55 * 20 lie beside the whole number that they are."""
_AT_ANY_LENGTH = frozenset({"colserve", "budget"})
"""Policies whose share is the one asked for, however many requests there are."""

Offloads = Callable[[float], float]
"""How many of so many requests a node should send up."""


class HopShares(NamedTuple):
    """Shares of all requests that should cross a hop; ``None`` where the method does not say."""

    asymptotic: float | None
    """The product of what the tiers below the hop ask for: β^k."""
    expected: float | None
    """Of so many requests, at each node with its own window."""


def untied_below(beta: float, values: int) -> int:
    """How many of so many untied values lie strictly below their β-quantile: ceil(β (m - 1))."""
    return math.ceil(beta * (values - 1) - _ROUNDING)


def expected_offloads(beta: float, window: int, requests: float, filled: int = 0) -> float:
    """How many of a node's requests RecServe sends up on average.

    A decision over a window of *m* values, its own among them, is to send up with probability
    ceil(β (m - 1)) / m. That holds exactly for each decision, of confidences that are exchangeable and
    untied.

    Args:
        beta: the quantile, in [0, 1].
        window: the most values that the window holds.
        requests: how many the node gets. Between two whole numbers it is linear: a node above the devices
            gets a number that is itself an average.
        filled: values in the window before the first request.
    """
    values = np.minimum(np.arange(filled + 1, max(filled + 1, window) + 1), window)
    chances = np.ceil(beta * (values - 1) - _ROUNDING) / values
    steps = np.arange(len(values) + 1)
    sent = np.concatenate([[0.0], np.cumsum(chances)])
    beyond = max(0.0, requests - len(values))
    return float(np.interp(requests, steps, sent) + beyond * chances[-1])


def hop_shares(method: Method, topology: Topology, rows: Sequence[Row]) -> dict[str, HopShares]:
    """By the tier below each hop, lowest first, from a method's rows of ``requests.parquet``.

    Of the rows only the devices that were asked, and with ``start: prefilled`` the windows' first lengths,
    matter. Empty where one tier alone serves. It knows of no failure: as if all requests had been decided,
    and no window had been lost.
    """
    if method.only_tier is not None:
        return {}
    found: dict[str, HopShares] = {}
    asymptotic: float | None = 1.0
    reaching: Mapping[str, float] | None = Counter(row["device"] for row in rows)
    parents = {node.name: node.parent for node in topology.nodes if node.parent is not None}
    for tier in dict.fromkeys(node.tier for node in topology.nodes if node.name in parents):
        asked = 1.0 if tier in method.relay else method.share_asked(tier)
        asymptotic = None if asymptotic is None or asked is None else asymptotic * asked
        offloads = _offloads(method, tier, topology, rows)
        if reaching is not None and method.shared:  # one window for all nodes, as if they were one
            reaching = {next(iter(reaching)): math.fsum(reaching.values())}
        if reaching is not None and offloads is not None:
            going: dict[str, float] = defaultdict(float)
            for node, requests in reaching.items():
                going[parents[node]] += offloads(requests)
            reaching = going
        else:
            reaching = None
        expected = None if reaching is None else math.fsum(reaching.values()) / len(rows)
        found[tier] = HopShares(asymptotic, expected)
    return found


def _offloads(method: Method, tier: str, topology: Topology, rows: Sequence[Row]) -> Offloads | None:
    """What a node of a tier should send up of its requests; ``None`` where the method does not say."""
    if tier in method.relay:
        return lambda requests: requests
    asked = method.share_asked(tier)
    if asked is None:
        return None
    if method.policy in _AT_ANY_LENGTH:
        return lambda requests: asked * requests
    if method.policy != "recserve" or method.parameters["enter"] != "before":
        return None
    cold, window = method.parameters["start"] == "cold", int(method.of_tier("window", tier))
    filled = 0 if cold else _prefilled(tier, topology, rows)
    return None if filled is None else lambda requests: expected_offloads(asked, window, requests, filled)


def _prefilled(tier: str, topology: Topology, rows: Sequence[Row]) -> int | None:
    """How many values the windows of a tier held at the start; ``None`` where no decision shows it."""
    nodes = {node.name for node in topology.nodes if node.tier == tier}
    lengths = [
        length
        for row in rows
        for node, length in zip(row["path"], row["window_lengths"], strict=True)
        if node in nodes and length is not None
    ]
    return min(lengths) - 1 if lengths else None
