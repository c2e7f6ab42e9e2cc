"""What a run costs beside its replay: ``python -m tests.bench.run_bench [SCENARIO | RUN]``.

Prints the warm run's time in all, the replay's own (methods × requests ÷ rate), what is left, each tier's
anonymous memory, and the image's size. Give a finished run's directory to read these from it.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

ALLOWED_S = 60
"""Beside the replay."""


def main(argument: str) -> None:
    if Path(argument).is_dir():
        show(Path(argument), None)
        return
    with tempfile.TemporaryDirectory(prefix="testbed-bench-") as scratch:
        out = Path(scratch) / "run"
        began_s = time.monotonic()
        subprocess.run(
            [sys.executable, "-m", "testbed.cli", "run", argument, "--out", str(out)],
            check=True,
            timeout=3600,
        )
        show(out, time.monotonic() - began_s)


def show(run: Path, wall_s: float | None) -> None:
    manifest: dict[str, Any] = json.loads((run / "manifest.json").read_text())
    scenario = manifest["scenario"]
    if wall_s is None:
        started, ended = (datetime.fromisoformat(manifest[key]) for key in ("started_at", "ended_at"))
        wall_s = (ended - started).total_seconds()
    rows = pq.read_table(run / "requests.parquet", columns=["method", "scheduled_at_s"]).to_pylist()
    replay_s = sum(
        max(row["scheduled_at_s"] for row in rows if row["method"] == method["name"])
        for method in scenario["methods"]
    )
    print(f"\n{scenario['name']}: {wall_s:.0f} s in all, {replay_s:.0f} s of them the trace's")
    print(f"overhead {wall_s - replay_s:.0f} s (at most {ALLOWED_S} s is the aim)")
    for name, node in manifest["nodes"].items():
        print(f"{name}: {node['cgroup_anon_bytes'] / 1e6:.0f} MB anonymous")
    print(f"image: {manifest['image']['size_bytes'] / 1e9:.2f} GB")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "scenarios/quickstart.yaml")
