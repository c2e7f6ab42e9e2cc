"""``python -m testbed.study.sweep.emulation DIRECTORY``: runs a point on a machine of a cluster.

The directory holds the scenario; the run directory and how it ended are written there.
"""

from __future__ import annotations

import json
import signal
import sys
from pathlib import Path

from testbed.host.files import write_whole
from testbed.host.processes.priority import as_started_by_hand
from testbed.host.processes.program import explained, program
from testbed.host.processes.run_lock import AnotherRun
from testbed.orchestrator.run import run
from testbed.scenario.scenario import Scenario
from testbed.study.sweep.machine import OUTCOME, RUN, SCENARIO


def main(folder: Path) -> None:
    """Run the scenario in ``folder``; it says there whether another run was going on, or why it failed."""
    as_started_by_hand()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background process ignores it
    with program("point"):
        failure, busy = None, False
        try:
            scenario = Scenario.model_validate(json.loads((folder / SCENARIO).read_text()))
            run(scenario, folder / RUN)
        except AnotherRun:
            busy = True
        except Exception as error:
            failure = explained(error)
            if failure is None:
                raise
        write_whole(folder / OUTCOME, json.dumps({"failure": failure, "busy": busy}).encode())


if __name__ == "__main__":
    main(Path(sys.argv[1]))
