"""Audits a run's decisions: applies the methods' rules again to what every node recorded, from files alone.

No code of the tiers takes part. Thresholds come from ``numpy.percentile``, as in the authors' code, over a
window that is rebuilt here in the order in which values entered it.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from dataclasses import replace
from itertools import chain, count, pairwise

import numpy as np

from testbed.results.columns import Row
from testbed.results.directory import RunDirectory
from testbed.results.evidence import Audit
from testbed.scenario.scenario import Scenario
from testbed.scenario.sections.events import NodeEvent
from testbed.scenario.sections.methods import Method
from testbed.scenario.topology import Topology

MAX_DIFFERENCES = 50


def audit_run(directory: RunDirectory) -> Audit:
    """Audit a finished run: are its files as it left them, and does each decision follow the rules.

    Raises:
        TestbedError: the directory lacks a file or holds a damaged one.
    """
    broken = directory.broken_seals()
    with directory.understood():
        scenario = Scenario.model_validate(directory.read_json("manifest.json")["scenario"])
        audited = audit(scenario, directory.read_table("requests.parquet"))
    return replace(audited, differences=(*broken, *audited.differences))


def audit(scenario: Scenario, rows: Sequence[Row]) -> Audit:
    """Hold every decision in the rows of ``requests.parquet`` against the scenario's methods.

    A node that an event killed lost the records that it had not handed over yet: the last ones of that life
    are missing, and from the first gap on its thresholds cannot be shown.
    """
    topology = scenario.topology
    tops = {node.name for node in topology.nodes if node.parent is None}
    killed = Counter(
        event.node for event in scenario.events if isinstance(event, NodeEvent) and event.do == "kill"
    )
    asked = {row["request_id"] for row in rows}
    differences: list[str] = []
    decisions = not_shown = 0
    for method in scenario.methods:
        method_rows = [row for row in rows if row["method"] == method.name]
        steps = shown = [
            _Step(row, at, node in tops) for row in method_rows for at, node in enumerate(row["path"])
        ]
        rule = _rule_of(method.policy)
        if rule is _recserve:  # a decision rests on the node's earlier ones
            shown = _without_gaps(steps, killed)
        decisions += sum(step.confidence is not None for step in steps)
        not_shown += len(steps) - len(shown)
        sentences = chain(
            _each_once(method_rows, asked),
            _paths(method_rows, topology, set(killed)),
            _lives(steps, killed),
            rule(method, shown, topology),
        )
        differences += [f"{method.name}: {text}" for text in sentences]
    if len(differences) > MAX_DIFFERENCES:
        left = len(differences) - MAX_DIFFERENCES
        differences = [*differences[:MAX_DIFFERENCES], f"and {left} more"]
    return Audit(decisions, tuple(differences), not_shown)


def _each_once(rows: Sequence[Row], asked: Set[str]) -> Iterator[str]:
    """Where a method has not one row of each request that any method has: all replay the same trace."""
    seen = Counter(row["request_id"] for row in rows)
    if missing := len(asked - seen.keys()):
        yield f"{missing} of {len(asked)} requests have no row, and have one under other methods"
    yield from (f"{name}: has {times} rows" for name, times in seen.items() if times > 1)


class _Step:
    """What one node recorded of one request.

    ``undecided`` says that the node made no inference, so that there was no decision: the deadline passed in
    the queue, or the model was not ready or failed. Such a node is the last on the path, has no answer and no
    value in a window, and whoever asked it got an error.
    """

    __slots__ = (
        "confidence", "kept", "length", "life", "node", "request", "sequence", "threshold", "top",
        "undecided",
    )  # fmt: skip

    def __init__(self, row: Row, at: int, top: bool) -> None:
        self.request: str = row["request_id"]
        self.node: str = row["path"][at]
        self.confidence: float | None = row["confidences"][at]
        self.threshold: float | None = row["thresholds"][at]
        self.sequence: int | None = row["window_seqs"][at]
        self.length: int | None = row["window_lengths"][at]
        self.kept: bool = row["kept"][at]
        self.life: int = row["lives"][at] if row.get("lives") else 0
        self.top = top
        last = at == len(row["path"]) - 1
        failed = row["outcome"] != "answered" or (at > 0 and row["forward_errors"][at - 1] is not None)
        decided = (self.confidence, self.threshold, self.sequence, self.length, row["node_answers"][at])
        self.undecided = last and failed and not self.kept and decided == (None,) * len(decided)


def _lives(steps: Sequence[_Step], killed: Mapping[str, int]) -> Iterator[str]:
    """Where a record says that its node was killed more often than the scenario's events kill it."""
    for step in steps:
        if step.life > killed[step.node]:
            yield f"{step.request} at {step.node}: recorded after {step.life} kills, which were not"


def _without_gaps(steps: Sequence[_Step], killed: Mapping[str, int]) -> list[_Step]:
    """Leave out, of each life that ended by a kill, what follows the first gap in its window's numbers."""
    first_gaps: dict[tuple[str, int], int] = {}
    for node, times in killed.items():
        for life in range(times):
            numbers = {step.sequence for step in steps if (step.node, step.life) == (node, life)}
            first_gaps[node, life] = next(number for number in count() if number not in numbers)
    shown = []
    for step in steps:
        gap = first_gaps.get((step.node, step.life))
        if gap is None or step.sequence is None or step.sequence < gap:
            shown.append(step)
    return shown


