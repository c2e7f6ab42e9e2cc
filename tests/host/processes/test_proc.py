"""Processes as /proc shows them; one that has ended is absent."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator

import pytest

from testbed.host.processes import proc
from testbed.host.processes.proc import Process


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(["sleep", "600"]) as process:
        yield process
        process.kill()


def test_a_child_is_seen_as_it_is(sleeper: subprocess.Popen[bytes]) -> None:
    assert sleeper.pid in proc.process_ids()
    assert sleeper.pid in proc.children(os.getpid())
    deadline_s = time.monotonic() + 10
    while proc.command_name(sleeper.pid) != "sleep" and time.monotonic() < deadline_s:
        time.sleep(0.01)  # until it has become what it is to be
    assert proc.command_line(sleeper.pid) == ["sleep", "600"]
    assert proc.user_id(sleeper.pid) == os.geteuid()
    assert (proc.cpu_time_ns(os.getpid()) or 0) > 0


def test_processes_are_found_by_their_network_namespace(sleeper: subprocess.Popen[bytes]) -> None:
    here = proc.network_namespace(os.getpid())
    assert sleeper.pid in proc.in_network_namespaces([here, "/no/such/namespace"])
    assert os.getpid() not in proc.in_network_namespaces([here])
    assert proc.in_network_namespaces(["/no/such/namespace"]) == []


def test_a_zombie_does_not_live_and_is_no_other_process(sleeper: subprocess.Popen[bytes]) -> None:
    process = Process.of(sleeper.pid)
    assert process is not None
    lived = process.lives
    sleeper.kill()
    os.waitid(os.P_PID, sleeper.pid, os.WEXITED | os.WNOWAIT)
    assert proc.exists(sleeper.pid)
    assert (lived, process.lives) == (True, False)
    assert Process.of(sleeper.pid) is None


def test_of_a_process_that_has_ended_there_is_nothing(sleeper: subprocess.Popen[bytes]) -> None:
    sleeper.kill()
    sleeper.wait()
    pid = sleeper.pid
    assert not proc.exists(pid)
    assert Process.of(pid) is None
    assert (proc.user_id(pid), proc.cpu_time_ns(pid)) == (None, None)
    assert (proc.children(pid), proc.command_line(pid), proc.command_name(pid)) == ([], [], "")
