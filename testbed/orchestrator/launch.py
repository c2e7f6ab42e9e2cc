"""Runs a scenario for a Python program or for the command line."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from testbed.errors import needs_extra
from testbed.results.run import Run

if TYPE_CHECKING:
    from testbed.console import Reporter
    from testbed.scenario.scenario import Scenario


def run(scenario: Scenario, out: Path | str | None = None, reporter: Reporter | None = None) -> Run:
    """Run ``scenario`` on this host, which must be root's, and return what it left.

    Args:
        out: the directory to make; ``results/<scenario>-<UTC time>`` by default.
        reporter: shows progress; by default on standard error.

    Raises:
        TestbedError: the host cannot, another run is going on, or something failed on the way.
    """
    with needs_extra("run"):
        from testbed.orchestrator.run import run as run_here
    return Run(run_here(scenario, None if out is None else Path(out), reporter))
