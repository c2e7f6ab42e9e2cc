"""How fast a recorded trace is imported, and in how much memory.

``python -m tests.bench.trace_bench [ROWS]``
The trace is made up in BurstGPT's columns. The import runs as a user starts it, in a process of its own.
"""

from __future__ import annotations

import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests import ROOT

ROWS = 1_000_000
BURSTGPT = "Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type"


def main(rows: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        file, out = Path(folder) / "burstgpt.csv", Path(folder) / "trace.jsonl"
        write_trace(file, rows)
        command = [sys.executable, "-m", "testbed.cli", "trace", "import", "burstgpt", str(file)]
        began_s = time.monotonic()
        subprocess.run(
            [*command, "--dataset", "rotten_tomatoes", "--devices", "100", "--zipf", "1", "--out", str(out)],
            cwd=ROOT,
            check=True,
        )
        wall_s = time.monotonic() - began_s
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        print(
            f"{rows:,} rows, {file.stat().st_size / 1e6:.0f} MB: imported in {wall_s:.1f} s "
            f"({used.ru_utime + used.ru_stime:.1f} s of CPU time), at most {used.ru_maxrss / 1024:.0f} MiB; "
            f"{out.stat().st_size / 1e6:.0f} MB written"
        )


def write_trace(path: Path, rows: int) -> None:
    """A trace of so many rows, a few a second."""
    draws, at_s = random.Random(1), 5.0
    with path.open("w") as file:
        file.write(f"{BURSTGPT}\n")
        for _ in range(rows):
            at_s += draws.expovariate(3)
            asked, answered = int(draws.lognormvariate(5, 1)) + 1, int(draws.lognormvariate(5, 1))
            file.write(f"{at_s:.1f},ChatGPT,{asked},{answered},{asked + answered},Conversation log\n")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else ROWS)
