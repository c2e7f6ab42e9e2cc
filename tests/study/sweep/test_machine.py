"""The process of a point ends as it should, whatever becomes of the worker that started it."""

from __future__ import annotations

import _thread
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from testbed.host.files import text_of
from testbed.host.processes.waiting import wait_until
from testbed.study.sweep.alike import alike_here
from testbed.study.sweep.machine import _GUARD, Outcome, _run_guarded, run_point
from tests import ROOT

TELLS_ITS_END = """
import os, pathlib, signal, sys, time
folder = pathlib.Path(sys.argv[1])
def end(number, frame):
    time.sleep(0.3)
    (folder / "ended").write_text(str(number))
    sys.exit(143)
signal.signal(signal.SIGTERM, end)
(folder / "pid").write_text(str(os.getpid()))
time.sleep(60)
"""


def test_its_status_is_as_in_a_shell(tmp_path: Path) -> None:
    assert _run_guarded([sys.executable, "-c", "raise SystemExit(3)"], tmp_path) == 3
    assert _run_guarded(["sh", "-c", "kill -KILL $$"], tmp_path) == 128 + signal.SIGKILL


def test_it_gets_the_environment_of_a_user_and_this_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_JOB_ID", "1")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("TESTBED_CACHE", "/somewhere")
    monkeypatch.setenv("PYTHONPATH", "/theirs")
    _run_guarded(["sh", "-c", "env > environment"], tmp_path)
    words = (tmp_path / "environment").read_text().splitlines()
    assert "TESTBED_CACHE=/somewhere" in words
    assert f"PYTHONPATH={ROOT}:/theirs" in words
    assert not [word for word in words if word.startswith(("RAY_", "OMP_"))]


def test_an_interrupted_worker_asks_it_to_end(tmp_path: Path) -> None:
    def interrupt() -> None:
        wait_until((tmp_path / "pid").exists, 20, 0.05)
        time.sleep(0.2)
        _thread.interrupt_main()  # as Ray cancels a task

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        _run_guarded([sys.executable, "-c", TELLS_ITS_END, str(tmp_path)], tmp_path)
    thread.join()
    assert (tmp_path / "ended").exists()


def test_a_worker_that_was_started_to_ignore_interrupts_heeds_them() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # as of what a script started with &
    try:
        (outcome,) = run_point({}, replace(alike_here([], []), python="3.99"), [])
        assert isinstance(outcome, Outcome)
        assert signal.getsignal(signal.SIGINT) == signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("killed", ["guard", "worker"])
def test_it_ends_by_itself_when_its_worker_is_killed(tmp_path: Path, killed: str) -> None:
    command = [*_GUARD, sys.executable, "-c", TELLS_ITS_END, str(tmp_path)]
    worker = f"import subprocess; p = subprocess.Popen({command!r}); print(p.pid, flush=True); p.wait()"
    process = subprocess.Popen([sys.executable, "-c", worker], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    guard = int(process.stdout.readline())
    assert wait_until((tmp_path / "pid").exists, 20, 0.05)
    time.sleep(0.2)
    os.kill(guard if killed == "guard" else process.pid, signal.SIGKILL)
    process.wait(10)
    process.stdout.close()
    assert wait_until(lambda: text_of(tmp_path / "ended"), 10, 0.05) == str(int(signal.SIGTERM))


@pytest.mark.root
def test_a_niced_process_gets_an_ordinary_priority() -> None:
    script = (
        "import os, threading, pathlib; from testbed.host.processes.priority import as_started_by_hand as f\n"
        "pathlib.Path('/proc/self/oom_score_adj').write_text('1000'); os.nice(15)\n"
        "threading.Thread(target=threading.Event().wait, daemon=True).start(); f()\n"
        "print({os.getpriority(os.PRIO_PROCESS, int(t)) for t in os.listdir('/proc/self/task')},\n"
        "      pathlib.Path('/proc/self/oom_score_adj').read_text().strip())"
    )
    printed = subprocess.check_output([sys.executable, "-c", script], cwd=ROOT, text=True)
    assert printed.strip() == "{0} 0"
