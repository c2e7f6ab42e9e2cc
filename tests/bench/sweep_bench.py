"""What a sweep costs between two points on a network that stays up: ``python -m tests.bench.sweep_bench``.

Prints, for each of some points, how long nothing was replayed: from the last answer of the point before to
this point's start, by the run directories' own times. Give a sweep's directory to read these from it.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

ALLOWED_S = 3.0
"""Between two points."""
VALUES = ("--set", "methods.recserve.beta=0.3,0.6", "--set", "links.core.loss=0%,1%", "--repeat", "2")


def main(arguments: list[str]) -> None:
    if arguments and Path(arguments[0]).is_dir():
        show(Path(arguments[0]))
        return
    scenario = arguments[0] if arguments else "scenarios/smoke.yaml"
    with tempfile.TemporaryDirectory(prefix="testbed-bench-") as scratch:
        out, began_s = Path(scratch) / "sweep", time.monotonic()
        command = [sys.executable, "-m", "testbed.cli", "sweep", scenario, *VALUES, "--out", str(out)]
        subprocess.run(command, check=True, timeout=3600)
        print(f"\n{time.monotonic() - began_s:.0f} s in all")
        show(out)


def show(sweep: Path) -> None:
    gaps_s = []
    runs = sorted((read(path) for path in sweep.glob("points/[0-9]*")), key=lambda run: run[1])
    for (run_id, _, ended_ns), (next_id, started_ns, _) in pairwise(runs):
        if run_id == next_id:
            gaps_s.append((started_ns - ended_ns) / 1e9)
            print(f"{gaps_s[-1]:.2f} s between two points")
    if gaps_s:
        print(
            f"{len(runs)} points, {max(gaps_s):.2f} s between two at most (under {ALLOWED_S:g} s is the aim)"
        )


def read(run: Path) -> tuple[str, int, int]:
    """The network's name, and when the run's first request was due and its last one done, in ns."""
    manifest: dict[str, Any] = json.loads((run / "manifest.json").read_text())
    starts_ns = manifest["started_ns"]
    rows = pq.read_table(run / "requests.parquet", columns=["method", "done_at_s"]).to_pylist()
    ended_ns = max(starts_ns[row["method"]] + round(row["done_at_s"] * 1e9) for row in rows)
    return manifest["run_id"], min(starts_ns.values()), ended_ns


if __name__ == "__main__":
    main(sys.argv[1:])
