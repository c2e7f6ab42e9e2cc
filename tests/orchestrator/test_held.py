"""What a network is held for: scenarios that may share it, with all that they ask in its containers."""

from __future__ import annotations

import pytest
from rich.console import Console

from testbed.console import Reporter
from testbed.orchestrator.held import HeldNetwork
from testbed.scenario.scenario import Scenario, load_scenario
from tests import SCENARIOS
from tests.orchestrator.emulation import inputs_for

QUIET = Reporter(Console(quiet=True))


def recorded(*overrides: str, seed: int = 1) -> Scenario:
    return load_scenario(SCENARIOS / "recorded.yaml", overrides, requests=40, seed=seed)


def test_recorded_tiers_have_the_prompts_of_every_run_from_the_start() -> None:
    scenarios = [recorded(seed=1), recorded("links.core.loss=1%", seed=2), recorded(seed=3)]
    asked = HeldNetwork(scenarios, QUIET)._asked(inputs_for(scenarios[1]))
    assert len(asked) == 3 * 40
    wanted = [example for scenario in scenarios for example in inputs_for(scenario).examples.values()]
    assert {example.text for example in asked} == {example.text for example in wanted}


def test_a_trace_that_runs_share_is_there_once() -> None:
    scenarios = [recorded(f"links.core.loss={loss}%") for loss in range(5)]
    assert len(HeldNetwork(scenarios, QUIET)._asked(inputs_for(scenarios[0]))) == 40


def test_scenarios_that_start_other_things_are_refused() -> None:
    with pytest.raises(ValueError, match="networks of their own"):
        HeldNetwork([recorded(), recorded("tiers.edge.cpus=0.1")], QUIET)
