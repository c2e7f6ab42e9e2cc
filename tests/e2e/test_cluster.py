"""A sweep on a Ray cluster of two nodes, which share this machine and so take turns.

Real Ray, real workers, one of which is killed. About 100 s, most of it runs of the smallest scenario.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pandas as pd
import pytest

from testbed.host.cache import cache_dir
from testbed.host.processes.proc import command_line, process_ids
from testbed.host.processes.run_lock import live_runs
from testbed.host.processes.waiting import wait_until
from testbed.network.kernel.netns import NAMED
from testbed.network.wiring import kernel_name
from tests import ROOT
from tests.e2e.runs import COMMAND, SMOKE, left_behind
from tests.study.sweep.two_nodes import ALONE

pytestmark = [pytest.mark.docker, pytest.mark.slow]


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    """The address of a cluster of two nodes, which has ended after the test."""
    module = [sys.executable, "-m", "tests.study.sweep.two_nodes"]
    with subprocess.Popen(
        module, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        yield process.stdout.readline().strip()
        process.stdin.close()
        assert process.wait(60) == 0
    assert _of_ray() == []


def _of_ray() -> list[str]:
    """The processes of Ray on this machine, but those of other clusters that were there before."""
    words = (" ".join(command_line(pid)[:1]) for pid in process_ids() if pid not in BEFORE)
    return [word for word in words if re.search(r"ray::|raylet|gcs_server", word)]


BEFORE = set(process_ids())


def _worker_in_mid_run() -> int:
    """The process id of the Ray worker whose point has its network up by now."""

    def found() -> int | None:
        for run_id, pid in live_runs().items():
            if any(NAMED.glob(f"{kernel_name(run_id)}*")):
                return _parent(_parent(pid))  # the guard is between them
        return None

    worker = wait_until(found, 120, 0.1, or_raise="no point is under way")
    assert worker is not None
    assert command_line(worker)[0].startswith("ray::")
    return worker


def _parent(pid: int) -> int:
    (line,) = re.findall(r"^PPid:\s+(\d+)$", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    return int(line)


@contextmanager
def _sweeping(cluster: str, out: Path) -> Iterator[subprocess.Popen[str]]:
    varied = ("--set", "links.core.loss=0%,5%", "--requests", "3", "--methods", "recserve")
    with subprocess.Popen(
        [*COMMAND, "sweep", str(SMOKE), *varied, "--out", str(out), "--on", f"ray://{cluster}"],
        cwd=ROOT,
        env={**os.environ, **ALONE},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.terminate()


@pytest.mark.timeout(300)
def test_a_sweep_that_is_ended_leaves_nothing_on_its_machines(cluster: str, tmp_path: Path) -> None:
    with _sweeping(cluster, tmp_path / "sweep") as process:
        _worker_in_mid_run()
        process.terminate()  # as Ctrl-C, and what Ray has a handler of its own for
        said, _ = process.communicate(timeout=200)
    assert process.returncode == 128 + signal.SIGTERM, said
    assert "ending 2 points on their machines" in said
    assert left_behind() == []
    assert list(cache_dir().glob(".point-*")) == []
    assert list((tmp_path / "sweep" / "points").iterdir()) == []


@pytest.mark.timeout(400)
def test_two_nodes_take_turns_and_a_killed_workers_point_is_done_again(cluster: str, tmp_path: Path) -> None:
    out = tmp_path / "sweep"
    with _sweeping(cluster, out) as process:
        os.kill(_worker_in_mid_run(), signal.SIGKILL)
        said, _ = process.communicate(timeout=300)
    assert process.returncode == 0, said
    assert len(re.findall(r"goes back: .* its worker was lost \(WorkerCrashedError", said)) == 1
    assert "(attempt 2 of 3)" in said
    assert len(set(re.findall(r"\(node \w+\)", said))) == 2

    table = pd.read_csv(out / "points.csv")
    assert list(table["status"]) == ["finished"] * 2
    assert list(table["requests"]) == [3, 3]
    manifests = [json.loads((out / run / "manifest.json").read_text()) for run in table["run"]]
    assert [manifest["scenario"]["links"][1]["loss"] for manifest in manifests] == [0.0, 0.05]
    first, second = sorted(manifests, key=lambda manifest: str(manifest["started_at"]))
    assert first["ended_at"] <= second["started_at"], "they ran at once"
    assert sorted(path.name for path in (out / "points").iterdir()) == ["0001", "0002"]
    assert left_behind() == []
