"""What is measured on the wire is asked for by scenarios, and rests on runs that may be believed."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from testbed.console import Quiet
from testbed.results.run import Run
from testbed.scenario.matrix import write_matrix
from testbed.scenario.requests import build_trace
from testbed.scenario.scenario import load_scenario
from testbed.study.paper import wire
from testbed.study.paper.claims import CLAIMS, Claim, OnWire
from testbed.study.paper.ladders import EMBEDDED, opened
from testbed.study.paper.lines import line_of
from testbed.study.paper.on_ladder import OnLadder
from testbed.study.paper.options import Options
from testbed.study.paper.phases import Phases
from testbed.study.paper.verdicts import Condition, Value, verdict_of
from testbed.study.sweep.points import Point, points_of
from tests import SCENARIOS
from tests.study.sweep.made import doubt, made_sweep
from tests.study.what_if.made import made_matrix

MATRIX = SCENARIOS / "recorded" / "rotten_tomatoes.parquet"
TIERS = {tier: tier for tier in ("device", "edge", "cloud")}


def counted(_: Sequence[Run]) -> dict[str, Value]:
    return {"x": Value.counted(1)}


def on_ladder(out: Path) -> OnLadder:
    out.mkdir()
    made = OnLadder(EMBEDDED[0], Options(out), Phases(out), Quiet())
    made.found = opened(EMBEDDED[0], MATRIX)
    return made


def test_the_scenarios_are_ones_and_the_same_each_time(tmp_path: Path) -> None:
    swept, unreachable = tmp_path / "a" / "swept.yaml", tmp_path / "unreachable.yaml"
    wanted = wire.write_scenario(wire.SWEPT, MATRIX, TIERS, 40, 2, swept)
    both = wire.write_scenario(wire.UNREACHABLE, MATRIX, TIERS, 300, 1, unreachable)
    assert swept.read_text().startswith("# yaml-language-server: $schema=")
    scenario = load_scenario(swept)
    assert scenario.replay.mode == "lockstep", "or the recordings could not predict it to the byte"
    assert [method.name for method in scenario.methods][:3] == ["cloud-only", "recserve-0.1", wire.METHOD]
    assert [scenario.when_unreachable for _, scenario in points_of(both)] == ["keep", "skip"]
    traces = [[request.row for request in build_trace(scenario)] for _, scenario in points_of(wanted)]
    assert [len(set(rows)) for rows in traces] == [40, 40]
    assert traces[0] != traces[1]
    first = [path.read_bytes() for path in sorted(swept.parent.iterdir())]
    wire.write_scenario(wire.SWEPT, MATRIX, TIERS, 40, 2, swept)
    assert [path.read_bytes() for path in sorted(swept.parent.iterdir())] == first


def test_only_rows_that_were_recorded_are_asked_and_none_twice(tmp_path: Path) -> None:
    few = tmp_path / "few.parquet"
    write_matrix(made_matrix(30, first=1000), few)
    wanted = wire.write_scenario(wire.SWEPT, few, TIERS, 120, 3, tmp_path / "wire" / "few.yaml")
    for trace in sorted((tmp_path / "wire").glob("*.jsonl")):
        rows = [json.loads(line)["row"] for line in trace.read_text().splitlines() if '"row"' in line]
        assert sorted(rows) == list(range(1000, 1030))
    assert wanted.given == ["trace.file=few-1.jsonl,few-2.jsonl,few-3.jsonl"]


def test_runs_whose_own_verdicts_speak_against_them_give_no_figures(tmp_path: Path) -> None:
    sweep = made_sweep(tmp_path / "sweep", (), repeat=2)
    claim = Claim("x", "X.", OnWire(wire.SWEPT, counted), lambda _: [Condition("x", above=0)], rising=False)
    on = on_ladder(tmp_path / "out")
    on.sweeps[wire.SWEPT] = wire.runs_of(sweep)
    assert line_of(claim, on).verdict == "reproduced"
    doubt(sweep, 2, "latency", "the host was busy")
    on.sweeps[wire.SWEPT] = wire.runs_of(sweep)
    assert line_of(claim, on).verdict == "reproduced", "no figure here is a time"
    doubt(sweep, 2, "bytes", "a capture lost frames")
    on.sweeps[wire.SWEPT] = wire.runs_of(sweep)
    line = line_of(claim, on)
    assert (line.verdict, dict(line.values)) == ("n/v", {})
    assert line.why == "0002: bytes may not be believed (a capture lost frames)"


def test_without_root_it_is_not_testable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    (claim,) = (claim for claim in CLAIMS if claim.name == "predicted")
    line = line_of(claim, on_ladder(tmp_path / "out"))
    assert line.verdict == "not testable here"
    assert line.why == "a network is made by root alone; run it as root"


def test_seeds_give_the_interval(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "METHOD", "recserve")

    def other(point: Point, summary: dict[str, Any]) -> None:
        summary["methods"]["recserve"] |= {"frame_bytes": 1000 + 100 * point.seed, "burden_paper_bytes": 400}

    runs = wire.runs_of(made_sweep(tmp_path / "sweep", (), repeat=3, change=other))
    value = wire.formula_and_wire(runs)["frames over formula"]
    # 1,100, 1,200 and 1,300 over 200: mean 6, and Student's 4.303 times 0.5 / sqrt(3).
    assert value.estimate.value == pytest.approx(6.0)
    assert value.estimate.interval == pytest.approx((6 - 1.2421, 6 + 1.2421), abs=1e-3)


def test_who_was_answered_and_how_is_counted_over_both_readings(tmp_path: Path) -> None:
    """Under one reading a tier is passed by, under the other the best answer so far is taken."""
    told = {
        1: {"requests": 300, "answered": 297, "skipped": None, "degraded": 40},
        2: {"requests": 300, "answered": 300, "skipped": 25, "degraded": 2},
    }

    def other(point: Point, summary: dict[str, Any]) -> None:
        summary["methods"]["recserve"] |= told[point.seed]

    values = wire.answered(wire.runs_of(made_sweep(tmp_path / "sweep", (), repeat=2, change=other)))
    share, total, z = 597 / 600, 600, 1.959964
    middle = (share + z**2 / (2 * total)) / (1 + z**2 / total)
    reach = z / (1 + z**2 / total) * math.sqrt(share * (1 - share) / total + z**2 / (4 * total**2))
    assert values["answered"].estimate.value == pytest.approx(share)
    assert values["answered"].estimate.interval == pytest.approx((middle - reach, middle + reach), abs=1e-6)
    assert values["past the tier"] == Value.counted(25, unit="requests")
    assert values["best so far"] == Value.counted(42, unit="requests")
    (claim,) = (claim for claim in CLAIMS if claim.name == "unreachable")
    conditions = claim.conditions("accuracy")
    assert verdict_of(conditions, values) == ("reproduced", "")
    without = {**values, "past the tier": Value.counted(0, unit="requests")}
    assert verdict_of(conditions, without) == ("not", "contradicted: past the tier > 0 requests (counted)")
    assert {condition.figure: (condition.unit, condition.is_counted) for condition in conditions} == {
        name: (value.unit, value.is_counted) for name, value in values.items()
    }
