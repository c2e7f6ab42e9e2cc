"""A run's rows without a network: the tiers' own policies over random confidences."""

from __future__ import annotations

import random
from typing import Any

from testbed.scenario import Scenario
from testbed.topology import build_topology
from tiers.policies import Place, make_policy

TEXT = """
name: simulated
task: {kind: classification, dataset: rotten_tomatoes, labels: [negative, positive]}
tiers:
  - {name: device, nodes: 3, model: {kind: recorded, service: 1ms}, cpus: 0.1, memory: 64MiB}
  - {name: edge,   nodes: 2, model: {kind: recorded, service: 1ms}, cpus: 0.1, memory: 64MiB}
  - {name: cloud,  nodes: 1, model: {kind: recorded, service: 1ms}, cpus: 0.1, memory: 64MiB}
links:
  - {name: access, between: [device, edge], rate: 20mbit}
  - {name: core,   between: [edge, cloud],  rate: 100mbit}
methods:
  - {name: device-only}
  - {name: cloud-only}
  - {name: casserve, thresholds: {device: 0.8, edge: 0.9}}
  - {name: recserve, beta: 0.3, window: 20}
trace: {requests: 200, arrivals: {process: poisson, rate: 10}, seed: 1}
"""

Row = dict[str, Any]


def simulate(scenario: Scenario, requests: int = 200, seed: int = 0) -> list[Row]:
    """Rows of ``requests.parquet``, as a run of that many requests leaves them."""
    draws = random.Random(seed)
    topology = build_topology(scenario)
    tiers = tuple(scenario.tier_names)
    rows = []
    for method in scenario.methods:
        spec = {"policy": method.policy, **method.parameters}
        policies = {
            node.name: make_policy(spec, Place(node.name, node.tier, tiers)) for node in topology.nodes
        }
        for number in range(requests):
            node = topology.node(f"device{draws.randrange(3) + 1}")
            row: Row = _row(f"r{number:06d}", method.name, node.name)
            while True:
                policy, top = policies[node.name], node.parent is None
                confidence = draws.random() if policy.infers else None
                decision = None if confidence is None or top else policy.decide(confidence)
                kept = policy.infers and (top or bool(decision and decision.keep))
                answer = draws.choice(["negative", "positive"]) if policy.infers else None
                row["path"].append(node.name)
                row["confidences"].append(confidence)
                row["thresholds"].append(decision and decision.threshold)
                row["window_seqs"].append(decision and decision.window_seq)
                row["window_lengths"].append(decision and decision.window_length)
                row["kept"].append(kept)
                row["node_answers"].append(answer)
                row["forward_errors"].append(None)
                if kept:
                    break
                assert node.parent is not None
                node = topology.node(node.parent)
            row |= {"answer": answer, "tier": node.tier, "correct": answer == row["reference"]}
            rows.append(row)
    return rows


def _row(request_id: str, method: str, device: str) -> Row:
    lists = ("path", "confidences", "thresholds", "window_seqs", "window_lengths", "kept", "node_answers")
    return {
        "request_id": request_id,
        "method": method,
        "device": device,
        "scheduled_at_s": 0.0,
        "sent_at_s": 0.0,
        "done_at_s": 0.1,
        "latency_ms": 100.0,
        "reference": "positive",
        "outcome": "answered",
        "forward_errors": [],
        **{name: [] for name in lists},
    }
