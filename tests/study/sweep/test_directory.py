"""A sweep's directory knows what is done, what failed and what waits; its table has a row for each."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest
from rich.console import Console

from testbed.errors import TestbedError
from testbed.report.figures.sweep_data import SweepData
from testbed.report.sweep import print_sweep
from testbed.results.directory import RunDirectory
from testbed.study.sweep.directory import SWEEP, SweepDirectory
from testbed.study.sweep.points import Point, Wanted, points_of
from testbed.study.sweep.run import failed
from testbed.study.sweep.table import sweep_table, write_table
from tests import ROOT

RUN = ROOT / "tests" / "data" / "run-v1"
WANTED = Wanted(ROOT / "scenarios" / "quickstart.yaml", ["links.core.loss=0%,1%,2%"], 1, None, 12, 1)


@pytest.fixture
def points() -> list[Point]:
    return [point for point, _ in points_of(WANTED)]


@pytest.fixture
def sweep(tmp_path: Path, points: list[Point]) -> SweepDirectory:
    """A sweep of three points: one that was run, one that failed and one that waits."""
    made = SweepDirectory.open_or_create(tmp_path / "sweep", WANTED, points, "quickstart")
    shutil.copytree(RUN, made.run_path(points[0]))
    made.fail(points[1], "links.core: the disk is full")
    return made


def test_it_is_opened_again_to_go_on(sweep: SweepDirectory, points: list[Point]) -> None:
    again = SweepDirectory.open_or_create(sweep.path, WANTED, points, "quickstart")
    assert again.points == SweepDirectory.open(sweep.path).points == points
    assert [again.finished(point) for point in points] == [True, False, False]
    assert failed(again) == [points[1]]


def test_another_sweep_or_anything_else_is_left_alone(sweep: SweepDirectory, tmp_path: Path) -> None:
    other = Wanted(WANTED.scenario, ["links.core.loss=0%,1%"], 1, None, 12, 1)
    with pytest.raises(TestbedError, match=r"is another sweep \(its given differs\)"):
        SweepDirectory.open_or_create(sweep.path, other, [point for point, _ in points_of(other)], "x")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("keep")
    with pytest.raises(TestbedError, match="holds something that is no sweep"):
        SweepDirectory.open_or_create(tmp_path / "mine", WANTED, [], "x")
    with pytest.raises(TestbedError, match="is no sweep's directory"):
        SweepDirectory.open(tmp_path / "mine")


@pytest.mark.parametrize(
    "text", ["", "[]", '{"format": 1}', '{"format": 1, "points": [{"number": 1}]}', "\udcff"]
)
def test_a_damaged_description_is_told_in_one_sentence(sweep: SweepDirectory, text: str) -> None:
    (sweep.path / SWEEP).write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(TestbedError, match=r"sweep\.json: is no|made by another version"):
        _ = SweepDirectory.open(sweep.path).points


def test_what_an_attempt_left_makes_way_for_the_next(sweep: SweepDirectory, points: list[Point]) -> None:
    (sweep.run_path(points[2])).mkdir()
    (sweep.run_path(points[2]) / "manifest.json").write_text(json.dumps({"status": "interrupted"}))
    assert not sweep.finished(points[2])
    assert not sweep.begin(points[2]).exists()
    sweep.begin(points[1])
    assert sweep.failure(points[1]) is None


def test_the_table_has_a_row_for_each_method_and_for_each_point_without(
    sweep: SweepDirectory, points: list[Point]
) -> None:
    table = sweep_table(sweep)
    assert list(table["point"]) == [1, 1, 2, 3]
    assert list(table["status"]) == ["finished", "finished", "failed", "waiting"]
    assert list(table["links.core.loss"]) == ["0%", "0%", "1%", "2%"]
    summary = json.loads((RUN / "summary.json").read_text())["methods"]
    recserve = table[table["method"] == "recserve"].iloc[0]
    assert recserve["accuracy"] == summary["recserve"]["accuracy"]
    assert [recserve["accuracy_low"], recserve["accuracy_high"]] == summary["recserve"]["accuracy_ci"]
    assert recserve["prompt_bytes"] == summary["recserve"]["prompt_bytes"]
    assert recserve["served_by_cloud"] == summary["recserve"]["served_by"]["cloud"]
    assert table["error"].dropna().tolist() == ["links.core: the disk is full"]


def test_parquet_and_csv_have_the_same_rows(sweep: SweepDirectory) -> None:
    write_table(sweep)
    parquet = pd.read_parquet(sweep.path / "points.parquet")
    csv = pd.read_csv(sweep.path / "points.csv")
    assert list(parquet.columns) == list(csv.columns)
    assert parquet["prompt_bytes"].dropna().tolist() == csv["prompt_bytes"].dropna().tolist()


def test_it_is_printed_with_what_failed_and_without_what_may_not_be_believed(
    sweep: SweepDirectory, points: list[Point], capsys: pytest.CaptureFixture[str]
) -> None:
    path = sweep.run_path(points[0]) / "summary.json"
    summary = json.loads(path.read_text())
    summary["faithful"]["latency"] = False
    path.write_text(json.dumps(summary))
    RunDirectory(path.parent).seal()
    print_sweep(SweepData(sweep.path, "quickstart", sweep_table(sweep)), Console(width=150))
    shown = capsys.readouterr().out
    assert "links.core: the disk is full" in shown
    assert "0.667 [0.391, 0.862]" in shown
    assert "n/v" in shown
