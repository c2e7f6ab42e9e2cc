"""Do requests queue at a tier as queueing theory says: M/M/1 and M/D/1, the tier a real server.

Arrivals and service times are drawn by seed, so what chance has done in a run of n requests can be computed:
Lindley's recursion gives the sojourns of exactly these arrivals and services at an ideal server. The mean of
(measured - Lindley) added to the closed form is the estimate that is judged: a control variate (Law,
Simulation Modeling and Analysis, 11.4) with the same expectation as the plain mean and, for lack of the
trace's own luck, a far smaller error. Plainly, 5 % at load 0.8 would take 30,000 requests: the mean wait of
an M/M/1 queue varies by 2,000 / n services squared. The plain mean and its batch-means error stand beside it.

A service takes the recorded time and what the server adds to it (waking up, the policy). That is measured,
is judged by itself, and enters the closed form as what it is: a longer service, and so a higher load.
"""

from __future__ import annotations

import json
import math
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from testbed.control import NodeControl
from testbed.errors import TestbedError
from testbed.replay import ANSWERED, Outcome, replay
from testbed.tier_process import environment, tier_processes
from testbed.trace import Request
from testbed.validation.bench import Bench
from testbed.validation.figures import Figure
from testbed.validation.queueing import batch_means, lindley_sojourns, mg1_sojourn
from testbed.validation.registry import Check

Service = Literal["exponential", "fixed"]
NAMES: Mapping[Service, str] = {"exponential": "M/M/1", "fixed": "M/D/1"}
LOADS = (0.3, 0.8)
TOLERANCE = 0.05
OVERHEAD_MS = 1.0
"""What the server may add to a service on average, before the emulation of service times is called wrong."""
BATCHES = 10
DEADLINE_S = 60.0
_TEXTS = ("negative", "positive")


@dataclass(frozen=True)
class Workload:
    """Requests with the time that each is to take: drawn by name and seed, the same on every host."""

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

    def prompt(self, number: int) -> str:
        return f"{self.name}, request {number}"

    @property
    def prompts(self) -> dict[str, str]:
        """By request id."""
        return {f"r{number}": self.prompt(number) for number in range(len(self.arrivals_s))}


def draw(service: Service, load: float, mean_ms: float, requests: int, seed: int = 1) -> Workload:
    """Poisson arrivals at ``load / mean_ms``, and services, exponential or all of ``mean_ms``."""
    chance = random.Random(f"{seed}/{service}/{load}")
    arrivals_s, at_s = [], 0.0
    for _ in range(requests):
        at_s -= math.log1p(-chance.random()) * mean_ms / load / 1000
        arrivals_s.append(at_s)
    exponential = service == "exponential"
    services = [-mean_ms * math.log1p(-chance.random()) if exponential else mean_ms for _ in arrivals_s]
    return Workload(service, load, mean_ms, tuple(arrivals_s), tuple(services))


def judge(
    workload: Workload, queue_ms: Sequence[float], inference_ms: Sequence[float], tolerance: float = TOLERANCE
) -> Iterator[Figure]:
    """Hold what a tier recorded of a workload's requests, in their order, against the closed form.

    Args:
        queue_ms: how long each waited for its turn.
        inference_ms: how long its service took.
    """
    sojourns = [waited + served for waited, served in zip(queue_ms, inference_ms, strict=True)]
    asked_ms = math.fsum(workload.services_ms) / len(sojourns)
    overhead_ms = math.fsum(inference_ms) / len(sojourns) - asked_ms
    yield Figure(
        f"{workload.name}: mean service", "ms", asked_ms, asked_ms + overhead_ms,
        asked_ms - 0.01 * workload.mean_ms, asked_ms + OVERHEAD_MS, f"- 1 %, + {OVERHEAD_MS:g} ms",
        samples=tuple(inference_ms),
    )  # fmt: skip
    mean_ms = workload.mean_ms + overhead_ms
    variance = workload.mean_ms**2 if workload.service == "exponential" else 0.0
    if workload.rate_per_ms * mean_ms >= 1:
        return  # the overhead alone overloads it, which the figure above has told
    expected_ms = mg1_sojourn(workload.rate_per_ms, mean_ms, variance + mean_ms**2)
    ideal = lindley_sojourns(
        [at_s * 1000 for at_s in workload.arrivals_s],
        [service + overhead_ms for service in workload.services_ms],
    )
    beyond = batch_means([m - i for m, i in zip(sojourns, ideal, strict=True)], BATCHES)
    plain = batch_means(sojourns, BATCHES)
    nominal_ms = mg1_sojourn(workload.rate_per_ms, workload.mean_ms, variance + workload.mean_ms**2)
    yield Figure(
        f"{workload.name}: mean sojourn", "ms", expected_ms, expected_ms + beyond.mean,
        expected_ms * (1 - tolerance), expected_ms * (1 + tolerance), f"± {tolerance * 100:g} %",
        f"{nominal_ms:.2f} ms without the overhead of {overhead_ms:.2f} ms; standard error "
        f"{beyond.standard_error:.2f} ms; plain mean {plain.mean:.1f} ± {2 * plain.standard_error:.1f} ms "
        f"of {len(sojourns)} requests", tuple(sojourns),
    )  # fmt: skip
    yield Figure(
        f"{workload.name}: standard error of that", "ms", 0.0, beyond.standard_error, 0.0,
        expected_ms * tolerance / 2, "half the tolerance",
    )  # fmt: skip


