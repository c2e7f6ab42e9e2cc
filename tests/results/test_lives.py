"""The audit of nodes that were killed and came back, and of methods that were broken off."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from testbed.results.audit import CUT_OFF
from testbed.results.audit import audit as audit_rows
from testbed.results.evidence import Audit
from testbed.scenario.scenario import Scenario, load_scenario, with_methods
from testbed.scenario.sections.events import NodeEvent
from tests.results.simulated import TEXT, answers, audit, calibrate, simulate
from tiers.policies.base import ANSWERS


@pytest.fixture
def simulated(tmp_path: Path) -> Scenario:
    path = tmp_path / "simulated.yaml"
    path.write_text(TEXT)
    scenario = load_scenario(path)
    # A shared window is refused where nodes are killed, and an oracle knows other requests than these.
    others = [method for method in scenario.methods if not method.shared and ANSWERS not in method.knows]
    return with_methods(scenario, [method.name for method in others])


def lived(rows: list[dict[str, Any]], life: int) -> list[dict[str, Any]]:
    """The same rows in which every node lives its so-many-th life."""
    return [{**row, "lives": [life] * len(row["path"])} for row in rows]


def untold(row: dict[str, Any]) -> dict[str, Any]:
    """The row without what its device had recorded."""
    lists = (
        "path", "kept", "confidences", "thresholds", "window_seqs", "window_lengths", "forward_errors",
        "node_answers", "lives",
    )  # fmt: skip
    return {**row, **{name: row[name][1:] for name in lists}}


def test_the_audit_begins_a_window_anew_for_each_life_of_a_killed_node(simulated: Scenario) -> None:
    nodes = [node.name for node in simulated.topology.nodes]
    kills = tuple(NodeEvent(at_s=1.0, node=node, do="kill") for node in nodes)
    killed = simulated.model_copy(update={"events": kills})
    first, second = (lived(simulate(simulated, seed=life, first=1000 * life), life) for life in (0, 1))
    assert audit(simulated, [*first, *second]).differences  # unless it knows that they were killed
    assert audit(killed, [*first, *second]) == Audit(decisions=audit(killed, [*first, *second]).decisions)

    def without(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """One record lost, that of the fifth value in device1's window."""
        lost = ("recserve", "device1", 5)
        return [
            untold(row) if (row["method"], row["device"], row["window_seqs"][0]) == lost else row
            for row in rows
        ]

    lost = audit(killed, [*without(first), *second])
    assert lost.differences == ()
    assert lost.not_shown > 0
    assert any("device1" in text for text in audit(killed, [*first, *without(second)]).differences)


def test_the_audit_asks_nothing_of_a_request_whose_node_was_killed_before_it_told(
    simulated: Scenario,
) -> None:
    killed = simulated.model_copy(update={"events": (NodeEvent(at_s=1.0, node="device1", do="kill"),)})
    rows = lived(simulate(simulated), 0)
    at = next(at for at, row in enumerate(rows) if (row["method"], row["device"]) == ("casserve", "device1"))
    rows[at] = untold(rows[at])
    assert audit(killed, rows).differences == ()
    assert audit(simulated, rows).differences


def test_the_audit_asks_of_a_method_that_was_broken_off_what_its_nodes_had_told(tmp_path: Path) -> None:
    path = tmp_path / "simulated.yaml"
    path.write_text(TEXT)
    scenario = load_scenario(path)
    methods = [method.name for method in scenario.methods if ANSWERS not in method.knows]
    scenario = with_methods(scenario, methods)
    rows = lived(simulate(scenario), 0)
    begun = [row for row in rows if row["method"] != methods[0]]
    for name in methods[1:]:
        of_method = [row for row in begun if row["method"] == name]
        for row in of_method[150:]:
            begun.remove(row)
        begun[begun.index(of_method[140])] = {**untold(of_method[140]), "outcome": CUT_OFF}
    known = calibrate(scenario), answers(scenario, 200)
    assert any("requests have no row" in text for text in audit_rows(scenario, begun, *known).differences)
    found = audit_rows(scenario, begun, *known, dict.fromkeys(methods, ()))
    assert found.differences == ()
    assert 0 < found.not_shown < found.decisions
    wrong = next(row for row in begun if row["method"] == "recserve")
    wrong["kept"][0] = not wrong["kept"][0]
    assert audit_rows(scenario, begun, *known, dict.fromkeys(methods, ())).differences
