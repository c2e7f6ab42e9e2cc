"""Calibrates methods before the first of them starts, by what the tiers' own models say of a split.

A policy that knows more than its node shows it gets that here, too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from testbed.console import Reporter
from testbed.orchestrator.nodes.control import NodeControl, on_all
from testbed.orchestrator.prepare import Inputs
from testbed.results.directory import ANSWERS, CALIBRATION, RunDirectory
from testbed.scenario.calibration import calibrated, tiers_to_ask
from testbed.scenario.workload.trace_file import TRACE_SPLIT

TEXTS_AT_A_TIME = 10


def calibrate(
    nodes: Sequence[NodeControl], inputs: Inputs, directory: RunDirectory, reporter: Reporter
) -> Mapping[str, Mapping[str, Any]]:
    """What each method's policy is given beside the scenario's parameters, by method.

    One node of each tier is asked for its answers to the calibration rows over its own loopback, so no WAN
    link carries it, and no window keeps it. What they said is written to the run directory, where the audit
    finds it.

    Raises:
        TestbedError: a model fails, or the rows do not show what a method asks for.
    """
    foreknown = inputs.foreknown
    if foreknown.answers:
        directory.write_json(ANSWERS, foreknown.answers)
    return {**_by_split(nodes, inputs, directory, reporter), **foreknown.methods}


def _by_split(
    nodes: Sequence[NodeControl], inputs: Inputs, directory: RunDirectory, reporter: Reporter
) -> Mapping[str, Mapping[str, Any]]:
    rows = inputs.calibration
    if not rows:
        return {}
    tiers = tiers_to_ask(inputs.scenario)
    first = {tier: next(n.name for n in inputs.topology.nodes if n.tier == tier) for tier in tiers}
    asked = {node.name: node for node in nodes if node.name in first.values()}
    answers: dict[str, list[dict[str, Any]]] = {tier: [] for tier in tiers}
    texts = [example.text for _, example in rows]
    what = f"calibrating: {', '.join(tiers)} answer {len(rows)} rows that are not in the trace"
    with reporter.counting(what, len(rows)) as progress:
        for start in range(0, len(texts), TEXTS_AT_A_TIME):
            some = texts[start : start + TEXTS_AT_A_TIME]
            found = on_all(list(asked.values()), lambda node, some=some: node.infer_apart(some))  # type: ignore[misc]
            for tier in tiers:
                answers[tier] += found[first[tier]]
            progress(start + len(some), len(texts))
    methods = calibrated(inputs.scenario, rows, answers)
    directory.write_json(
        CALIBRATION,
        {
            "rows": [{"dataset": name, "split": TRACE_SPLIT, "row": example.row} for name, example in rows],
            "references": [example.reference for _, example in rows],
            "tiers": {tier: {"node": first[tier], "answers": answers[tier]} for tier in tiers},
            "methods": methods,
        },
    )
    return methods
