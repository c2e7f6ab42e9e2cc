"""Answers that no model gave are counted by tier: those that were inferred, and those that were returned."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from testbed.results.made_up import made_up_answers, made_up_inferences
from testbed.scenario.scenario import load_scenario
from testbed.scenario.topology import Topology
from tests.results.simulated import TEXT


@pytest.fixture
def topology(tmp_path: Path) -> Topology:
    path = tmp_path / "simulated.yaml"
    path.write_text(TEXT)
    return load_scenario(path).topology


def row(made_up: list[bool | None] | None, tier: str | None) -> dict[str, Any]:
    path = ["device1", "edge1", "cloud1"][: len(made_up or ["device1"])]
    return {"path": path, "made_up": made_up, "tier": tier, "outcome": "answered" if tier else "deadline"}


def test_an_answer_that_a_higher_tier_replaced_is_counted_where_it_was_inferred_alone(
    topology: Topology,
) -> None:
    rows = [
        row([True], "device"),
        row([True, False], "edge"),
        row([False, True, True], "cloud"),
        row([None, None, True], "cloud"),  # devices and edges that relayed
        row([True, False], None),
    ]
    assert made_up_inferences(rows, topology) == {"device": 3, "edge": 1, "cloud": 2}
    assert made_up_answers(rows, topology) == {"device": 1, "edge": 0, "cloud": 2}


def test_rows_of_an_older_run_do_not_tell(topology: Topology) -> None:
    assert made_up_inferences([row(None, "device")], topology) is None
    assert made_up_answers([row(None, "device")], topology) is None
