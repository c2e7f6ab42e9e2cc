"""How long a city takes to predict, and in how much memory: ``python -m tests.bench.city_bench [REQUESTS]``.

``testbed what-if scenarios/city.yaml --queues`` at 10,000 devices, 1,000 edges and 100 clouds, with a hundred
times the requests a second, so that each cloud has as many as the scenario's one.
"""

from __future__ import annotations

import os
import resource
import sys
import time

from testbed.console import Reporter
from testbed.scenario.scenario import load_scenario
from testbed.study.queues.predict import with_queues
from tests import SCENARIOS

SIZES = ("tiers.device.nodes=10000", "tiers.edge.nodes=1000", "tiers.cloud.nodes=100")
ALLOWED_S = 300
"""For 1,000,000 requests on two cores."""


def main(requests: int) -> None:
    began_s, began_cpu_s = time.monotonic(), time.process_time()
    settings = [*SIZES, "trace.arrivals.rate=400"]
    scenario = load_scenario(SCENARIOS / "city.yaml", settings, requests=requests, emulated=False)
    found = with_queues(scenario, Reporter())
    wall_s, cpu_s = time.monotonic() - began_s, time.process_time() - began_cpu_s
    peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
    print(f"{found.title}, {len(found.points)} methods:")
    print(f"{wall_s:.0f} s, {cpu_s:.0f} s of CPU time, {peak_mib} MiB at most")
    print(f"(for 1,000,000 requests on two cores, {ALLOWED_S} s is the aim; load {os.getloadavg()[0]:.1f})")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000)
