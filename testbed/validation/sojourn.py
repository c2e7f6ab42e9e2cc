"""Checks that requests queue at a tier as queueing theory says: M/M/1 and M/D/1, at a real server.

Arrivals and service times are drawn by seed, so Lindley's recursion gives the sojourns of exactly these
arrivals and services at an ideal server. The estimate that is judged is the closed form plus the mean of
(measured - Lindley). This is a control variate (Law, Simulation Modeling and Analysis, 11.4): it has the
same expectation as the plain mean and a far smaller error, since the luck of the draw cancels. With the plain
mean, 5 % at load 0.8 would take 30,000 requests, since the mean wait of an M/M/1 queue varies by 2,000 / n
services squared. The plain mean and its batch-means error are reported beside it.

A service takes the recorded time and what the server adds to it (waking up, the policy). That overhead is
measured, is judged by itself, and makes the service in the closed form longer, and so the load higher. A
service that the host held up is counted apart, and enters the recursion with the time that it took.
"""

from __future__ import annotations

import json
import math
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from testbed.errors import TestbedError
from testbed.orchestrator.nodes.control import NodeControl
from testbed.orchestrator.nodes.tier_process import environment, tier_processes
from testbed.orchestrator.replay.replay import replay
from testbed.scenario.workload.trace_file import Request
from testbed.validation.bench import Bench
from testbed.validation.check import Check
from testbed.validation.figures import Figure, within
from testbed.validation.queueing import batch_means, lindley_sojourns, mg1_sojourn
from tiers.protocol import ANSWERED

Service = Literal["exponential", "fixed"]
NAMES: Mapping[Service, str] = {"exponential": "M/M/1", "fixed": "M/D/1"}
LOADS = (0.3, 0.8)
TOLERANCE = 0.05
OVERHEAD_SHARE = 0.03
"""Of the mean service: what a server may add to it before its emulation of service times counts as wrong."""
STALL_MS = 10.0
STALLED_SHARE = 0.05
"""A service that took longer by ``STALL_MS`` was held up by the host. There may be this share of them. They
are left out of the means of services, and enter the recursion with the time that they took."""
BATCHES = 10
DEADLINE_S = 60.0


@dataclass(frozen=True)
class Workload:
    """Requests with the time that each is to take, drawn by name and seed: the same on every host."""

    service: Service
    load: float
    mean_ms: float
    arrivals_s: tuple[float, ...]
    services_ms: tuple[float, ...]

    @property
    def name(self) -> str:
        return f"{NAMES[self.service]} at load {self.load:g}"

    @property
    def rate_per_ms(self) -> float:
        return self.load / self.mean_ms

    def sojourn_ms(self, overhead_ms: float = 0.0) -> float:
        """Mean time at the queue in closed form, if the server adds ``overhead_ms`` to each service."""
        mean_ms = self.mean_ms + overhead_ms
        variance = self.mean_ms**2 if self.service == "exponential" else 0.0
        return mg1_sojourn(self.rate_per_ms, mean_ms, variance + mean_ms**2)

    def prompt(self, number: int) -> str:
        return f"{self.name}, request {number}"


def draw(service: Service, load: float, mean_ms: float, requests: int) -> Workload:
    """Poisson arrivals at ``load / mean_ms``, and services, exponential or all of ``mean_ms``."""
    chance = random.Random(f"1/{service}/{load}")
    arrivals_s, at_s = [], 0.0
    for _ in range(requests):
        at_s -= math.log1p(-chance.random()) * mean_ms / load / 1000
        arrivals_s.append(at_s)
    exponential = service == "exponential"
    services = [-mean_ms * math.log1p(-chance.random()) if exponential else mean_ms for _ in arrivals_s]
    return Workload(service, load, mean_ms, tuple(arrivals_s), tuple(services))


def judge(workload: Workload, queue_ms: Sequence[float], inference_ms: Sequence[float]) -> Iterator[Figure]:
    """Compare what a tier recorded of a workload's requests, in their order, with the closed form.

    Args:
        queue_ms: how long each waited for its turn.
        inference_ms: how long its service took.
    """
    extra_ms = [took - asked for took, asked in zip(inference_ms, workload.services_ms, strict=True)]
    free = [number for number, extra in enumerate(extra_ms) if extra <= STALL_MS]
    count = len(extra_ms)
    yield Figure(
        f"{workload.name}: services that the host held up", "requests", 0, count - len(free), 0,
        math.floor(count * STALLED_SHARE), f"more than {STALL_MS:g} ms, {STALLED_SHARE * 100:g} % of them",
    )  # fmt: skip
    if len(free) < count / 2:
        return  # a mean over the few that are left says nothing
    asked_ms = math.fsum(workload.services_ms[number] for number in free) / len(free)
    overhead_ms = math.fsum(extra_ms[number] for number in free) / len(free)
    yield Figure(
        f"{workload.name}: mean of the others", "ms", asked_ms, asked_ms + overhead_ms,
        asked_ms - 0.01 * workload.mean_ms, asked_ms + OVERHEAD_SHARE * workload.mean_ms,
        f"- 1 %, + {OVERHEAD_SHARE * 100:g} %", samples=tuple(inference_ms),
    )  # fmt: skip
    if workload.rate_per_ms * (workload.mean_ms + overhead_ms) >= 1:
        return  # the overhead alone overloads the queue, which the figure above has shown
    services_ms = [
        asked + (overhead_ms if extra <= STALL_MS else extra)
        for asked, extra in zip(workload.services_ms, extra_ms, strict=True)
    ]
    sojourns_ms = [waited + served for waited, served in zip(queue_ms, inference_ms, strict=True)]
    yield from _judge_sojourns(workload, sojourns_ms, services_ms, overhead_ms)


