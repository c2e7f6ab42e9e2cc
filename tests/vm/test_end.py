"""Whatever ends a machine, all of it ends, in bounded time."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from testbed.vm import find_machines, kill_machine
from tests.vm.machines import ENDED_WITHIN_S, argv, end, gone, machine_of, python, run, start, within

pytestmark = pytest.mark.vm

CLEANS = """
import signal, sys, time
def terminated(*_): raise KeyboardInterrupt
signal.signal(signal.SIGTERM, terminated)
try:
    print("ready", flush=True)
    time.sleep(600)
except KeyboardInterrupt:
    time.sleep(1)
    open("measured", "w").write("so far")
    print("cleaned", flush=True)
    sys.exit(9)
"""
STAYS = """
import signal, time
for number in (signal.SIGINT, signal.SIGTERM): signal.signal(number, signal.SIG_IGN)
print("ready", flush=True)
time.sleep(600)
"""


@pytest.fixture
def started(tmp_path: Path) -> Iterator[list[subprocess.Popen[bytes]]]:
    processes: list[subprocess.Popen[bytes]] = []
    yield processes
    for process in processes:
        end(process)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_lets_the_command_clean_up_and_write(
    number: signal.Signals, tmp_path: Path, started: list[subprocess.Popen[bytes]]
) -> None:
    process = start(python(CLEANS), cwd=tmp_path)
    started.append(process)
    machine = machine_of(process)
    process.send_signal(number)
    output, _ = process.communicate(timeout=ENDED_WITHIN_S)
    assert (process.returncode, output) == (9, b"cleaned\n")
    assert (tmp_path / "measured").read_text() == "so far"
    assert gone(machine)


def test_a_second_one_ends_a_command_that_does_not_listen(started: list[subprocess.Popen[bytes]]) -> None:
    process = start(python(STAYS))
    started.append(process)
    machine = machine_of(process)
    process.send_signal(signal.SIGINT)
    time.sleep(1)
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    assert process.wait(5) == 128 + signal.SIGINT
    assert gone(machine)


def test_a_second_one_ends_it_though_nobody_reads_its_output(started: list[subprocess.Popen[bytes]]) -> None:
    process = start(python(STAYS.replace("time.sleep(600)", "while True: print('x' * 999)")))
    started.append(process)
    machine = machine_of(process)
    time.sleep(2)
    for _ in range(2):
        process.send_signal(signal.SIGINT)
        time.sleep(0.5)
    assert process.wait(5) == 128 + signal.SIGINT
    assert gone(machine)


def test_time_that_is_up_is_a_request_first() -> None:
    began = time.monotonic()
    done = run(python(CLEANS.replace('open("measured", "w").write("so far")', "")), "--timeout", "10")
    assert (done.returncode, done.stdout) == (9, b"ready\ncleaned\n")
    assert time.monotonic() - began < 10 + ENDED_WITHIN_S


def test_a_signal_before_it_has_booted_ends_it(started: list[subprocess.Popen[bytes]]) -> None:
    listens = python("import time; time.sleep(600)")  # it may have booted by the time the signal comes
    process = subprocess.Popen(argv(listens), start_new_session=True)
    started.append(process)
    assert within(10, lambda: any(m.owner == process.pid and m.group for m in find_machines()))
    machine = machine_of(process)
    process.send_signal(signal.SIGTERM)
    assert process.wait(ENDED_WITHIN_S) == 128 + signal.SIGTERM
    assert within(5, lambda: gone(machine))


def test_when_its_owner_is_killed_nothing_of_it_is_left(started: list[subprocess.Popen[bytes]]) -> None:
    process = start(python(STAYS))
    started.append(process)
    machine = machine_of(process)
    assert machine.owned
    assert len(machine.processes) > 1
    process.kill()
    process.wait()
    assert within(5, lambda: gone(machine))


def test_when_its_guard_is_killed_with_the_owner_it_can_be_found_and_ended(
    started: list[subprocess.Popen[bytes]],
) -> None:
    process = start(python(STAYS))
    started.append(process)
    machine = machine_of(process)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    guards = [int(pid) for pid in children if b"guard" in Path(f"/proc/{pid}/cmdline").read_bytes()]
    assert len(guards) == 1
    for pid in (*guards, process.pid):
        os.kill(pid, signal.SIGKILL)
    process.wait()
    left = next(found for found in find_machines() if found.name == machine.name)
    assert not left.owned
    kill_machine(left)
    assert gone(machine)


def test_a_process_left_behind_by_the_command_keeps_no_machine_up() -> None:
    began = time.monotonic()
    done = run(["sh", "-c", "sleep 600 & setsid sleep 600 & echo done"])
    assert (done.returncode, done.stdout) == (0, b"done\n")
    assert time.monotonic() - began < ENDED_WITHIN_S


def test_two_machines_at_a_time_do_not_disturb_each_other(started: list[subprocess.Popen[bytes]]) -> None:
    processes = [start(python(f"print('ready', flush=True); raise SystemExit({n})")) for n in (3, 4)]
    started += processes
    assert [process.wait(ENDED_WITHIN_S) for process in processes] == [3, 4]
