"""The machine in which netem is measured: it tells what went wrong, ends in time and leaves nothing."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests import ROOT
from tests.reference import uml

pytestmark = [pytest.mark.reference, pytest.mark.root]
LIMIT_S = 30.0


def machines() -> set[int]:
    """Processes of machines."""
    found = set()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                if b"testbed-uml-" in (entry / "cmdline").read_bytes():
                    found.add(int(entry.name))
    return found


def files() -> set[Path]:
    places = (Path(tempfile.gettempdir()), Path("/dev/shm"))
    return {path for place in places for path in place.glob("*uml*")} | {Path("/lib/modules")}


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    before = machines(), {path for path in files() if path.exists()}
    yield
    assert (machines(), {path for path in files() if path.exists()}) == before


def test_it_runs_a_command_on_a_kernel_with_netem_and_gives_back_what_it_printed() -> None:
    shown = uml.run_in_uml(
        ["sh", "-c", "tc qdisc add dev lo root netem delay 1ms; tc qdisc show dev lo"], LIMIT_S
    )
    assert "netem" in shown
    assert "delay 1ms" in shown


def test_a_command_that_fails_is_quoted() -> None:
    with pytest.raises(RuntimeError, match="no such thing"):
        uml.run_in_uml(["sh", "-c", "echo no such thing >&2; exit 3"], LIMIT_S)


def test_a_command_that_does_not_end_is_ended() -> None:
    began_s = time.monotonic()
    with pytest.raises(RuntimeError, match="did not end"):
        uml.run_in_uml(["sleep", "600"], 6)
    assert time.monotonic() - began_s < LIMIT_S


def test_the_machine_ends_with_whoever_started_it(tmp_path: Path) -> None:
    before = machines()
    script = "from tests.reference.uml import run_in_uml; run_in_uml(['sleep', '600'], 600)"
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    root = ROOT
    with subprocess.Popen([sys.executable, "-c", script], cwd=root, env=environment) as owner:
        wait_until(lambda: len(machines() - before) > 2)
        time.sleep(3)
        owner.kill()
    wait_until(lambda: machines() == before)


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)
