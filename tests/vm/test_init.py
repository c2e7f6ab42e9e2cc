"""The first process of a machine, on pseudo-terminals of this host: no status and no output is lost."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from testbed.vm import init

PREPARED = """
import importlib.util, os, pty, signal, subprocess, sys
signal.alarm(15)
spec = importlib.util.spec_from_file_location("init", sys.argv[1])
init = importlib.util.module_from_spec(spec)
spec.loader.exec_module(init)
ends = [pty.openpty() for _ in range(3)]
init.CONTROL, init.OUTPUT, init.ERRORS = (os.ttyname(inner) for _, inner in ends)
common = {"size": (24, 80), "cwd": "/", "env": {"PATH": os.defpath}, "umask": 0o22,
          "output_is_terminal": True, "errors_are_terminal": True, "errors_to_output": True}
"""
ENDED_AT_ONCE = """
class Late(subprocess.Popen):
    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT)
init.subprocess.Popen = Late
for status in (0, 7):
    command = init.Command({**common, "argv": ["sh", "-c", f"exit {status}"]})
    command.start()
    assert command.wait() == status
"""
QUIET_AFTERWARDS = """
command = init.Command({**common, "argv": ["true"]})
command.start()
command.wait()
assert signal.getsignal(signal.SIGCHLD) == signal.SIG_DFL
assert signal.set_wakeup_fd(-1) == -1
"""


def in_a_process_of_its_own(code: str) -> None:
    """Process 1 reaps every child of its process, which must not be pytest's."""
    done = subprocess.run(
        [sys.executable, "-c", PREPARED + code, str(Path(init.__file__))],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_the_status_of_a_command_that_ends_before_anyone_looks_is_kept() -> None:
    in_a_process_of_its_own(ENDED_AT_ONCE)


def test_the_deaths_of_other_processes_interrupt_nothing_after_that() -> None:
    """Of what the kernel ignores no system call hears; tcdrain(3) is not retried as os.write is."""
    in_a_process_of_its_own(QUIET_AFTERWARDS)
