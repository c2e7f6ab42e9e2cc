"""How fast points are evaluated, and what a decision costs: ``python -m tests.bench.what_if_bench [POINTS]``.

Prints the time of that many points of 10,000 requests over three tiers, with intervals and the audit of ten
of them; and of one value and its threshold in a full window of N = 10,000, and of a whole decision.
"""

from __future__ import annotations

import os
import random
import sys
import time
from collections.abc import Callable

from testbed.console import Reporter
from testbed.study.what_if.evaluate import evaluate
from testbed.study.what_if.grid import grid
from tests.study.what_if.made import made_study
from tiers.policies import Place, Request, make_policy
from tiers.window import SlidingWindow

REQUESTS = 10_000
ALLOWED_S = 60
"""For 1,000 points on two cores."""
ALLOWED_US = 5
"""For a value and its threshold at N = 10,000."""


def main(points: int) -> None:
    window_cost()
    study = made_study(REQUESTS)
    step = 0.8 / (points // 4 - 1)
    settings = [f"beta=0.1:0.9:{step:.10f}", "window=100,1000,3000,10000"]
    grid_of = grid(["recserve"], settings, study.scenario, REQUESTS)
    began_s, began_cpu_s = time.monotonic(), sum(os.times()[:4])
    evaluate(study, grid_of, Reporter())
    wall_s, cpu_s = time.monotonic() - began_s, sum(os.times()[:4]) - began_cpu_s
    print(f"{len(grid_of)} points of {REQUESTS} requests: {wall_s:.1f} s, {cpu_s:.1f} s of CPU time")
    print(f"(for 1,000 points on two cores, {ALLOWED_S} s is the aim)")


def window_cost() -> None:
    draws = random.Random(1)
    values = [draws.random() for _ in range(3 * REQUESTS)]
    window = SlidingWindow(REQUESTS)
    for value in values[:REQUESTS]:
        window.append(value)

    def threshold(value: float) -> None:
        window.append(value)
        window.quantile(0.3)

    each_us = _each_us(threshold, values)
    print(f"window and threshold at N = {REQUESTS}: {each_us:.2f} µs ({ALLOWED_US} is the aim)")
    spec = {"policy": "recserve", "beta": 0.3, "window": REQUESTS}
    policy, asked = make_policy(spec, Place("device1", "device", ("device", "cloud"))), Request("r1", 100)
    for value in values[:REQUESTS]:
        policy.judge(asked, value)
    each_us = _each_us(lambda value: policy.judge(asked, value), values)
    print(f"a decision of RecServe with it: {each_us:.2f} µs")


def _each_us(act: Callable[[float], object], values: list[float]) -> float:
    began_s = time.perf_counter()
    for value in values:
        act(value)
    return (time.perf_counter() - began_s) / len(values) * 1e6


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1000)
