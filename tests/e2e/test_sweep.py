"""A sweep keeps its network up, runs each point once, whatever interrupts it, and judges what it measured."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from testbed.results.directory import RunDirectory
from testbed.results.latency import PENDING
from tests.e2e.runs import (
    check_bytes,
    left_behind,
    rest_of_output,
    run_command,
    running_command,
    wait_for,
    wait_until_nothing_is_left,
)

pytestmark = pytest.mark.docker
POLICY = """
from tiers.policies import Decision, Policy


class Mine(Policy):
    def __init__(self, place, *, beta):
        super().__init__(place)
        if beta > MOST:
            raise ValueError(f"beta is {beta}")
        self.beta = beta

    def decide(self, confidence):
        return Decision(keep=confidence > self.beta)
"""
SCENARIO = """
name: kept
task: {kind: classification, dataset: rotten_tomatoes, labels: [negative, positive]}
tiers:
  - {name: device, nodes: 1, model: {kind: recorded, service: 2ms}, cpus: 0.5, memory: 256MiB}
  - {name: cloud,  nodes: 1, model: {kind: recorded, service: 2ms}, cpus: 0.5, memory: 256MiB}
links:
  - {name: access, between: [device, cloud], rate: 20mbit, delay: 10ms}
methods:
  - {name: mine, policy: "mine.py:Mine", beta: 0.6}
trace: {requests: 8, arrivals: {process: poisson, rate: 10}, seed: 1}
replay: {mode: lockstep, deadline: 10s}
"""


def written(run: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """A finished run's manifest and fidelity, as they were sealed."""
    assert RunDirectory.open(run).broken_seals() == []
    manifest, fidelity = (json.loads((run / f"{name}.json").read_text()) for name in ("manifest", "fidelity"))
    assert manifest["status"] == "finished"
    check_bytes(run)
    return manifest, fidelity


def of_others(fidelity: dict[str, Any]) -> list[str]:
    """When a run's links were measured with another run's figures, and whose."""
    words = [note.split() for note in fidelity["notes"] if "with the figures of run" in note]
    return [f"{word[0]} {word[word.index('run') + 1].rstrip(',')}" for word in words]


@pytest.mark.timeout(300)
def test_a_sweep_on_one_network_loses_no_point_to_one_that_fails_or_to_a_break(tmp_path: Path) -> None:
    out, policy, scenario = tmp_path / "sweep", tmp_path / "mine.py", tmp_path / "kept.yaml"
    points = [out / "points" / f"{number:04d}" for number in range(1, 5)]
    policy.write_text(POLICY.replace("MOST", "0.7"))
    scenario.write_text(SCENARIO)
    varied = ("--set", "methods.mine.beta=0.6,0.8", "--set", "links.access.loss=0%,5%")
    command = ("sweep", str(scenario), *varied, "--out", str(out))

    first = run_command(*command)
    assert first.returncode == 1, first.stderr
    assert "2 of 4 points failed, the first because: methods.mine: node device1 refused" in first.stderr
    assert first.stderr.count("loading the tiers' models") == 2  # the second network is for the fourth point
    manifests, verdicts = zip(*map(written, points[:2]), strict=True)
    assert manifests[0]["run_id"] == manifests[1]["run_id"]
    assert [manifest["links"][0]["up"]["loss"] for manifest in manifests] == [0, 0.05]
    assert all(fidelity["links"]["before"] and fidelity["links"]["after"] for fidelity in verdicts)
    assert [of_others(fidelity) for fidelity in verdicts] == [[], ["before 0001", "after 0003"]]
    assert not any(PENDING in fidelity["reasons"]["latency"] for fidelity in verdicts)
    table = pd.read_csv(out / "points.csv")
    assert list(table["status"]) == ["finished", "finished", "failed", "failed"]
    for row, fidelity in zip(table.to_dict("records"), verdicts, strict=False):
        assert row["latency_true"] == fidelity["faithful"]["latency"]
    assert left_behind() == []

    policy.write_text(POLICY.replace("MOST", "0.9"))
    with running_command(*command) as process:
        shown = wait_for(process, "point 4 of 4")
        process.send_signal(signal.SIGINT)
        shown += rest_of_output(process)
        assert process.wait(60) != 0
    assert "4 points, 2 of them done already" in shown
    manifest, fidelity = written(points[2])
    assert manifest["run_id"] != manifests[0]["run_id"]
    assert "the links were not measured after the replay" in fidelity["reasons"]["latency"]
    assert fidelity["links"]["after"] is None
    assert "nothing vouches for the latencies in " in shown
    assert [written(point)[0] for point in points[:2]] == list(manifests)
    assert wait_until_nothing_is_left() == []
