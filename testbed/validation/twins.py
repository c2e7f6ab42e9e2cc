"""Checks that one method, run twice under two names as a run would, differs in nothing but noise (A/A).

The order is a, b, b, a, so that a host which slowly gets busier favours neither. Neighbouring requests are
correlated, since they share what the host did meanwhile. So the interval of the difference is by batch means.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence

from scipy import stats

from testbed.host.processes.run_lock import new_run_id
from testbed.network.network import Network
from testbed.orchestrator.method import MethodResult, run_method
from testbed.orchestrator.nodes.tier_process import tier_processes
from testbed.orchestrator.nodes.tier_specs import container_specs
from testbed.orchestrator.prepare import Inputs
from testbed.orchestrator.session import Session
from testbed.results.columns import Row
from testbed.results.directory import RunDirectory
from testbed.scenario.expected import CHANCE
from testbed.scenario.scenario import Scenario
from testbed.scenario.workload.datasets import Example
from testbed.scenario.workload.trace_file import Request
from testbed.validation.bench import Bench
from testbed.validation.check import Check
from testbed.validation.figures import Figure, exactly
from testbed.validation.queueing import batch_means

NAMES = ("a", "b")
BATCHES = 10
BLUR_SHARE, BLUR_MS = 0.25, 1.0
"""How far the interval of the difference may reach to either side: a quarter of the mean latency, or 1 ms if
that is more. On a host that keeps pausing the interval would hold 0 whatever the difference.
"""
DECIDED = ("path", "confidences", "thresholds", "window_seqs", "kept", "tier", "answer", "outcome")
"""Columns that may not depend on when a request ran."""


def scenario() -> Scenario:
    """Three tiers of recorded models, one method under two names, in lockstep."""
    links = [
        {"name": "access", "between": ["device", "edge"], "rate": "20mbit", "delay": "5ms"},
        {"name": "core", "between": ["edge", "cloud"], "rate": "100mbit", "delay": "5ms"},
    ]
    tiers = [
        {"name": name, "model": {"kind": "recorded", "service": "2ms"}, "cpus": 0.5, "memory": "256MiB"}
        for name in ("device", "edge", "cloud")
    ]
    return Scenario.model_validate(
        {
            "name": "twins",
            "task": {"kind": "classification", "dataset": "rotten_tomatoes"},
            "tiers": tiers,
            "links": links,
            "methods": [{"name": name, "policy": "recserve"} for name in NAMES],
            "trace": {"requests": 1, "arrivals": {"process": "poisson", "rate": 10}},
            "replay": {"mode": "lockstep"},
        }
    )


def twins(bench: Bench) -> Iterator[Figure]:
    """Replay the same requests under both names, in lockstep, on one network with real tiers and captures."""
    a, b, b_again, a_again = run_twins(bench, 25 if bench.short else 100)
    yield from judge([*a.requests, *a_again.requests], [*b.requests, *b_again.requests])
    links = [*a.links, *b.links, *b_again.links, *a_again.links]
    unaccounted = sum(abs(row["unaccounted_bytes"]) for row in links)
    yield exactly("bytes without a cause, on all links", "bytes", 0, unaccounted)
    first, second = (sum(row["prompt_bytes"] for row in result.links) for result in (a, b))
    yield exactly("prompt bytes of the second, as many as of the first", "bytes", first, second)


def run_twins(bench: Bench, requests: int) -> list[MethodResult]:
    """Run a, b, b and a on a network without containers, and return the result of each.

    Raises:
        TestbedError: a tier did not start, or has ended.
    """
    shown = scenario()
    topology = shown.topology
    trace = [Request(f"r{number}", 0.0, "device1", "", "", number) for number in range(requests)]
    examples = {
        request.id: Example(request.row, f"prompt {request.row} " * 20, "positive") for request in trace
    }
    inputs = Inputs(shown, trace, examples, asked_cpus={})
    environments = {spec.node: spec.env for spec in container_specs(shown, topology, None)}
    directory = RunDirectory(bench.directory)
    with Network(topology, new_run_id(), hosts="namespace") as network:
        paths = {host.name: host.netns_path for host in network.hosts}
        with tier_processes(paths, environments) as nodes:
            for node in nodes:
                node.warm_up(["warm-up"] * 3)
            session = Session(inputs, network, nodes, network.links, directory, bench.reporter)
            with bench.reporter.counting("warming up the way between the tiers", requests) as progress:
                run_method(session, shown.methods[0], progress)
            results = []
            for method in (*shown.methods, *reversed(shown.methods)):
                with bench.reporter.counting(
                    f"method {method.name}: {requests} requests", requests
                ) as progress:
                    results.append(run_method(session, method, progress))
    return results


def judge(first: Sequence[Row], second: Sequence[Row]) -> Iterator[Figure]:
    """Compare the two runs' rows of ``requests.parquet``, request by request.

    Three figures: decisions that differ, the mean difference of latency, and how sharp that difference is.

    Raises:
        ValueError: of unequal length, or too few for batches.
    """
    pairs = list(zip(first, second, strict=True))
    differing = sum(any(a[name] != b[name] for name in DECIDED) for a, b in pairs)
    offloaded = sum(len(row["path"]) > 1 for row in first)
    yield exactly(
        f"requests of {len(pairs)} that were decided or answered otherwise", "requests", 0, differing,
        f"{offloaded} were offloaded",
    )  # fmt: skip
    differences = [float(b["latency_ms"]) - float(a["latency_ms"]) for a, b in pairs]
    mean, error = batch_means(differences, BATCHES)
    reach = float(stats.t.ppf(1 - CHANCE / 2, BATCHES - 1)) * error
    yield Figure(
        "mean difference of latency, second less first", "ms", 0.0, mean, -reach, reach,
        "its paired 99.8 % interval holds 0", f"{mean - reach:.2f} to {mean + reach:.2f} ms",
        tuple(differences),
    )  # fmt: skip
    mean_ms = statistics.fmean(float(row["latency_ms"]) for pair in pairs for row in pair)
    yield Figure(
        "how far that interval reaches to either side", "ms", 0.0, reach, 0.0,
        max(BLUR_MS, BLUR_SHARE * mean_ms),
        f"the larger of {BLUR_SHARE:.0%} of the mean latency and {BLUR_MS:g} ms",
        f"mean latency {mean_ms:.2f} ms",
    )  # fmt: skip


CHECKS = (Check("twins", "a method run twice differs in nothing (A/A)", "itself", twins),)
