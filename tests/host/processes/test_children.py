"""Programs that take long end with whoever started them."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from testbed.errors import TestbedError
from testbed.host.processes.children import run_reported
from tests import ROOT

LONG = """
import sys
from testbed.host.processes.children import run_reported
run_reported(["sh", "-c", "echo $$ >pid.new; mv pid.new pid; exec sleep 600"], "waiting", print, 600)
"""


def test_a_child_ends_though_its_parent_is_killed(tmp_path: Path) -> None:
    root = str(ROOT)
    parent = subprocess.Popen(
        [sys.executable, "-c", LONG], cwd=tmp_path, env={**os.environ, "PYTHONPATH": root}
    )
    said = tmp_path / "pid"
    try:
        wait_until(said.exists)
        pid = int(said.read_text())
        assert lives(pid)
    finally:
        parent.kill()
        parent.wait(30)
    wait_until(lambda: not lives(pid))


def test_a_program_that_fails_is_told_with_its_last_words() -> None:
    told: list[str] = []
    with pytest.raises(TestbedError, match=r"^trying failed \(it is late\)$"):
        run_reported(["sh", "-c", "echo early; echo it is late >&2; echo; exit 3"], "trying", told.append, 60)
    assert told == ["trying"]


def lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def wait_until(done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.05)