def _paths(rows: Sequence[Row], topology: Topology, killed: Set[str]) -> Iterator[str]:
    """Where a request did not go from its device to the parent and so on, or another node answered it."""
    for row in rows:
        name, path = row["request_id"], row["path"]
        if killed and killed & set(topology.way_up(row["device"])) - set(path):
            continue  # a killed node may have had a part in it, and its record is lost
        answered = row["outcome"] == "answered"
        if answered and (not path or path[0] != row["device"]):
            yield f"{name}: answered, and its device {row['device']} has no record of it"
            continue
        for lower, upper in pairwise(path):
            if topology.node(lower).parent != upper:
                yield f"{name}: went from {lower} to {upper}, which is not its parent"
        for at, kept in enumerate(row["kept"][:-1]):
            if kept:
                yield f"{name}: {path[at]} kept it, and {path[at + 1]} has a record of it"
        if answered:
            yield from _served(row, topology)


def _served(row: Row, topology: Topology) -> Iterator[str]:
    """Where the answer is not that of the node that kept the request, or of one whose way up failed."""
    name, path = row["request_id"], row["path"]
    candidates = [
        at
        for at in range(len(path))
        if row["kept"][at] or (row["forward_errors"][at] and row["node_answers"][at] is not None)
    ]
    if not candidates:
        yield f"{name}: answered, and no node on its path kept it"
    elif not any(
        topology.node(path[at]).tier == row["tier"] and row["node_answers"][at] == row["answer"]
        for at in candidates
    ):
        yield f"{name}: answered {row['answer']!r} by {row['tier']}, which is not what the nodes recorded"


def _recserve(method: Method, steps: Sequence[_Step], topology: Topology) -> Iterator[str]:
    """Keep what reaches the ``beta`` quantile of the node's last confidences (arXiv:2505.16502)."""
    beta, window = method.parameters["beta"], method.parameters["window"]
    for node in topology.nodes:
        of_node = [step for step in steps if step.node == node.name and not step.undecided]
        if node.parent is None:
            for step in of_node:
                yield from _top(step)
            continue
        for life in sorted({step.life for step in of_node}):
            yield from _windowed([step for step in of_node if step.life == life], beta, window)


def _windowed(steps: list[_Step], beta: float, size: int) -> Iterator[str]:
    """What one node decided in one life, from an empty window on."""
    steps.sort(key=lambda step: -1 if step.sequence is None else step.sequence)
    window: deque[float] = deque(maxlen=size)
    for expected, step in enumerate(steps):
        where = f"{step.request} at {step.node}"
        if step.sequence != expected or step.confidence is None:
            yield f"{where}: entered the window as number {step.sequence}, expected {expected}"
            break  # whatever follows would be compared with another window
        window.append(step.confidence)
        threshold = None
        if len(window) >= 2:
            threshold = float(np.percentile(np.fromiter(window, float), 100 * beta))
        if step.length != len(window):
            yield f"{where}: window of {step.length} values, expected {len(window)}"
        yield from _by_threshold(step, threshold)


def _casserve(method: Method, steps: Sequence[_Step], topology: Topology) -> Iterator[str]:
    """Keep what reaches the threshold of the node's tier."""
    thresholds = method.parameters["thresholds"]
    for step in steps:
        if step.undecided:
            continue
        if step.top:
            yield from _top(step)
        elif step.confidence is None:
            yield f"{step.request} at {step.node}: no confidence recorded"
        else:
            yield from _by_threshold(step, thresholds[topology.node(step.node).tier])


def _tier_only(method: Method, steps: Sequence[_Step], topology: Topology) -> Iterator[str]:
    """One tier infers and keeps, and those below it relay."""
    tier = method.only_tier
    serving = next(node.level for node in topology.nodes if node.tier == tier)
    for step in steps:
        level = topology.node(step.node).level
        if level > serving:
            yield f"{step.request} at {step.node}: went above tier {tier}"
        elif step.undecided:
            continue
        elif (step.confidence is not None) != (level == serving) or step.kept != (level == serving):
            yield f"{step.request} at {step.node}: not served by tier {tier} alone"


def _unknown(method: Method, _steps: Sequence[_Step], _topology: Topology) -> Iterator[str]:
    yield f"policy {method.policy} has no rules here, so its decisions are not shown"


def _top(step: _Step) -> Iterator[str]:
    """The top tier infers and keeps, by no threshold and no window."""
    where = f"{step.request} at {step.node}"
    if not step.kept:
        yield f"{where}: the top tier did not keep it"
    if step.confidence is None:
        yield f"{where}: the top tier recorded no confidence"
    if (step.threshold, step.sequence, step.length) != (None, None, None):
        yield f"{where}: the top tier recorded a threshold or a window, and has neither"


def _by_threshold(step: _Step, threshold: float | None) -> Iterator[str]:
    """Keep what reaches ``threshold``; without one, keep everything."""
    where = f"{step.request} at {step.node}"
    if step.threshold != threshold:
        yield f"{where}: threshold {step.threshold!r}, expected {threshold!r}"
    assert step.confidence is not None
    keep = threshold is None or not step.confidence < threshold
    if step.kept != keep:
        did, right = ("kept", "offloaded") if step.kept else ("offloaded", "kept")
        yield f"{where}: {did} at confidence {step.confidence!r}, the rule has it {right}"


_RULES = {"recserve": _recserve, "casserve": _casserve, "TIER-only": _tier_only}
"""By policy name: each gives a sentence for every decision that the rule has otherwise.

They share no code with the policies of the tiers, which they audit.
"""


def _rule_of(policy: str) -> Callable[[Method, Sequence[_Step], Topology], Iterator[str]]:
    """The rule of a policy; a policy without one has a rule that says so."""
    name = policy if policy in _RULES or not policy.endswith("-only") else "TIER-only"
    return _RULES.get(name, _unknown)
