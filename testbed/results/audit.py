"""Were the decisions right: the methods' rules once more, over what every node recorded, from files alone.

Nothing of the tiers' code takes part: thresholds come from ``numpy.percentile``, as in the authors' code,
over a window that is rebuilt here in the order in which values entered it.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import replace
from itertools import count, pairwise
from typing import Any

import numpy as np

from testbed.results.directory import RunDirectory
from testbed.results.evidence import Audit
from testbed.scenario.scenario import Scenario
from testbed.scenario.sections.events import NodeEvent
from testbed.scenario.sections.methods import Method
from testbed.scenario.topology import Topology

Row = Mapping[str, Any]
MAX_DIFFERENCES = 50


def audit_run(directory: RunDirectory) -> Audit:
    """Audit a finished run: its files as it left them, and each decision as the rules have it.

    Raises:
        TestbedError: the directory lacks a file or holds a damaged one.
    """
    broken = directory.broken_seals()
    manifest = directory.read_json("manifest.json")
    scenario = Scenario.model_validate(manifest["scenario"])
    found = audit(scenario, directory.read_table("requests.parquet"))
    return replace(found, differences=(*broken, *found.differences))


def audit(scenario: Scenario, rows: Sequence[Row]) -> Audit:
    """Hold every decision in the rows of ``requests.parquet`` against the scenario's methods.

    A node that an event killed took with it what it had not told yet: the last records of that life are
    missing, and from the first gap on its thresholds cannot be shown.
    """
    topology = scenario.topology
    killed = Counter(
        event.node for event in scenario.events if isinstance(event, NodeEvent) and event.do == "kill"
    )
    asked = {row["request_id"] for row in rows}
    differences: list[str] = []
    decisions = not_shown = 0
    for method in scenario.methods:
        own = [row for row in rows if row["method"] == method.name]
        steps = list(_steps(own, topology))
        decided = [step for step in steps if not step.undecided]
        differences += [f"{method.name}: {text}" for text in _each_once(own, asked)]
        decisions += sum(step.confidence is not None for step in steps)
        differences += [f"{method.name}: {text}" for text in _paths(own, topology, set(killed))]
        differences += [
            f"{method.name}: {step.request} at {step.node}: recorded after {step.life} kills, which were not"
            for step in steps
            if step.life > killed[step.node]
        ]
        if method.policy == "recserve":
            shown = _without_gaps(decided, killed)
            not_shown += len(decided) - len(shown)
            found = _recserve(method, shown, topology)
        elif method.policy == "casserve":
            found = _casserve(method, decided, topology)
        elif method.only_tier is not None:
            found = _tier_only(method, steps, topology)
        else:
            found = iter([f"policy {method.policy} has no rules here, so its decisions are not shown"])
        differences += [f"{method.name}: {text}" for text in found]
    if len(differences) > MAX_DIFFERENCES:
        left = len(differences) - MAX_DIFFERENCES
        differences = [*differences[:MAX_DIFFERENCES], f"and {left} more"]
    return Audit(decisions, tuple(differences), not_shown)


def _each_once(rows: Sequence[Row], asked: Set[str]) -> Iterator[str]:
    """Every method got the same trace: each has one row of each request that any of them has."""
    seen = Counter(row["request_id"] for row in rows)
    if missing := len(asked - seen.keys()):
        yield f"{missing} of {len(asked)} requests have no row, and have one under other methods"
    yield from (f"{name}: has {times} rows" for name, times in seen.items() if times > 1)


class _Step:
    """What one node recorded of one request.

    ``undecided``: it came to no inference (the deadline passed in the queue, the model was not ready or
    failed), so that there was no decision. Such a node is the last on the way, has no answer and no value in
    a window, and whoever asked it was told of an error.
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
        told = (self.confidence, self.threshold, self.sequence, self.length, row["node_answers"][at])
        self.undecided = last and failed and not self.kept and told == (None,) * len(told)


def _steps(rows: Sequence[Row], topology: Topology) -> Iterator[_Step]:
    tops = {node.name for node in topology.nodes if node.parent is None}
    for row in rows:
        for at, node in enumerate(row["path"]):
            yield _Step(row, at, node in tops)


def _without_gaps(steps: Sequence[_Step], killed: Mapping[str, int]) -> list[_Step]:
    """Of each life that ended by a kill only what comes before the first gap in its window's numbers."""
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
    """Each request went from its device to its parent and so on; who kept it answered it."""
    for row in rows:
        name, path = row["request_id"], row["path"]
        if killed and killed & set(topology.way_up(row["device"])) - set(path):
            continue  # who was killed may have had a part in it, and cannot tell
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
    """The answer is that of the node that kept the request, or of one whose way up failed."""
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
    for node in topology.nodes:
        own = [step for step in steps if step.node == node.name]
        if node.parent is None:
            yield from _always(own)
            continue
        for life in sorted({step.life for step in own}):
            yield from _window(method, [step for step in own if step.life == life])


def _window(method: Method, own: list[_Step]) -> Iterator[str]:
    """What one node decided, from an empty window on."""
    own.sort(key=lambda step: -1 if step.sequence is None else step.sequence)
    window: deque[float] = deque(maxlen=method.parameters["window"])
    for expected, step in enumerate(own):
        where = f"{step.request} at {step.node}"
        if step.sequence != expected or step.confidence is None:
            yield f"{where}: entered the window as number {step.sequence}, expected {expected}"
            break  # whatever follows would be compared with another window
        window.append(step.confidence)
        threshold = None
        if len(window) >= 2:
            threshold = float(np.percentile(np.fromiter(window, float), 100 * method.parameters["beta"]))
        if step.length != len(window):
            yield f"{where}: window of {step.length} values, expected {len(window)}"
        yield from _decided(step, threshold)


def _casserve(method: Method, steps: Sequence[_Step], topology: Topology) -> Iterator[str]:
    for step in steps:
        if step.top:
            yield from _always([step])
        elif step.confidence is None:
            yield f"{step.request} at {step.node}: no confidence recorded"
        else:
            yield from _decided(step, method.parameters["thresholds"][topology.node(step.node).tier])


def _tier_only(method: Method, steps: Sequence[_Step], topology: Topology) -> Iterator[str]:
    serving = next(node.level for node in topology.nodes if node.tier == method.only_tier)
    for step in steps:
        level = topology.node(step.node).level
        if level > serving:
            yield f"{step.request} at {step.node}: went above tier {method.only_tier}"
        elif step.undecided:
            continue
        elif (step.confidence is not None) != (level == serving) or step.kept != (level == serving):
            yield f"{step.request} at {step.node}: not served by tier {method.only_tier} alone"


def _always(steps: Sequence[_Step]) -> Iterator[str]:
    """The top tier infers and keeps, by no threshold and no window."""
    for step in steps:
        where = f"{step.request} at {step.node}"
        if not step.kept:
            yield f"{where}: the top tier did not keep it"
        if step.confidence is None:
            yield f"{where}: the top tier recorded no confidence"
        if (step.threshold, step.sequence, step.length) != (None, None, None):
            yield f"{where}: the top tier recorded a threshold or a window, and has neither"


def _decided(step: _Step, threshold: float | None) -> Iterator[str]:
    where = f"{step.request} at {step.node}"
    if step.threshold != threshold:
        yield f"{where}: threshold {step.threshold!r}, expected {threshold!r}"
    assert step.confidence is not None
    keep = threshold is None or not step.confidence < threshold
    if step.kept != keep:
        said, right = ("kept", "offloaded") if step.kept else ("offloaded", "kept")
        yield f"{where}: {said} at confidence {step.confidence!r}, the rule has it {right}"
