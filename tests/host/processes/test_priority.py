"""While the orchestrator must be on time its threads come first, and nothing else does."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from testbed.host.processes.priority import all_threads_promptly

FIRST = os.SCHED_FIFO | os.SCHED_RESET_ON_FORK


def policies() -> set[int]:
    return {os.sched_getscheduler(int(entry.name)) for entry in Path("/proc/self/task").iterdir()}


@pytest.mark.root
def test_all_threads_come_first_meanwhile_and_a_process_started_then_does_not() -> None:
    ended = threading.Event()
    thread = threading.Thread(target=ended.wait)
    thread.start()
    try:
        with all_threads_promptly():
            assert policies() == {FIRST}
            asked = [sys.executable, "-c", "import os; print(os.sched_getscheduler(0))"]
            assert int(subprocess.check_output(asked, timeout=60)) == os.SCHED_OTHER
        assert policies() == {os.SCHED_OTHER}
    finally:
        ended.set()
        thread.join()
