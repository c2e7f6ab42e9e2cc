"""Methods that are calibrated before the run, on real links with real servers."""

from __future__ import annotations

from pathlib import Path

import pytest
from rich.console import Console

from testbed.console import Reporter
from testbed.orchestrator.method import run_method
from testbed.results.audit import audit
from tests.orchestrator.emulation import emulated, scenario_of

pytestmark = pytest.mark.root
TEXT = """
name: calibrated
task: {kind: classification, dataset: rotten_tomatoes, labels: [negative, positive]}
tiers:
  - {name: device, nodes: 2, model: {kind: recorded, service: 0ms}, cpus: 0.5, memory: 64MiB}
  - {name: edge,   nodes: 1, model: {kind: recorded, service: 0ms}, cpus: 0.5, memory: 64MiB}
  - {name: cloud,  nodes: 1, model: {kind: recorded, service: 0ms}, cpus: 0.5, memory: 64MiB}
links:
  - {name: access, between: [device, edge], rate: 20mbit}
  - {name: core, between: [edge, cloud], rate: 20mbit}
methods:
  - {name: static-quantile, beta: 0.3}
  - {name: prefilled, policy: recserve, beta: 0.3, start: prefilled}
  - {name: by-share, policy: casserve, calibrate: {share: 0.3}}
  - {name: by-accuracy, policy: casserve, calibrate: {accuracy: 0.4, confidence: 0.9}}
  - {name: no-edge, policy: static-quantile, beta: 0.3, relay: [edge]}
  - {name: colserve, share: 0.3}
trace: {requests: 300, arrivals: {process: poisson, rate: 100}, seed: 1}
replay: {mode: lockstep}
calibration: {rows: 300}
"""


def test_calibrated_methods_send_up_their_share_and_are_audited_from_files(tmp_path: Path) -> None:
    reporter = Reporter(Console(quiet=True))
    with emulated(scenario_of(TEXT, tmp_path), tmp_path / "run", reporter) as session:
        frames = sum(
            counts.crossed_frames for link in session.network.links for counts in link.counts().values()
        )
        assert frames == 0, "the calibration crossed a link"
        scenario = session.inputs.scenario
        results = [run_method(session, method, lambda *_: None) for method in scenario.methods]
        calibration = session.directory.read_calibration()
    rows = [row for result in results for row in result.requests]
    assert audit(scenario, rows, calibration).differences == ()
    assert calibration is not None
    assert len(calibration["rows"]) == 300
    up = {
        name: sum(not row["kept"][0] for row in rows if row["method"] == name) / 300
        for name in ("static-quantile", "prefilled", "by-share", "no-edge", "colserve")
    }
    assert up == dict.fromkeys(up, pytest.approx(0.3, abs=0.1))
    thresholds = calibration["methods"]["static-quantile"]["thresholds"]
    assert calibration["methods"]["by-share"]["thresholds"] == thresholds
    first = [row for row in rows if row["method"] == "prefilled" and row["window_seqs"][0] == 0]
    assert {row["window_lengths"][0] for row in first} == {301}
