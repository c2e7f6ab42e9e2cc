"""A sweep's frontiers are of its runs' own figures, one for each condition, and say what they leave out."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from testbed.console import Reporter
from testbed.results.directory import RunDirectory
from testbed.results.frontier import Frontier
from testbed.scenario.scenario import load_scenario
from testbed.study.frontiers import NONE_VARIED
from testbed.study.sweep.directory import SweepDirectory
from testbed.study.sweep.frontier import frontiers_of
from testbed.study.sweep.points import Wanted, points_of
from testbed.study.sweep.readings import read_run
from testbed.study.what_if import frontier as predicted
from testbed.study.what_if.predict import what_if_scenario
from tests import ROOT
from tests.study.sweep.predicted import RECORDED, predicted_sweep

BETAS = ("0.05", "0.1", "0.2", "0.3", "0.5", "0.7", "0.9")
Rows = Sequence[Mapping[str, object]]


def labels(frontier: Frontier, method: str = "recserve") -> list[str]:
    (curve,) = (one for one in frontier.curves if one.method == method)
    return [point.label for point in curve.points]


def edit(sweep: SweepDirectory, number: int, change: Callable[[Rows], Rows]) -> None:
    """Change the requests of a point."""
    path = sweep.path / "points" / f"{number:04d}" / "requests.parquet"
    table = pq.read_table(path)
    rows = [dict(row) for row in change(table.to_pylist())]
    pq.write_table(pa.Table.from_pylist(rows, schema=table.schema), path)
    RunDirectory(path.parent).seal()


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> SweepDirectory:
    return predicted_sweep(tmp_path_factory.mktemp("sweep") / "s", f"methods.recserve.beta={','.join(BETAS)}")


@pytest.fixture
def sweep(pristine: SweepDirectory, tmp_path: Path) -> SweepDirectory:
    return SweepDirectory(Path(shutil.copytree(pristine.path, tmp_path / "s")))


def test_runs_in_lockstep_have_the_frontier_that_is_predicted_of_their_methods(
    pristine: SweepDirectory,
) -> None:
    """Intervals differ by chance alone: prompts have other names, so that others are drawn."""
    (measured,) = frontiers_of(pristine).frontiers
    methods = ["{name: device-only}", "{name: cloud-only}"]
    methods += [f"{{name: r{beta}, policy: recserve, beta: {beta}, window: 10000}}" for beta in BETAS]
    scenario = load_scenario(RECORDED, [f"methods=[{', '.join(methods)}]"], requests=60)
    (expected,) = predicted.frontiers_of(what_if_scenario(scenario, Reporter())).frontiers
    assert [curve.method for curve in measured.curves] == [curve.method for curve in expected.curves]
    for one, two in zip(measured.curves, expected.curves, strict=True):
        for mine, its in zip(one.points, two.points, strict=True):
            assert (mine.label, mine.prompt_bytes) == (its.label, its.prompt_bytes)
            assert mine.burden.value == pytest.approx(its.burden.value)
            assert mine.quality.value == pytest.approx(its.quality.value)
    for line, other in zip(measured.differences, expected.differences, strict=True):
        assert line.difference == pytest.approx(other.difference)
        if line.kind == "quality":
            assert line.interval is not None
            assert list(line.interval) == pytest.approx(list(other.interval or ()), abs=0.01)
    assert (measured.requests, measured.seeds, measured.notes) == (60, [1], [])


def test_a_points_figures_are_those_of_its_runs_summary(tmp_path: Path) -> None:
    """Over all requests that both answered; here one fails, which counts as wrong and as no bytes."""
    wanted = Wanted(RECORDED, ["methods.recserve.beta=0.5"], 1, None, 12)
    points = [point for point, _ in points_of(wanted)]
    sweep = SweepDirectory.open_or_create(tmp_path / "s", wanted, points, "one")
    run = Path(shutil.copytree(ROOT / "tests" / "data" / "run-v1", sweep.run_path(points[0])))
    reading = read_run(RunDirectory.open(run))
    assert not isinstance(reading, str)
    summary = json.loads((run / "summary.json").read_text())["methods"]
    for one in reading.readings:
        figures = summary[one.setting.method]
        sent = sum(sent for _, _, sent, _ in one.requests.values())
        beside = sum(beside for *_, beside in one.requests.values())
        assert sent / beside == pytest.approx(figures["burden_vs_cloud_only"])
        right = [judged == reference for judged, reference, *_ in one.requests.values()]
        assert sum(right) / len(right) == pytest.approx(figures["accuracy"])


def test_each_condition_has_its_own_and_seeds_are_taken_together(tmp_path: Path) -> None:
    given = "methods.recserve.beta=0.1,0.9", "links.core.loss=0%,1%", "replay.mode=lockstep"
    found = frontiers_of(predicted_sweep(tmp_path / "s", *given, repeat=2, requests=20))
    assert [one.condition for one in found.frontiers] == [
        {"links.core.loss": "0%"},
        {"links.core.loss": "1%"},
    ]
    for one in found.frontiers:
        assert (one.requests, one.seeds) == (40, [1, 2])
        assert labels(one) == ["beta=0.1", "beta=0.9"]
    assert found.notes == []


def test_points_that_are_not_there_or_not_to_be_believed_are_left_out_and_named(
    sweep: SweepDirectory,
) -> None:
    points = sweep.points
    for number in (1, 3):
        path = sweep.run_path(points[number]) / "summary.json"
        faithful = {"bytes": number != 3, "decisions": True, "quality": False, "latency": True}
        path.write_text(json.dumps({"methods": {}, "faithful": faithful}))
        RunDirectory(path.parent).seal()
    (sweep.run_path(points[2]) / "requests.parquet").write_bytes(b"changed")
    sweep.begin(points[4])
    sweep.begin(points[5])
    sweep.fail(points[5], "links.core: the disk is full")
    found = frontiers_of(sweep)
    assert labels(found.frontiers[0]) == ["beta=0.05", "beta=0.9"]
    assert found.notes == [
        "left out: point 2: the verdict on quality is false",
        f"left out: point 3: {sweep.run_path(points[2])}: requests.parquet is not as the run left it "
        "(its SHA-256 differs); take an unchanged copy of the run",
        "left out: point 4: the verdict on bytes and on quality is false",
        "left out: point 5: waiting",
        "left out: point 6: failed",
    ]
    assert "recserve has 2 points" in found.frontiers[0].notes[0]


def test_without_cloud_only_there_is_nothing_to_be_a_share_of(sweep: SweepDirectory) -> None:
    for number in range(1, 8):
        edit(sweep, number, lambda rows: [row for row in rows if row["method"] != "cloud-only"])
    found = frontiers_of(sweep)
    assert found.frontiers == []
    assert found.notes == [
        "left out: points 1, 2, 3, 4, 5, 6, 7: no prompt crossed a link under cloud-only, of whose bytes "
        "burdens are shares; add that method"
    ]


def test_where_no_method_was_varied_there_is_none(tmp_path: Path) -> None:
    found = frontiers_of(predicted_sweep(tmp_path / "s", "links.core.loss=0%,1%", requests=20))
    assert found.frontiers == []
    assert found.notes == [f"no frontier: {NONE_VARIED}"]


def test_where_one_condition_has_none_it_is_named(tmp_path: Path) -> None:
    sweep = predicted_sweep(
        tmp_path / "s", "links.core.loss=0%,1%", "methods.recserve.beta=0.1,0.9", requests=20
    )
    sweep.begin(sweep.points[2])
    found = frontiers_of(sweep)
    assert [one.condition for one in found.frontiers] == [{"links.core.loss": "0%"}]
    assert found.notes == ["left out: point 3: waiting", f"no frontier at links.core.loss=1%: {NONE_VARIED}"]


def test_only_requests_that_all_points_have_are_compared(sweep: SweepDirectory) -> None:
    edit(sweep, 3, lambda rows: [row for row in rows if row["request_id"] not in ("r000001", "r000002")])
    (one,) = frontiers_of(sweep).frontiers
    assert one.requests == 58
    assert "2 requests that some points lack are left out of all" in one.notes


def test_other_prompts_at_the_same_seed_are_no_pairs(sweep: SweepDirectory) -> None:
    edit(sweep, 3, lambda rows: [{**row, "reference": "neither"} for row in rows])
    found = frontiers_of(sweep)
    assert found.frontiers == []
    assert found.notes == ["no frontier: points of one seed did not replay the same prompts"]


def test_a_setting_that_lacks_a_seed_of_the_others_is_left_out(tmp_path: Path) -> None:
    sweep = predicted_sweep(tmp_path / "s", "methods.recserve.beta=0.1,0.5,0.9", repeat=2, requests=20)
    sweep.begin(sweep.points[3])  # β = 0.5, the second seed
    (one,) = frontiers_of(sweep).frontiers
    assert labels(one) == ["beta=0.1", "beta=0.9"]
    assert "left out: recserve beta=0.5: no run of seed 2" in one.notes
    for number in (1, 5):
        sweep.begin(sweep.points[number])
    (one,) = frontiers_of(sweep).frontiers
    assert labels(one) == ["beta=0.1", "beta=0.5", "beta=0.9"]
    assert one.seeds == [1]


def test_a_setting_that_several_points_have_is_the_mean_of_them(sweep: SweepDirectory) -> None:
    """Cloud-only is run at every point; at one of them it is wrong throughout."""

    def all_wrong(rows: Rows) -> Rows:
        return [{**row, "answer": "neither"} if row["method"] == "cloud-only" else row for row in rows]

    (before,) = frontiers_of(sweep).frontiers
    edit(sweep, 2, all_wrong)
    (after,) = frontiers_of(sweep).frontiers
    scores = [
        next(curve.points[0].quality.value for curve in one.curves if curve.method == "cloud-only")
        for one in (before, after)
    ]
    assert scores[1] == pytest.approx(scores[0] * 6 / 7)
