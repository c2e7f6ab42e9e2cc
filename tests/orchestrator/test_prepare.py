"""What a run says before it starts."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from testbed.orchestrator.prepare import inputs_of
from testbed.scenario.scenario import Scenario, load_scenario
from tests import SCENARIOS
from tests.scenario.reading.test_graphml import written as written_map
from tests.scenario.workload.test_trace_time import written as written_trace


@pytest.mark.root
def test_a_run_notes_nodes_that_were_passed_through_and_pauses_of_its_trace(tmp_path: Path) -> None:
    path = written_map(tmp_path, {"A": (0, 0), "X": None, "B": (0, 2)}, [("A", "X"), ("X", "B")])
    overrides = [
        f"graph={{file: {path}, place: {{edge: [A], cloud: [B]}}}}",
        f"trace={{file: {written_trace(tmp_path, [0, 700_000])}, unit: ms}}",
        "links.core.delay=0ms",
        "links.core.jitter=0ms",
    ]
    inputs = inputs_of(load_scenario(SCENARIOS / "smoke.yaml", overrides))
    assert [note for note in inputs.notes if note.startswith(("graph: ", "trace: "))] == [
        "graph: the way from A to B (222 km) leads over X, without coordinates in map.graphml: passed "
        "through, by the direct distance between the places before and after",
        "trace: no request for 12 min before r2",
    ]
    again = Scenario.model_validate(json.loads(json.dumps(inputs.scenario.model_dump(mode="json"))))
    assert again.graph is not None
    assert again.graph.ways[0].without_coordinates == ("X",)
