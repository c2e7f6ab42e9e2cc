"""Machines for tests, started as a user starts them: by a command."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from testbed.vm import Machine, find_machines

ENDED_WITHIN_S = 20.0
RUN_TIMEOUT_S = 110.0


def argv(command: list[str], *options: str) -> list[str]:
    return [sys.executable, "-m", "testbed.vm", "--memory", "1024", *options, "--", *command]


def run(command: list[str], *options: str, **settings: Any) -> subprocess.CompletedProcess[bytes]:
    """Output and errors apart, as bytes."""
    return subprocess.run(
        argv(command, *options), capture_output=True, timeout=RUN_TIMEOUT_S, check=False, **settings
    )


def start(command: list[str], *options: str, **settings: Any) -> subprocess.Popen[bytes]:
    """A process in a group of its own, which has said ``ready`` inside when this returns."""
    process: subprocess.Popen[bytes] = subprocess.Popen(
        argv(command, *options), stdout=subprocess.PIPE, start_new_session=True, **settings
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    return process


def python(code: str) -> list[str]:
    return ["/usr/bin/env", "python3", "-c", code]


def machine_of(process: subprocess.Popen[bytes]) -> Machine:
    return next(machine for machine in find_machines() if machine.owner == process.pid)


def gone(machine: Machine) -> bool:
    """Neither a process of its group, nor one that has its name in its arguments, nor a file."""
    return not (machine.processes or named(machine) or machine.directory.exists())


def named(machine: Machine) -> list[int]:
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if machine.name.encode() in path.read_bytes():
                found.append(int(path.parent.name))
        except OSError:
            continue
    return found


def within(seconds: float, condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def end(process: subprocess.Popen[bytes]) -> None:
    """Whatever a test left of it."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(ENDED_WITHIN_S)
