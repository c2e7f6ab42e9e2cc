"""Processes as /proc shows them; one that has ended is absent."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from testbed.host.processes import proc
from testbed.host.processes.proc import HeldProcess, Process
from testbed.host.processes.waiting import wait_until


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


def test_none_are_found_in_the_network_of_the_host_or_of_this_process(
    sleeper: subprocess.Popen[bytes],
) -> None:
    here = [proc.network_namespace(pid) for pid in (os.getpid(), sleeper.pid, 1)]
    assert proc.in_network_namespaces([*here, "/no/such/namespace"]) == []


@pytest.mark.root
def test_processes_are_found_by_their_network_namespace(sleeper: subprocess.Popen[bytes]) -> None:
    with subprocess.Popen(["unshare", "--net", "sleep", "600"]) as apart:
        there = proc.network_namespace(apart.pid)
        here = Path(proc.network_namespace(os.getpid())).readlink()
        wait_until(lambda: Path(there).readlink() != here, 10, 0.01, or_raise="it has no network of its own")
        found = proc.in_network_namespaces([there, proc.network_namespace(sleeper.pid)])
        apart.kill()
    assert [process.pid for process in found] == [apart.pid]


def test_a_signal_reaches_the_process_that_it_is_for_and_no_later_one(
    sleeper: subprocess.Popen[bytes],
) -> None:
    process = Process.of(sleeper.pid)
    assert process is not None
    Process(process.pid, process.starttime - 1).signal(signal.SIGKILL)  # whose id has come round
    with pytest.raises(subprocess.TimeoutExpired):
        sleeper.wait(0.2)
    process.signal(signal.SIGTERM)
    assert sleeper.wait(10) == -signal.SIGTERM
    process.signal(signal.SIGTERM)  # to nobody


def test_a_zombie_does_not_live_and_is_no_other_process(sleeper: subprocess.Popen[bytes]) -> None:
    process = Process.of(sleeper.pid)
    assert process is not None
    lived = process.lives
    sleeper.kill()
    os.waitid(os.P_PID, sleeper.pid, os.WEXITED | os.WNOWAIT)
    assert sleeper.pid in proc.process_ids()
    assert (lived, process.lives) == (True, False)
    assert Process.of(sleeper.pid) is None


def test_of_a_process_that_has_ended_there_is_nothing(sleeper: subprocess.Popen[bytes]) -> None:
    sleeper.kill()
    sleeper.wait()
    pid = sleeper.pid
    assert pid not in proc.process_ids()
    assert Process.of(pid) is None
    assert (proc.user_id(pid), proc.cpu_time_ns(pid)) == (None, None)
    assert (proc.children(pid), proc.command_line(pid), proc.command_name(pid)) == ([], [], "")


def test_a_process_that_is_held_is_itself_to_every_process(sleeper: subprocess.Popen[bytes]) -> None:
    held = HeldProcess(sleeper.pid)
    try:
        assert held.lives
        assert not held.has_own_network
        read = subprocess.run(["cat", held.path / "stat"], capture_output=True, text=True, check=True).stdout
        assert read.split()[0] == str(sleeper.pid)
        group = Path("/proc/self/cgroup").read_text().splitlines()[-1].rpartition("/")[2]
        assert held.is_in_control_group(group)
        assert not held.is_in_control_group("4f0c" * 16)
        held.signal(signal.SIGTERM)
        assert sleeper.wait(10) == -signal.SIGTERM
    finally:
        held.close()


def test_there_is_no_process_0_to_hold() -> None:
    with pytest.raises(ProcessLookupError, match="no process 0"):
        HeldProcess(0)


@pytest.mark.root
def test_a_process_that_was_held_is_no_other_one_that_has_its_id_now(
    sleeper: subprocess.Popen[bytes],
) -> None:
    held = HeldProcess(sleeper.pid)
    sleeper.kill()
    sleeper.wait()
    later = started_as(sleeper.pid)
    try:
        assert proc.command_line(sleeper.pid) == ["sleep", "601"]
        assert not held.lives
        with pytest.raises(OSError, match="No such"):
            Path(held.network_namespace).stat()
        with pytest.raises(ProcessLookupError):
            held.signal(signal.SIGKILL)
        assert later.poll() is None
    finally:
        held.close()
        later.kill()
        later.wait()


def started_as(pid: int) -> subprocess.Popen[bytes]:
    """A process that has this id; others start meanwhile, so several attempts may be needed."""
    for _ in range(100):
        Path("/proc/sys/kernel/ns_last_pid").write_text(str(pid - 1))
        process = subprocess.Popen(["sleep", "601"])
        if process.pid == pid:
            while proc.command_line(pid) != ["sleep", "601"]:
                time.sleep(0.01)
            return process
        process.kill()
        process.wait()
    raise AssertionError(f"no process got the id {pid}")
