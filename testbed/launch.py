"""From a command line to a scenario, and to its run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from testbed.console import Reporter
from testbed.flow import require_iperf3
from testbed.results import RunDirectory
from testbed.scenario import Scenario, load_scenario, with_methods, with_requests, with_seed


def load(
    path: Path, methods: str | None, requests: int | None, seed: int | None, overrides: Sequence[str]
) -> Scenario:
    """The scenario as the command line has it.

    Raises:
        TestbedError: in one sentence, before anything starts.
    """
    scenario = load_scenario(path, overrides)
    if methods is not None:
        scenario = with_methods(scenario, [name.strip() for name in methods.split(",") if name.strip()])
    if requests is not None:
        scenario = with_requests(scenario, requests)
    if seed is not None:
        scenario = with_seed(scenario, seed)
    return scenario


def launch(scenario: Scenario, out: Path | None) -> RunDirectory:
    """Run ``scenario``, if this host has what its events ask for.

    Raises:
        TestbedError: it has not, or the run failed.
    """
    require_iperf3(scenario.events)
    from testbed.run import run  # late: it imports all else, which `testbed trace` can do without

    return run(scenario, out, Reporter())