def _judge_sojourns(
    workload: Workload, sojourns_ms: Sequence[float], services_ms: Sequence[float], overhead_ms: float
) -> Iterator[Figure]:
    """The mean sojourn, with Lindley's recursion over the actual ``services_ms`` as control variate."""
    expected_ms = workload.sojourn_ms(overhead_ms)
    ideal_ms = lindley_sojourns([at_s * 1000 for at_s in workload.arrivals_s], services_ms)
    beyond = batch_means([m - i for m, i in zip(sojourns_ms, ideal_ms, strict=True)], BATCHES)
    plain = batch_means(sojourns_ms, BATCHES)
    yield within(
        f"{workload.name}: mean sojourn", "ms", expected_ms, expected_ms + beyond.mean, TOLERANCE,
        sojourns_ms,
        f"{workload.sojourn_ms():.2f} ms without the overhead of {overhead_ms:.2f} ms; standard error "
        f"{beyond.standard_error:.2f} ms; plain mean {plain.mean:.1f} ± {2 * plain.standard_error:.1f} ms "
        f"of {len(sojourns_ms)} requests",
    )  # fmt: skip
    yield Figure(
        f"{workload.name}: standard error of that", "ms", 0.0, beyond.standard_error, 0.0,
        expected_ms * TOLERANCE / 2, "half the tolerance",
    )  # fmt: skip


def sojourn(bench: Bench) -> Iterator[Figure]:
    """Replay both queues at each load, at the same time, each to its own tier, in open loop."""
    mean_ms = 20.0
    requests = {0.3: 60, 0.8: 160} if bench.short else {0.3: 300, 0.8: 1500}
    workloads = [draw(service, load, mean_ms, requests[load]) for load in LOADS for service in NAMES]
    recordings = bench.directory / "services.jsonl"
    record(workloads, recordings)
    paths = {host.name: host.netns_path for host in bench.network.hosts}
    environments = {name: environment(tier_config(name, recordings)) for name in paths}
    with tier_processes(paths, environments) as tiers:
        for tier in tiers:
            tier.warm_up([workloads[0].prompt(number) for number in range(3)])
        for load in LOADS:
            at_once = [workload for workload in workloads if workload.load == load]
            for workload, times in zip(at_once, serve(bench, tiers, at_once), strict=True):
                yield from judge(workload, *times)


def record(workloads: Sequence[Workload], path: Path) -> None:
    """Write the service times as the recorded model reads them (:mod:`tiers.models.recorded`)."""
    lines = (
        {"text": workload.prompt(number), "answer": "positive", "confidence": 1.0, "service_ms": service_ms}
        for workload in workloads
        for number, service_ms in enumerate(workload.services_ms)
    )
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")


def tier_config(node: str, recordings: Path) -> dict[str, Any]:
    """Configuration of a tier without others, which answers from ``recordings``."""
    return {
        "node": node,
        "tier": "only",
        "tiers": ["only"],
        "model": {"kind": "recorded", "path": str(recordings)},
        "task": {"kind": "classification", "labels": ["negative", "positive"]},
        "parent": None,
    }


def serve(
    bench: Bench, tiers: Sequence[NodeControl], workloads: Sequence[Workload]
) -> list[tuple[list[float], list[float]]]:
    """Replay each workload to the tier in its place, all at the same time.

    Returns:
        For each, waiting and service times in ms as the tier recorded them, in the order of arrival.

    Raises:
        TestbedError: a request was not answered.
    """
    placed = list(zip(tiers, workloads, strict=True))
    for tier, workload in placed:
        tier.reset(workload.name, {"policy": "only-only"}, requests=len(workload.arrivals_s))
    prompts: dict[str, str] = {}
    trace: list[Request] = []
    for tier, workload in placed:
        for number, at_s in enumerate(workload.arrivals_s):
            request = Request(f"{tier.name}-{number}", at_s, tier.name, "", "", number)
            prompts[request.id] = workload.prompt(number)
            trace.append(request)
    trace.sort(key=lambda request: request.at_s)
    names = " and ".join(workload.name for workload in workloads)
    with bench.reporter.counting(f"{names}: {len(trace)} requests", len(trace)) as progress:
        outcomes = replay(
            trace, prompts, {tier.name: tier.host.netns_path for tier in tiers}, mode="open",
            deadline_s=DEADLINE_S, progress=lambda done: progress(done, len(trace)),
        )  # fmt: skip
    if failed := [outcome for outcome in outcomes if outcome.outcome != ANSWERED]:
        raise TestbedError(f"{len(failed)} of {len(outcomes)} requests ended as {failed[0].outcome}")
    return [_times(tier, len(workload.arrivals_s)) for tier, workload in placed]


def _times(tier: NodeControl, requests: int) -> tuple[list[float], list[float]]:
    """Waiting and service times in ms that a tier recorded, in the order of its requests' numbers."""
    by_id = {record["request_id"]: record for record in tier.records()}
    records = [by_id[f"{tier.name}-{number}"] for number in range(requests)]
    return [float(row["queue_ms"]) for row in records], [float(row["inference_ms"]) for row in records]


CHECKS = (
    Check(
        "sojourn", "requests queue at a tier as theory says", "M/M/1 and M/D/1 (Pollaczek and Khinchine)",
        sojourn,
    ),
)  # fmt: skip
