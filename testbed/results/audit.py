"""Audits a run's decisions: applies the methods' rules again to what every node recorded, from files alone.

No code of the tiers takes part; the rules are in :mod:`testbed.results.rules`.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import replace
from itertools import chain, count
from types import MappingProxyType
from typing import Any

from testbed.results.anew import computed_anew
from testbed.results.columns import Row
from testbed.results.directory import RunDirectory
from testbed.results.ended import incomplete
from testbed.results.evidence import Audit
from testbed.results.rules import relays, rule_of
from testbed.results.steps import Case, Step
from testbed.scenario.scenario import Scenario
from testbed.scenario.sections.events import NodeEvent
from testbed.scenario.sections.kind import right_by
from testbed.scenario.topology import Topology

MAX_DIFFERENCES = 50
CUT_OFF = "cut_off"
"""The outcome of a request that was under way when its method was broken off."""


def audit_run(directory: RunDirectory) -> Audit:
    """Audit a finished run: are its files as it left them, does each decision follow the rules, and is each
    figure what others of the run give.

    Raises:
        TestbedError: the directory lacks a file or holds a damaged one.
    """
    broken = directory.broken_seals()
    with directory.understood():
        scenario = directory.read_scenario()
        rows = directory.read_table("requests.parquet")
        known = directory.read_calibration(), directory.read_answers()
        audited = audit(scenario, rows, *known, incomplete(directory.read_manifest()))
        otherwise = _first_of(list(computed_anew(directory, scenario, rows, audited.decisions)))
    return replace(audited, differences=tuple(dict.fromkeys((*broken, *audited.differences, *otherwise))))


def audit(
    scenario: Scenario,
    rows: Sequence[Row],
    calibration: Mapping[str, Any] | None = None,
    answers: Mapping[str, Mapping[str, str]] | None = None,
    unfinished: Mapping[str, Sequence[str]] = MappingProxyType({}),
) -> Audit:
    """Hold every decision in the rows of ``requests.parquet`` against the scenario's methods.

    ``calibration`` is the content of ``calibration.json``, where methods were calibrated; ``answers`` that of
    ``answers.json``, where a method knew all answers beforehand. ``unfinished`` has each method that the run
    did not come to or to the end of, with the nodes whose records of it are lost.

    A node that an event killed lost the records that it had not handed over yet: the last ones of that life
    are missing, and from the first gap on its thresholds cannot be shown. So it is with the last life of each
    node under a method in ``unfinished``.
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
            Step(row, at, node in tops) for row in method_rows for at, node in enumerate(row["path"])
        ]
        is_whole = method.name not in unfinished
        if not is_whole and not method_rows:
            continue
        lives = killed if is_whole else Counter({node.name: killed[node.name] + 1 for node in topology.nodes})
        gone = {*killed, *unfinished.get(method.name, ())}
        case = Case(method, topology, scenario.seed, calibration, answers, right_by(scenario.task.kind))
        rule = rule_of(case)
        if rule.remembers:
            windows = {node.name: node.tier if method.shared else node.name for node in topology.nodes}
            shown = _without_gaps(steps, lives, windows)
        decisions += sum(step.confidence is not None for step in steps)
        not_shown += len(steps) - len(shown)
        sentences = chain(
            _each_once(method_rows, asked if is_whole else {row["request_id"] for row in method_rows}),
            _paths(method_rows, topology, gone),
            _lives(steps, killed),
            relays(case, shown),
            rule.apply(case, [step for step in shown if not case.relays(step)]),
        )
        differences += [f"{method.name}: {text}" for text in sentences]
    return Audit(decisions, tuple(_first_of(differences)), not_shown)


def _first_of(differences: Sequence[str]) -> list[str]:
    """The first 50, and how many there are more."""
    left = len(differences) - MAX_DIFFERENCES
    return [*differences[:MAX_DIFFERENCES], *([f"and {left} more"] if left > 0 else [])]


def _each_once(rows: Sequence[Row], asked: Set[str]) -> Iterator[str]:
    """Where a method has not one row of each request that any method has: all replay the same trace."""
    seen = Counter(row["request_id"] for row in rows)
    if missing := len(asked - seen.keys()):
        yield f"{missing} of {len(asked)} requests have no row, and have one under other methods"
    yield from (f"{name}: has {times} rows" for name, times in seen.items() if times > 1)


def _lives(steps: Sequence[Step], killed: Mapping[str, int]) -> Iterator[str]:
    """Where a record says that its node was killed more often than the scenario's events kill it."""
    for step in steps:
        if step.life > killed[step.node]:
            yield f"{step.request} at {step.node}: recorded after {step.life} kills, which were not"


def _without_gaps(steps: Sequence[Step], lives: Mapping[str, int], windows: Mapping[str, str]) -> list[Step]:
    """Leave out what follows the first gap in a window's numbers, of each life whose last ones may be lost.

    ``lives`` has how many of each node's lives those are; nodes with the same of ``windows`` share one.
    """
    numbers: defaultdict[tuple[str, int], set[int | None]] = defaultdict(set)
    for step in steps:
        numbers[windows[step.node], step.life].add(step.sequence)
    first_gaps = {
        (window, life): next(number for number in count() if number not in numbers[window, life])
        for window, times in {windows[node]: times for node, times in lives.items()}.items()
        for life in range(times)
    }
    shown = []
    for step in steps:
        gap = first_gaps.get((windows[step.node], step.life))
        if gap is None or step.sequence is None or step.sequence < gap:
            shown.append(step)
    return shown


def _paths(rows: Sequence[Row], topology: Topology, killed: Set[str]) -> Iterator[str]:
    """Where a request did not go from its device to the parent and so on, or another node answered it."""
    for row in rows:
        name, path = row["request_id"], row["path"]
        if row["outcome"] == CUT_OFF or killed & set(topology.way_up(row["device"])) - set(path):
            continue  # a node that was killed, or asked too early, may have had a part in it
        answered = row["outcome"] == "answered"
        if answered and (not path or path[0] != row["device"]):
            yield f"{name}: answered, and its device {row['device']} has no record of it"
            continue
        skipped = row.get("skipped") or [None] * len(path)
        for lower, upper, why in zip(path, path[1:], skipped, strict=False):
            past = topology.past(lower) if why else None
            if topology.node(lower).parent != upper and (past is None or past.name != upper):
                yield f"{name}: went from {lower} to {upper}, which is not its parent"
        for node, why in zip(path, skipped, strict=True):
            if why and topology.past(node) is None:
                yield f"{name}: {node} asked past its parent, and may not"
        for at, kept in enumerate(row["kept"][:-1]):
            if kept and not (at and skipped[at - 1]):
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
        return
    served = [
        at
        for at in candidates
        if topology.node(path[at]).tier == row["tier"] and row["node_answers"][at] == row["answer"]
    ]
    if not served:
        yield f"{name}: answered {row['answer']!r} by {row['tier']}, which is not what the nodes recorded"
    elif row.get("degraded") is not None and row["degraded"] in {row["kept"][at] for at in served}:
        kept = "degraded, and {} kept it" if row["degraded"] else "not degraded, and {} sent it up in vain"
        yield f"{name}: {kept.format(path[served[0]])}"
