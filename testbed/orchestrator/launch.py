"""From a command line to a scenario, and to its run."""

from __future__ import annotations

from pathlib import Path

from testbed.console import Reporter
from testbed.orchestrator.events.flow import require_iperf3
from testbed.results.directory import RunDirectory
from testbed.scenario.scenario import Scenario


def launch(scenario: Scenario, out: Path | None) -> RunDirectory:
    """Run ``scenario``, if this host has what its events ask for.

    Raises:
        TestbedError: it has not, or the run failed.
    """
    require_iperf3(scenario.events)
    from testbed.orchestrator.run import run

    return run(scenario, out, Reporter())
