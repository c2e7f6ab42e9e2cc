"""What share of its requests each tier sent up under a method, beside what its rule lets expect; and ties.

RecServe sends up what lies strictly below the beta-quantile of the node's window (arXiv:2505.16502). If no
two confidences are equal, that is a share of about beta. Equal ones stay together: 0.98 alone is never
below itself, so that nothing goes up, whatever beta is.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right, insort
from collections import Counter, defaultdict, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import count
from typing import Any, NamedTuple

from testbed.results.columns import Row
from testbed.results.shares import untied_below
from testbed.scenario.sections.methods import Method
from testbed.scenario.topology import Topology

TOLD_DIFFERENCE = 0.02
"""What ties take from the share that goes up is told from here on: 2 of 100 requests."""


class _Decision(NamedTuple):
    """One decision of a node between two restarts."""

    confidence: float
    threshold: float | None
    sequence: int | None
    length: int | None
    kept: bool


def offload_figures(method: Method, rows: Sequence[Row], topology: Topology) -> dict[str, dict[str, Any]]:
    """Figures by deciding tier, from a method's rows of ``requests.parquet``; none if one tier alone serves.

    Shares are of the tier's decisions, ``None`` without any. ``share_asked`` is what the method's parameters
    ask for: beta, or a share of the requests. ``share_expected`` and ``share_untied`` are RecServe's, where a
    confidence enters the window before the threshold is computed. ``share_expected`` is the mean of
    ceil(beta (m - 1)) / m over windows of m values: what goes up of confidences that are exchangeable and
    untied. Of windows that start empty, ``share_untied`` is
    what these very confidences would have sent up, on average, had equal ones been ordered by lot.
    ``tied_at_threshold`` is the share of decisions whose confidence equals the threshold, ``largest_tie``
    the share of the most frequent value in the nodes' last windows (without windows, among all their
    confidences), weighted by length.
    """
    if method.only_tier is not None:
        return {}
    deciding = {
        node.name: node.tier
        for node in topology.nodes
        if node.parent is not None and node.tier not in method.relay
    }
    shared = method.shared  # asked once: it looks for the policy's class
    windows = {node: tier if shared else node for node, tier in deciding.items()}
    by_tier: dict[str, dict[tuple[str, int], list[_Decision]]] = {
        tier: defaultdict(list) for tier in deciding.values()
    }
    passed_on = Counter[str]()
    for row in rows:
        lives = row.get("lives") or [0] * len(row["path"])
        for at, node in enumerate(row["path"]):
            if node in deciding and row["confidences"][at] is not None:
                by_tier[deciding[node]][windows[node], lives[at]].append(_decision(row, at))
            elif node in deciding:
                passed_on[deciding[node]] += _passed_on(row, at)
    return {
        tier: _figures(method, tier, list(by_node.values()), passed_on[tier])
        for tier, by_node in by_tier.items()
    }


def _passed_on(row: Row, at: int) -> bool:
    """Whether a node that did not infer a request sent it up.

    One that failed before it inferred did not: it is the last on the path, and forwarded nothing, or the node
    below asked past it.
    """
    errors, skipped = row.get("forward_errors"), row.get("skipped")
    if at and skipped and skipped[at - 1]:
        return False
    return at < len(row["path"]) - 1 or bool(errors and errors[at])


def _decision(row: Row, at: int) -> _Decision:
    columns = ("confidences", "thresholds", "window_seqs", "window_lengths", "kept")
    return _Decision(*(row[column][at] for column in columns))


def _figures(
    method: Method, tier: str, nodes: Sequence[Sequence[_Decision]], passed_on: int
) -> dict[str, Any]:
    """One tier's figures from the decisions of each of its nodes, and of each life of a node.

    ``passed_on`` counts the requests that went up without an inference.
    """
    decisions = [decision for node in nodes for decision in node]
    offloaded = passed_on + sum(not decision.kept for decision in decisions)
    asked, expected, untied, size = method.share_asked(tier), None, None, None
    if method.policy == "recserve":
        size = int(method.of_tier("window", tier))
    if size is not None and asked is not None and method.parameters["enter"] == "before":
        expected = _share(_expected_offloads(decisions, asked), decisions)
        cold = method.parameters["start"] == "cold"
        offloads = [_untied_offloads(node, asked, size) if cold else None for node in nodes]
        if None not in offloads:
            untied = _share(math.fsum(filter(None, offloads)), decisions)
    last = [_last_window(node, size) for node in nodes]
    return {
        "decisions": len(decisions) + passed_on,
        "offloaded": offloaded,
        "share": offloaded / (len(decisions) + passed_on) if decisions or passed_on else None,
        "share_asked": asked,
        "share_expected": expected,
        "share_untied": untied,
        "distinct_confidences": len({decision.confidence for decision in decisions}),
        "tied_at_threshold": _share(sum(d.confidence == d.threshold for d in decisions), decisions),
        "largest_tie": _share(sum(map(_most_frequent, last)), [value for window in last for value in window]),
    }


def _share(of: float, decisions: Sequence[Any]) -> float | None:
    return of / len(decisions) if decisions else None


def _expected_offloads(decisions: Iterable[_Decision], beta: float) -> float:
    return math.fsum(untied_below(beta, d.length) / d.length for d in decisions if d.length)


def _in_order(node: Sequence[_Decision]) -> list[_Decision]:
    return sorted(node, key=lambda decision: -1 if decision.sequence is None else decision.sequence)


def _last_window(node: Sequence[_Decision], size: int | None) -> list[float]:
    confidences = [decision.confidence for decision in _in_order(node)]
    return confidences if size is None else confidences[-size:]


def _most_frequent(values: Sequence[float]) -> int:
    return max(Counter(values).values())


def _untied_offloads(node: Sequence[_Decision], beta: float, size: int) -> float | None:
    """How many of one window's decisions would have gone up, on average, had ties been broken by lot.

    ``None`` if values are missing in the window, as a killed node loses some.
    """
    window: deque[float] = deque()
    ordered: list[float] = []
    offloads = []
    for expected, (confidence, _, sequence, _, _) in zip(count(), _in_order(node), strict=False):
        if sequence != expected:
            return None
        window.append(confidence)
        insort(ordered, confidence)
        if len(window) > size:
            del ordered[bisect_left(ordered, window.popleft())]
        below = bisect_left(ordered, confidence)
        equal = bisect_right(ordered, confidence) - below
        going = untied_below(beta, len(ordered)) - below
        offloads.append(min(max(going / equal, 0.0), 1.0))
    return math.fsum(offloads)


def tie_warnings(method: str, figures: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """A sentence for each tier that sent up less because confidences are equal."""
    for tier, found in figures.items():
        share, untied = found["share"], found["share_untied"]
        if share is not None and untied is not None and untied - share > TOLD_DIFFERENCE:
            yield (
                f"{method}: {tier} sent up a share of {share:.3f} where β asked for "
                f"{found['share_asked']:.3f}, because confidences are equal "
                f"({found['distinct_confidences']} distinct in {found['decisions']} decisions): "
                "only what is strictly below the threshold goes up; "
                f"without ties it would have been {untied:.3f}"
            )
