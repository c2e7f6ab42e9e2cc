"""How long a city takes to predict, and in how much memory: ``python -m tests.bench.city_bench [REQUESTS]``.

``testbed what-if scenarios/city.yaml --queues`` at 10,000 devices, 1,000 edges and 100 clouds, with a hundred
times the requests a second, so that each cloud has as many as the scenario's one. Each number of requests has
a process of its own. Memory is the process's own highest (``VmHWM``, proc(5)): ``ru_maxrss`` has that of the
process that started it, too. What a request takes is by how much a tenth as many need less.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from testbed.console import Quiet
from testbed.scenario.scenario import load_scenario
from testbed.study.queues.predict import with_queues
from tests import ROOT, SCENARIOS

SIZES = ("tiers.device.nodes=10000", "tiers.edge.nodes=1000", "tiers.cloud.nodes=100")
ALLOWED_S = 300
"""For 1,000,000 requests on two cores."""


@dataclass(frozen=True)
class Used:
    """What the prediction of so many requests took and gave, of all methods one after the other."""

    requests: int
    wall_s: float
    cpu_s: float
    peak_bytes: int
    points: list[dict[str, Any]]

    def __str__(self) -> str:
        return (
            f"{self.requests:,} requests: {self.wall_s:.1f} s, {self.cpu_s:.1f} s of CPU time, "
            f"{self.peak_bytes / 2**20:.0f} MiB at most"
        )


def used(requests: int, *settings: str) -> Used:
    """Predict the city, with ``settings`` beside its own, in a process of its own."""
    code = f"from tests.bench import city_bench; city_bench.predict({requests}, *{settings!r})"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, stdout=subprocess.PIPE)
    return Used(**json.loads(done.stdout))


def predict(requests: int, *settings: str) -> None:
    """Predict the city here, and print what that took and gave as JSON."""
    began_s, began_cpu_s = time.monotonic(), time.process_time()
    city = [*SIZES, "trace.arrivals.rate=400", *settings]
    scenario = load_scenario(SCENARIOS / "city.yaml", city, requests=requests, emulated=False)
    points = [dict(one) for one in with_queues(scenario, Quiet()).points]
    wall_s, cpu_s = time.monotonic() - began_s, time.process_time() - began_cpu_s
    lines = Path("/proc/self/status").read_text().splitlines()
    peak_bytes = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))
    print(json.dumps(asdict(Used(requests, wall_s, cpu_s, peak_bytes, points))))


def bytes_a_request(fewer: Used, more: Used) -> float:
    """By how much the peak grows with each request."""
    return (more.peak_bytes - fewer.peak_bytes) / (more.requests - fewer.requests)


def main(requests: int) -> None:
    few, all_of_them = used(requests // 10), used(requests)
    print(few, all_of_them, sep="\n")
    each = bytes_a_request(few, all_of_them)
    print(f"{each:.0f} bytes a request, between {few.requests:,} and {all_of_them.requests:,} requests")
    print(f"(for 1,000,000 requests on two cores, {ALLOWED_S} s is the aim; load {os.getloadavg()[0]:.1f})")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000)
