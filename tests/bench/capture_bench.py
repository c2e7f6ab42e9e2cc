"""What capturing costs: the same short method with its links captured and without, in turn.

    python -m tests.bench.capture_bench [--rounds 3] [--requests 200] [--rate 20]

Cloud-only through three tiers, recorded models of 1 ms. Prints p50 and p95 of the latency of both, and the
median difference of the same request with and without.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
from rich.console import Console

from testbed.console import Reporter
from testbed.orchestrator.method import run_method
from testbed.orchestrator.session import Session
from tests.bench.arrivals_bench import TEXT
from tests.orchestrator.emulation import emulated, scenario_of


def latencies_ms(session: Session, capturing: bool) -> list[float]:
    """Latencies of cloud-only, in the trace's order."""
    method = session.inputs.scenario.methods[-1]
    result = run_method(
        replace(session, captured=session.network.links if capturing else ()), method, lambda _done, _of: None
    )
    assert result.outcomes.ended == {"answered": len(session.inputs.trace)}
    return [row["latency_ms"] for row in result.requests]


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--requests", type=int, default=200)
    parser.add_argument("--rate", type=float, default=20.0)
    options = parser.parse_args(argv)
    measured_ms: dict[bool, list[float]] = {True: [], False: []}
    with tempfile.TemporaryDirectory(prefix="testbed-bench-") as scratch:
        scenario = scenario_of(TEXT.format(rate=options.rate, requests=options.requests), Path(scratch))
        with emulated(scenario, Path(scratch) / "run", Reporter(Console(quiet=True))) as session:
            latencies_ms(session, False)  # the first run warms servers up
            for number in range(options.rounds):
                for capturing in (True, False) if number % 2 else (False, True):
                    measured_ms[capturing] += latencies_ms(session, capturing)
    print(
        f"{options.rounds} rounds of {options.requests} requests at {options.rate:g}/s; "
        f"{os.cpu_count()} CPUs, load {os.getloadavg()[0]:.1f}"
    )
    for capturing, name in ((False, "not captured"), (True, "captured")):
        p50, p95 = np.percentile(measured_ms[capturing], [50, 95])
        print(f"  {name:12}  p50 {p50:6.2f} ms  p95 {p95:6.2f} ms")
    differences = np.subtract(measured_ms[True], measured_ms[False])
    low, high = np.percentile(differences, [25, 75])
    print(
        f"  the same request: {np.median(differences):+.2f} ms in the median when captured "
        f"(half of them between {low:+.2f} and {high:+.2f})"
    )


if __name__ == "__main__":
    main(sys.argv[1:])
