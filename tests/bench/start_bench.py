"""How quickly a command starts: ``python -m tests.bench.start_bench [RUN] [--rounds 7]``.

Prints wall-clock and CPU time of ``testbed --help``, of ``testbed report RUN`` and of ``import testbed``, the
best of several rounds: what else the machine does can only add to them.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import time
from pathlib import Path

OLD_RUN = Path(__file__).parents[1] / "data" / "run-v1"


def best(command: list[str], rounds: int) -> tuple[float, float]:
    """The least wall-clock and CPU time of a command, in seconds."""
    walls_s, cpus_s = [], []
    for _ in range(rounds):
        before, began_s = _children_cpu_s(), time.monotonic()
        subprocess.run(command, stdout=subprocess.DEVNULL, check=True, timeout=60)
        walls_s.append(time.monotonic() - began_s)
        cpus_s.append(_children_cpu_s() - before)
    return min(walls_s), min(cpus_s)


def _children_cpu_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", nargs="?", type=Path, default=OLD_RUN)
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args(arguments)
    testbed = [sys.executable, "-m", "testbed.cli"]
    print(f"best of {options.rounds}, on {os.cpu_count()} CPUs")
    for name, command in (
        ("import testbed", [sys.executable, "-c", "import testbed"]),
        ("testbed --help", [*testbed, "--help"]),
        (f"testbed report {options.run.name}", [*testbed, "report", str(options.run)]),
    ):
        wall_s, cpu_s = best(command, options.rounds)
        print(f"  {name:24} {wall_s:.2f} s of wall clock, {cpu_s:.2f} s of CPU")


if __name__ == "__main__":
    main(sys.argv[1:])
