"""Child processes that take long: run to their end with reports, and killed when we end, however we end."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from testbed.errors import TestbedError
from testbed.host.processes.reporting import REPORT_EVERY_S, Report

Child = subprocess.Popen[str] | subprocess.Popen[bytes]

DIES_WITH_US = ("setpriv", "--pdeathsig", "KILL", "--")
"""Put before a command: the kernel kills it when the thread that started it ends (prctl(2)), so wait for it
in that thread."""


def run_reported(
    command: list[str], what: str, report: Report, timeout_s: float, environment: dict[str, str] | None = None
) -> None:
    """Run ``command`` to its end, reporting its latest line every REPORT_EVERY_S seconds.

    Raises:
        TestbedError: it failed, with its last line, or was not done after ``timeout_s`` seconds.
    """
    report(what)
    last, reported_at, started_at = "", time.monotonic(), time.monotonic()
    process = subprocess.Popen(
        [*DIES_WITH_US, *command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=environment,
        text=True,
        errors="replace",
        start_new_session=True,
    )
    with process, killed_at_the_end(process):
        alarm = threading.Timer(timeout_s, kill, [process])
        alarm.start()
        try:
            for line in process.stdout or ():
                last = line.strip() or last
                if time.monotonic() - reported_at >= REPORT_EVERY_S:
                    reported_at = time.monotonic()
                    report(f"{what}: {reported_at - started_at:.0f} s: {last[:100]}")
            process.wait()
        finally:
            alarm.cancel()
    if process.returncode != 0:
        late = f" after {timeout_s:.0f} s" if time.monotonic() - started_at >= timeout_s else ""
        raise TestbedError(f"{what} failed{late} ({last[:300] or 'it said nothing'})")


@contextmanager
def killed_at_the_end(process: Child) -> Iterator[None]:
    """Kill ``process`` and its process group if the block raises."""
    try:
        yield
    except BaseException:
        kill(process)
        raise


def kill(process: Child) -> None:
    """Kill a process that leads a session, and its process group."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
