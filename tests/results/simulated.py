"""A run's rows without a network: the tiers' own policies over random confidences."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

from testbed.orchestrator.nodes.tier_specs import policy_spec
from testbed.results.audit import audit as audit_rows
from testbed.results.evidence import Audit
from testbed.scenario.calibration import calibrated
from testbed.scenario.foreknowledge import given
from testbed.scenario.scenario import Scenario
from testbed.scenario.topology import Topology
from testbed.scenario.workload.datasets import Example
from tiers.policies import Place, Policy, Request, make_policy
from tiers.policies.base import ANSWERS

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
  - {name: by-tier, policy: recserve, beta: {device: 0.5, edge: 0.1}, window: {device: 30, edge: 5}}
  - {name: enter-after, policy: recserve, beta: 0.4, window: 15, enter: after}
  - {name: prefilled, policy: recserve, window: 40, start: prefilled}
  - {name: static-quantile, beta: {device: 0.5, edge: 0.3}}
  - {name: by-share, policy: casserve, calibrate: {share: 0.4}}
  - {name: by-accuracy, policy: casserve, calibrate: {accuracy: 0.6, confidence: 0.9}}
  - {name: static-no-edge, policy: static-quantile, relay: [edge]}
  - {name: budget, share: 0.3}
  - {name: budget-of-bytes, policy: budget, share: {device: 0.6, edge: 0.1}, of: bytes}
  - {name: length-router, longest: {device: 90, edge: 150}}
  - {name: oracle}
  - {name: oracle-no-edge, policy: oracle, relay: [edge]}
  - {name: colserve, share: {device: 0.4, edge: 0.2}}
  - {name: no-edge, policy: recserve, beta: 0.3, relay: [edge]}
  - {name: shared, policy: recserve, beta: 0.3, window: 60, scope: tier, start: prefilled}
trace: {requests: 200, arrivals: {process: poisson, rate: 10}, seed: 1}
replay: {mode: lockstep}
calibration: {rows: 60}
"""

Row = dict[str, Any]


def calibrate(scenario: Scenario) -> dict[str, Any]:
    """``calibration.json`` of a run whose models answered at random."""
    draws = random.Random("calibration")
    rows = [("rotten_tomatoes", Example(row, f"film {row}", "positive")) for row in range(60)]
    answers = {
        tier: [
            {
                "answer": draws.choice(["negative", *(3 if tier == "cloud" else 1) * ["positive"]]),
                "confidence": draws.random(),
            }
            for _ in rows
        ]
        for tier in scenario.tier_names
    }
    return {
        "rows": [{"dataset": name, "split": "test", "row": example.row} for name, example in rows],
        "references": [example.reference for _, example in rows],
        "tiers": {tier: {"node": f"{tier}1", "answers": given} for tier, given in answers.items()},
        "methods": calibrated(scenario, rows, answers),
    }


def answers(scenario: Scenario, requests: int, first: int = 0) -> dict[str, dict[str, str]]:
    """``answers.json`` of a run whose models answered at random, the cloud's more often rightly."""
    names = [f"r{number:06d}" for number in range(first, first + requests)]
    right = {"device": ["positive"], "edge": ["positive"], "cloud": 3 * ["positive"]}
    return {
        tier: {name: random.Random(f"{tier}/{name}").choice(["negative", *right[tier]]) for name in names}
        for tier in scenario.tier_names
    }


def audit(scenario: Scenario, rows: Sequence[Row]) -> Audit:
    """The audit of a run that was simulated."""
    return audit_rows(scenario, rows, calibrate(scenario), answers(scenario, 200))


def simulate(
    scenario: Scenario, requests: int = 200, seed: int = 0, undecided_at: str | None = None, first: int = 0
) -> list[Row]:
    """Rows of ``requests.parquet``, as a run of that many requests leaves them; ``first`` is the first id.

    At tier ``undecided_at`` every third request ends in its node's queue, at its deadline.
    """
    draws = random.Random(seed)
    topology = scenario.topology
    known = answers(scenario, requests, first)
    references = dict.fromkeys(known["device"], "positive")
    calibration = calibrate(scenario)
    tiers = tuple(scenario.tier_names)
    rows = []
    for method in scenario.methods:
        knowing = ANSWERS in method.knows
        more = given(scenario, method, known, references) if knowing else None
        spec = policy_spec(method, scenario.seed, more or calibration["methods"].get(method.name))
        policies: dict[str, Policy] = {}
        for node in topology.nodes:
            peer = next((other.name for other in topology.nodes if other.tier == node.tier), node.name)
            shares = method.shared and peer in policies
            place = Place(node.name, node.tier, tiers)
            policies[node.name] = policies[peer] if shares else make_policy(spec, place)
        for number in range(first, first + requests):
            node = topology.node(f"device{draws.randrange(3) + 1}")
            row: Row = _row(f"r{number:06d}", method.name, node.name)
            while True:
                policy, top = policies[node.name], node.parent is None
                late = number % 3 == 0 and node.tier == undecided_at
                request = Request(row["request_id"], row["prompt_bytes"])
                infers = policy.infers and not late and (top or not policy.passes_on(request))
                confidence = draws.random() if infers else None
                decision = None if confidence is None or top else policy.judge(request, confidence)
                kept = infers and (top or bool(decision and decision.keep))
                answer = draws.choice(["negative", "positive"]) if infers else None
                if infers and knowing:
                    answer = known[node.tier][request.id]
                row["path"].append(node.name)
                row["confidences"].append(confidence)
                row["thresholds"].append(decision and decision.threshold)
                row["window_seqs"].append(decision and decision.window_seq)
                row["window_lengths"].append(decision and decision.window_length)
                row["kept"].append(kept)
                row["node_answers"].append(answer)
                row["forward_errors"].append(None)
                if kept or late:
                    break
                assert node.parent is not None
                node = topology.node(node.parent)
            if late:
                row |= _best_so_far(row, topology)
            else:
                row |= {"answer": answer, "tier": node.tier}
            rows.append({**row, "correct": row["answer"] == row["reference"]})
    return rows


def _best_so_far(row: Row, topology: Topology) -> Row:
    """What becomes of a request whose last node came to no answer: the highest one below, or none."""
    below = len(row["path"]) - 1
    errors: list[str | None] = ["deadline"] * below + [None]
    for at in reversed(range(below)):
        if (answer := row["node_answers"][at]) is not None:
            errors[:at] = [None] * at
            tier = topology.node(row["path"][at]).tier
            return {"answer": answer, "tier": tier, "forward_errors": errors, "degraded": True}
    return {"answer": None, "tier": None, "outcome": "deadline", "forward_errors": errors}


def _row(request_id: str, method: str, device: str) -> Row:
    lists = ("path", "confidences", "thresholds", "window_seqs", "window_lengths", "kept", "node_answers")
    return {
        "request_id": request_id,
        "method": method,
        "device": device,
        "scheduled_at_s": 0.0,
        "sent_at_s": float(request_id[1:]),
        "done_at_s": 0.1,
        "latency_ms": 100.0,
        "reference": "positive",
        "prompt_bytes": 20 + 37 * int(request_id[1:]) % 200,
        "outcome": "answered",
        "forward_errors": [],
        "degraded": False,
        **{name: [] for name in lists},
    }
