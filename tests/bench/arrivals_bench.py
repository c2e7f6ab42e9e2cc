"""How late requests are sent at a steady rate, with the tiers' real servers on the same CPUs.

    python -m tests.bench.arrivals_bench [--rate 100] [--seconds 20] [--profile]

Recorded models of 1 ms stand in for inference, so that what is timed is the orchestrator and not a model.
First at one tier, then through three, with every link captured, the CPUs watched and a bar drawn as in a run.
Late is how long after its time in the trace a request's bytes were handed to the kernel.
"""

from __future__ import annotations

import argparse
import cProfile
import os
import pstats
import sys
import tempfile
from pathlib import Path
from typing import TextIO

from rich.console import Console

from testbed.console import Reporter
from testbed.orchestrator.method import MethodResult, run_method
from testbed.results.evidence import Lateness
from tests.orchestrator.emulation import emulated, scenario_of

AIM_MS = 5.0
TEXT = """
name: arrivals
task: {{kind: classification, dataset: rotten_tomatoes, labels: [negative, positive]}}
tiers:
  - {{name: device, nodes: 2, model: {{kind: recorded, service: 1ms}}, cpus: 0.5, memory: 64MiB}}
  - {{name: edge,   nodes: 1, model: {{kind: recorded, service: 1ms}}, cpus: 0.5, memory: 64MiB}}
  - {{name: cloud,  nodes: 1, model: {{kind: recorded, service: 1ms}}, cpus: 0.5, memory: 64MiB}}
links:
  - {{name: access, between: [device, edge], rate: 100mbit}}
  - {{name: core,   between: [edge, cloud],  rate: 100mbit}}
methods:
  - {{name: device-only}}
  - {{name: cloud-only}}
trace: {{requests: {requests}, arrivals: {{process: poisson, rate: {rate}}}, seed: 1}}
replay: {{mode: open, deadline: 10s}}
"""


def measure(rate: float, seconds: float) -> list[MethodResult]:
    """Device-only (one tier each), then cloud-only (three tiers, two captured hops)."""
    with tempfile.TemporaryDirectory(prefix="testbed-bench-") as scratch:
        scenario = scenario_of(TEXT.format(rate=rate, requests=round(rate * seconds)), Path(scratch))
        results = []
        with (
            (Path(scratch) / "terminal").open("w") as terminal,
            emulated(scenario, Path(scratch) / "run", on_terminal(terminal)) as session,
        ):
            for method in scenario.methods:
                with session.reporter.counting(method.name, len(session.inputs.trace)) as progress:
                    results.append(run_method(session, method, progress))
        return results


def on_terminal(file: TextIO) -> Reporter:
    """Draws a bar, as for a person: that is work for the orchestrator's process too."""
    return Reporter(Console(file=file, force_terminal=True, width=100))


def show(result: MethodResult) -> Lateness:
    late = result.lateness
    ended = ", ".join(f"{count} {name}" for name, count in result.outcomes.ended.items())
    print(
        f"  {late.method:12} p50 {late.p50_ms:6.2f} ms  p99 {late.p99_ms:6.2f} ms  max {late.max_ms:6.2f} ms"
        f"  ({ended}; CPUs busy {result.observed.cpu.busy:.0%})"
    )
    return late


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rate", type=float, default=100.0)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--profile", action="store_true", help="where the orchestrator's time goes")
    options = parser.parse_args(argv)
    print(
        f"{options.rate:g} requests/s for {options.seconds:g} s; {os.cpu_count()} CPUs, "
        f"load {os.getloadavg()[0]:.1f} before; aim: p99 below {AIM_MS:g} ms"
    )
    profile = cProfile.Profile()
    if options.profile:
        profile.enable()
    results = measure(options.rate, options.seconds)
    profile.disable()
    for result in results:
        show(result)
    if options.profile:
        pstats.Stats(profile).sort_stats("tottime").print_stats(25)


if __name__ == "__main__":
    main(sys.argv[1:])
