"""One window for all nodes of a tier, on real links with real servers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from testbed.console import Reporter
from testbed.errors import TestbedError
from testbed.orchestrator.method import run_method
from testbed.results.audit import audit
from tests.orchestrator.emulation import emulated, scenario_of

pytestmark = pytest.mark.root
TEXT = """
name: shared
task: {kind: classification, dataset: rotten_tomatoes, labels: [negative, positive]}
tiers:
  - {name: device, nodes: 3, model: {kind: recorded, service: 0ms}, cpus: 0.1, memory: 64MiB}
  - {name: edge,   nodes: 2, model: {kind: recorded, service: 0ms}, cpus: 0.1, memory: 64MiB}
  - {name: cloud,  nodes: 1, model: {kind: recorded, service: 0ms}, cpus: 0.1, memory: 64MiB}
links:
  - {name: access, between: [device, edge], rate: 100mbit}
  - {name: core, between: [edge, cloud], rate: 100mbit}
methods:
  - {name: shared, policy: recserve, beta: 0.4, window: 30, scope: tier}
  - {name: each, policy: recserve, beta: 0.4, window: 30}
trace: {requests: 90, arrivals: {process: poisson, rate: 10}, seed: 1}
replay: {mode: lockstep}
"""


def test_the_nodes_of_a_tier_decide_by_one_window_and_no_link_carries_it(tmp_path: Path) -> None:
    scenario = scenario_of(TEXT, tmp_path)
    with emulated(scenario, tmp_path / "run", Reporter(Console(quiet=True))) as session:
        shared, each = (run_method(session, method, lambda *_: None) for method in scenario.methods)
        with pytest.raises(
            TestbedError, match=r"node device1 refused share: the window is this node's alone"
        ):
            session.nodes[0].share([0.5])
    found = audit(scenario, [*shared.requests, *each.requests])
    assert found.differences == ()
    assert {account.unaccounted_bytes for account in shared.accounts} == {0}
    window: dict[str, list[float]] = {"device": [], "edge": []}
    for row in shared.requests:  # the rule, replayed by a few lines over the requests in their order
        for at, node in enumerate(row["path"]):
            if (known := window.get(node[:-1])) is None:
                continue
            known.append(confidence := row["confidences"][at])
            threshold = float(np.percentile(known[-30:], 40)) if len(known) > 1 else None
            assert (row["window_seqs"][at], row["window_lengths"][at]) == (
                len(known) - 1,
                min(len(known), 30),
            )
            assert row["thresholds"][at] == threshold
            assert row["kept"][at] is (threshold is None or not confidence < threshold)
    assert len(window["device"]) == 90
    assert len({row["device"] for row in shared.requests}) == 3
    kept = [[row["kept"] for row in result.requests] for result in (shared, each)]
    assert kept[0] != kept[1]
