"""A machine whose CPUs others hog: what was counted stays true, and no latency is believed or printed."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.e2e.runs import read, rest_of_output, run_command, running, wait_for

pytestmark = pytest.mark.docker
HOGS_PER_CPU = 2
HOG = "import time\nend = time.monotonic() + 60\nwhile time.monotonic() < end: pass"


@contextmanager
def hogged() -> Iterator[None]:
    """Two processes for each CPU that want all of it; each ends by itself after a minute at the latest."""
    count = HOGS_PER_CPU * len(os.sched_getaffinity(0))
    hogs = [subprocess.Popen([sys.executable, "-I", "-S", "-c", HOG]) for _ in range(count)]
    try:
        yield
    finally:
        for hog in hogs:
            hog.kill()
        for hog in hogs:
            hog.wait(10)


@pytest.mark.timeout(240)
def test_on_a_starved_machine_bytes_and_decisions_are_true_and_latency_is_not(tmp_path: Path) -> None:
    out = tmp_path / "run"
    with running(out, "--methods", "recserve") as process:
        wait_for(process, "recserve: replaying")
        with hogged():
            wait_for(process, "measuring the links after")
        output = rest_of_output(process)
        assert process.wait(60) == 0, output
    fidelity = read(out, "fidelity.json")
    assert fidelity["faithful"] == {"bytes": True, "decisions": True, "quality": True, "latency": False}
    assert any("more was runnable than" in reason for reason in fidelity["reasons"]["latency"])
    tables = run_command("report", str(out)).stdout
    lines = [line for line in tables.splitlines() if line.startswith("│ recserve")]
    # Percentiles and what differs from cloud-only, and the time of inferences; shares are decisions.
    assert [line.count("n/v") for line in lines] == [0, 3, 0, 0, 0, 0, 1]
    assert "Where the time went" not in tables
