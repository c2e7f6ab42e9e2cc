"""`testbed shell`: Mininet's prompt on a scenario's network, with its tiers up."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from testbed.console import Reporter
from testbed.errors import TestbedError
from testbed.host.processes.signals import Terminated
from testbed.network.prompt import Prompt
from testbed.orchestrator.serving.keep_up import Asked, Use, keep_up, prepared
from testbed.orchestrator.session import Session
from testbed.results.directory import RunDirectory
from testbed.scenario.scenario import Scenario


class Shell(Use):
    """Reads commands from standard input until it ends."""

    command = "shell"

    def __init__(self, reporter: Reporter) -> None:
        self._reporter = reporter

    def run(self, session: Session) -> Asked:
        start_s = time.monotonic()
        nodes = " ".join(node.name for node in session.nodes)
        self._reporter.say(f"Mininet's prompt: {nodes}; help lists commands, exit ends it")
        try:
            Prompt(session.network)
        except (KeyboardInterrupt, Terminated) as ended:
            for node in session.network.net.values():
                if node.waiting:  # for a command that may go on sending
                    node.sendInt()
            return Asked(start_s, ended_by=ended)
        return Asked(start_s)


def shell(
    scenario: Scenario,
    reporter: Reporter,
    *,
    method: str | None = None,
    record: bool = False,
    out: Path | None = None,
) -> RunDirectory | None:
    """Give Mininet's prompt on a scenario's network; return its run directory, if there is to be one.

    Raises:
        TestbedError: as a run, or there is no such method, or no standard input.
    """
    if sys.stdin is None:
        raise TestbedError(
            "shell: there is no standard input to read commands from; give it a terminal or a file"
        )
    scenario, notes = prepared(scenario, method, record=record)
    for note in notes:
        reporter.say(note)
    return keep_up(scenario, Shell(reporter), reporter, record=record, out=out)