def sojourn(bench: Bench) -> Iterator[Figure]:
    """Each workload in open loop to a tier of its own, one after the other."""
    mean_ms, seconds = (25.0, 12.0) if bench.short else (20.0, 60.0)
    workloads = [
        draw(service, load, mean_ms, max(10 * BATCHES, int(seconds * 1000 * load / mean_ms)))
        for service in NAMES
        for load in LOADS
    ]
    recordings = bench.directory / "services.jsonl"
    record(workloads, recordings)
    site = bench.network.hosts[-1]
    config = tier_config(recordings)
    with tier_processes({"edge1": site.netns_path}, {"edge1": environment(config)}) as (tier,):
        tier.warm_up([workloads[0].prompt(number) for number in range(5)])
        for workload in workloads:
            yield from judge(workload, *serve(bench, tier, workload))


def record(workloads: Sequence[Workload], path: Path) -> None:
    """Write the service times as the recorded model reads them (:mod:`tiers.models.recorded`)."""
    with path.open("w", encoding="utf-8") as file:
        for workload in workloads:
            for number, service_ms in enumerate(workload.services_ms):
                line = {
                    "text": workload.prompt(number),
                    "answer": _TEXTS[number % 2],
                    "confidence": 1.0,
                    "service_ms": service_ms,
                }
                file.write(json.dumps(line) + "\n")


def tier_config(recordings: Path) -> dict[str, Any]:
    """A tier that is all there is, and answers from ``recordings``."""
    return {
        "node": "edge1",
        "tier": "edge",
        "tiers": ["edge"],
        "model": {"kind": "recorded", "path": str(recordings)},
        "task": {"kind": "classification", "labels": list(_TEXTS)},
        "parent": None,
    }


def serve(bench: Bench, tier: NodeControl, workload: Workload) -> tuple[list[float], list[float]]:
    """Replay the workload; waiting and service times as the tier recorded them, in the order of arrival.

    Raises:
        TestbedError: a request was not answered.
    """
    tier.reset(workload.name, {"policy": "edge-only"})
    trace = [
        Request(f"r{number}", at_s, "edge1", "", "", number)
        for number, at_s in enumerate(workload.arrivals_s)
    ]
    with bench.reporter.counting(f"{workload.name}: {len(trace)} requests", len(trace)) as progress:
        outcomes = replay(
            trace, workload.prompts, {"edge1": tier.host.netns_path}, mode="open", deadline_s=DEADLINE_S,
            progress=lambda done: progress(done, len(trace)),
        )  # fmt: skip
    _require_answered(outcomes)
    records = {record["request_id"]: record for record in tier.records()}
    kept = [records[request.id] for request in trace]
    return [float(one["queue_ms"]) for one in kept], [float(one["inference_ms"]) for one in kept]


def _require_answered(outcomes: Sequence[Outcome]) -> None:
    failed = [one for one in outcomes if one.outcome != ANSWERED]
    if failed:
        raise TestbedError(f"{len(failed)} of {len(outcomes)} requests ended as {failed[0].outcome}")


CHECKS = (
    Check(
        "sojourn", "requests queue at a tier as theory says", "M/M/1 and M/D/1 (Pollaczek and Khinchine)",
        sojourn,
    ),
)  # fmt: skip
