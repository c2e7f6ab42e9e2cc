"""Tries one cell of the matrix on a real run, and notes what is found after it."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from collections import Counter
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from testbed.host.engine import engine
from testbed.host.processes.proc import command_line
from testbed.host.processes.run_lock import live_runs, lock_file
from testbed.host.processes.waiting import wait_until
from testbed.network.leftovers import find_leftovers, remove_leftovers
from tests.disks import disk_of
from tests.e2e.runs import run_command
from tests.faults.inject import UnderWay, inject, manifest_status, under_way, wait_for_phase
from tests.faults.matrix import Cell, Seen, may_leave

SCENARIO = Path(__file__).parent / "small.yaml"
END_TIMEOUT_S = 150.0
SETTLE_S = 10.0
"""What killed processes may take to end."""
DISK = "12m"


def try_cell(cell: Cell, scratch: Path, scenario: Path = SCENARIO) -> Seen:
    """Run a scenario like the matrix's, let the fault happen in the phase; see what is left, kept and said.

    Raises:
        TestbedError: the run did not come so far, or what the fault would happen to is not there.
    """
    disk = disk_of(DISK) if cell.fault.target == "disk" else nullcontext(scratch)
    try:
        with disk as place, under_way(scenario, place / "run", scratch / "log") as run:
            wait_for_phase(run, "preparing")
            run_id = next(name for name, pid in live_runs().items() if pid == run.process.pid)
            wait_for_phase(run, cell.phase)
            began_s = inject(run, cell)
            status = run.process.wait(END_TIMEOUT_S)
            took_s = time.monotonic() - began_s
            if place != scratch and run.out.exists():
                shutil.copytree(run.out, scratch / "run")
        if cell.fault.target == "engine":
            engine()  # so that its containers can be seen, and removed
        wait_until(lambda: not _left(run, run_id), SETTLE_S, 0.2, possible=lambda: not may_leave(cell.fault))
        left, left_after_clean = _left(run, run_id), []
        if may_leave(cell.fault):
            cleaned = run_command("clean")
            assert cleaned.returncode == 0, cleaned.stderr
            wait_until(lambda: not _left(run, run_id), SETTLE_S, 0.2)
            left_after_clean = _left(run, run_id)
        return _seen(run, scratch / "run", status, took_s, left, left_after_clean)
    finally:  # the next cell begins on a clean host
        engine()
        remove_leftovers()


def _left(run: UnderWay, run_id: str) -> list[str]:
    """What is there of a run: in the kernel, in Docker, and as processes."""
    found = [f"{leftover.kind} {leftover.name}" for leftover in find_leftovers(run_id)]
    found += [f"lock {run_id}"] * lock_file(run_id).exists()
    found += [f"process {pid}: {' '.join(command_line(pid)[:3])}" for pid in run.processes()]
    return found


def _seen(
    run: UnderWay, out: Path, status: int, took_s: float, left: list[str], left_after_clean: list[str]
) -> Seen:
    printed = run.log.read_text(errors="replace")
    last = (printed.strip().splitlines() or [""])[-1]
    seen = Seen(
        status=status,
        sentence=last.replace(str(run.out), "RUN"),
        traceback="Traceback" in printed,
        took_s=round(took_s, 1),
        left=tuple(left),
        left_after_clean=tuple(left_after_clean),
    )
    if not out.exists():
        return seen
    reported = run_command("report", str(out))
    words = (reported.stderr.strip().splitlines() or [""])[-1].replace(str(out), "RUN")
    fidelity, manifest = _fidelity(out), manifest_status(out)
    return replace(
        seen,
        rows=_rows(out),
        manifest=manifest,
        sealed=None if manifest is None else _is_sealed(out),
        report=(reported.returncode, words),
        report_traceback="Traceback" in reported.stderr,
        faithful=fidelity.get("faithful", {}),
        reasons={claim: tuple(told) for claim, told in fidelity.get("reasons", {}).items()},
    )


def _fidelity(out: Path) -> dict[str, Any]:
    try:
        return dict(json.loads((out / "fidelity.json").read_text()))
    except (OSError, ValueError):
        return {}


def _rows(out: Path) -> dict[str, int] | None:
    try:
        rows = pq.read_table(out / "requests.parquet", columns=["method"]).to_pylist()
    except (OSError, ValueError):
        return None
    return dict(Counter(row["method"] for row in rows))


def _is_sealed(out: Path) -> bool:
    if not (out / "SHA256SUMS").exists():
        return False
    checked = subprocess.run(["sha256sum", "--check", "--quiet", "SHA256SUMS"], cwd=out, capture_output=True)
    return checked.returncode == 0
