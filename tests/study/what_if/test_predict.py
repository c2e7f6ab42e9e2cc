"""``testbed what-if`` as a user gives it: tables that repeat, and mistakes in one sentence."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from testbed.cli import main
from testbed.console import Reporter
from testbed.errors import TestbedError
from testbed.scenario.matrix import write_matrix
from testbed.scenario.scenario import load_scenario
from testbed.study.what_if.predict import Wanted, what_if_grid, what_if_scenario
from tests import ROOT, SCENARIOS
from tests.study.what_if.made import made_matrix

RECORDED = SCENARIOS / "recorded.yaml"
MATRIX = SCENARIOS / "recorded" / "rotten_tomatoes.parquet"


def what_if(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *arguments: str) -> str:
    """What ``testbed what-if`` prints."""
    monkeypatch.setattr(sys, "argv", ["testbed", "what-if", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 0
    return capsys.readouterr().out


def told(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *arguments: str) -> str:
    """What it says of a mistake; nothing else is printed."""
    monkeypatch.setattr(sys, "argv", ["testbed", "what-if", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code not in (0, None)
    out, err = capsys.readouterr()
    assert out == ""
    assert len(err.strip().splitlines()) == 1
    return err


def test_a_grid_is_printed_and_written_the_same_each_time(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path, out = tmp_path / "m.parquet", tmp_path / "out.csv"
    write_matrix(made_matrix(80), path)
    asked = [str(path), "--policy", "recserve,colserve", "--set", "beta=0.1:0.5:0.2", "--set", "share=0.3"]
    asked += ["--nodes", "2,1,1", "--seed", "3", "--out", str(out)]
    printed = what_if(capsys, monkeypatch, *asked)
    written = out.read_bytes()
    assert what_if(capsys, monkeypatch, *asked) == printed
    assert out.read_bytes() == written
    assert "4 points of 80 requests, 80 prompts of rotten_tomatoes, seed 3" in printed
    assert "audited 4 of 4 points" in printed
    table = pd.read_csv(out)
    assert table["policy"].tolist() == ["recserve"] * 3 + ["colserve"]
    assert table["served_by_device"].is_monotonic_decreasing or table["beta"].isna().any()


def test_a_scenario_is_predicted_method_by_method_with_its_own_matrix(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    printed = what_if(
        capsys, monkeypatch, str(RECORDED), "--requests", "60", "--set", "methods.recserve.beta=0.5"
    )
    assert "3 points of 60 requests" in printed
    for method in ("device-only", "cloud-only", "recserve"):
        assert method in printed


def test_a_scenario_and_a_grid_of_its_matrix_are_the_same_point() -> None:
    scenario = what_if_scenario(
        load_scenario(RECORDED, methods=["recserve"], requests=150, seed=4), Reporter()
    )
    wanted = Wanted(tiers="device,edge,cloud", nodes="2,1,1", requests=150, seed=4)
    grid = what_if_grid([MATRIX], None, ["beta=0.3", "window=10000"], wanted, Reporter())
    (one,), (other,) = scenario.points, grid.points
    names = one.keys() - {"settings"}
    assert {name: one[name] for name in names} == pytest.approx({name: other[name] for name in names})


def test_every_method_of_the_methods_scenario_can_be_predicted_from_a_matrix() -> None:
    overrides = [
        f"tiers.{tier}.model={{kind: recorded, path: {MATRIX}, model: {tier}}}"
        for tier in ("device", "edge", "cloud")
    ]
    found = what_if_scenario(load_scenario(SCENARIOS / "methods.yaml", overrides), Reporter())
    assert found.differences == []
    by_method = {figures["method"]: figures for figures in found.points}
    assert len(by_method) > 8
    assert by_method["cloud-only"]["burden_vs_cloud_only"] == 1
    assert by_method["no-edge"]["served_by_edge"] == 0


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        ((str(RECORDED), "--policy", "recserve"), "--policy: is for matrices; leave it out"),
        ((str(MATRIX), "--methods", "recserve"), "--methods: is for scenario or run; leave it out"),
        ((str(MATRIX), str(RECORDED)), "give one scenario, one run, or any number of answer matrices"),
        ((str(MATRIX), "--out", "x.json"), "--out x.json: must end with .csv or .parquet"),
        ((str(MATRIX), "--set", "confidence=nosuch"), "no confidence 'nosuch'"),
        ((str(MATRIX), "--set", "confidence=seq2seq"), "model device: "),
        (
            (str(MATRIX), "--policy", "casserve", "--set", "calibrate.share=0.3"),
            "is calibrated before the run",
        ),
        ((str(SCENARIOS / "quickstart.yaml"),), "tiers.device.model: its answers are not recorded"),
        ((str(SCENARIOS / "smoke.yaml"),), "tiers.device.model: made-up answers predict nothing"),
        ((str(RECORDED), "--against", "tests/data/run-v1"), "has another trace than the prediction"),
        ((str(RECORDED), "--against", "nowhere"), "nowhere"),
        (("nowhere.parquet",), "nowhere.parquet is no file"),
        (("tests/data/run-v1", "--seed", "2"), "--seed: is for matrices or scenario; leave it out"),
        (("tests/data/run-v1", "--methods", "fog"), "no method 'fog'"),
        (("tests/data/run-v1",), "tiers.device.model: made-up answers predict nothing"),
        (("tests/data",), "tests/data"),
        ((str(RECORDED), "--methods", "fog"), "no method 'fog'"),
    ],
)
def test_a_mistake_is_one_sentence(
    arguments: tuple[str, ...], part: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    assert part in told(capsys, monkeypatch, *arguments)


def test_a_matrix_that_lacks_rows_of_the_trace_says_how_many_and_which(tmp_path: Path) -> None:
    path = tmp_path / "m.parquet"
    write_matrix(made_matrix(50), path)
    scenario = load_scenario(RECORDED, [f"tiers.edge.model=recorded/{path}"], requests=30)
    with pytest.raises(TestbedError, match=r"no answer of edge to 30 of the trace's 30 prompts \(rows \d+"):
        what_if_scenario(scenario, Reporter())


def test_a_prediction_that_is_interrupted_leaves_no_process(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "testbed.cli", "what-if", str(MATRIX), "--set", "beta=0.1:0.9:0.001"]
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, process_group=0
    ) as process:
        assert process.stderr is not None
        assert "evaluating" in process.stderr.readline()
        os.kill(process.pid, 15)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 128 + 15
    assert (out, err.strip().splitlines()[-1]) == ("", "testbed: terminated")
    with pytest.raises(ProcessLookupError):
        os.killpg(process.pid, 0)


def test_figures_whose_decisions_are_not_the_rules_end_in_a_failure() -> None:
    wanted = Wanted(tiers="device,edge,cloud", requests=20)
    found = what_if_grid([MATRIX], None, [], wanted, Reporter())
    found.check()
    with pytest.raises(TestbedError, match=r"^1 decisions are not what the rules have, so do not rely on"):
        dataclasses.replace(found, differences=["point 1: r000001 at device1: kept"]).check()
