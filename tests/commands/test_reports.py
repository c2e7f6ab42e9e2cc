"""`testbed report` takes a run or a sweep, writes what is asked for, and fails where a file has changed."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from testbed.commands.reports import report
from testbed.errors import TestbedError
from testbed.report.export import MADE_BY
from testbed.results.directory import RunDirectory
from testbed.results.seals import FIGURES, PAGE
from tests.study.sweep.made import RUN, made_sweep

GIVEN = ["methods.recserve.beta=0.1,0.5"]


def test_of_a_sweep_it_prints_the_table_and_writes_page_and_figures(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sweep = made_sweep(tmp_path / "sweep", [])  # in which nothing varies, so that there is nothing to draw
    report(sweep.path, page=True, figures=True, width=4.0)
    shown = capsys.readouterr().out
    assert "0.667 [0.391, 0.862]" in shown
    assert f"page: {sweep.path / PAGE}" in shown
    assert "no frontier: no method has several settings" in shown
    assert f"figures: {sweep.path / FIGURES} (1 files)" in shown
    assert (sweep.path / FIGURES / MADE_BY).is_file()
    assert (sweep.path / PAGE).is_file()


def test_a_damaged_point_fails_and_loses_no_other(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sweep = made_sweep(tmp_path / "sweep", GIVEN)
    (sweep.run_path(sweep.points[0]) / "summary.json").write_text("{}")
    with pytest.raises(TestbedError, match=r"1 of 2 points cannot be read, .*: summary\.json is not as"):
        report(sweep.path, page=True)
    shown = capsys.readouterr().out
    assert "0.667 [0.391, 0.862]" in shown
    assert "damaged: point 1: " in shown
    assert (sweep.path / PAGE).is_file()


def test_a_point_that_failed_or_was_broken_off_is_told_first_and_fails(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sweep = made_sweep(tmp_path / "sweep", GIVEN)
    ended = RunDirectory(sweep.run_path(sweep.points[0]))
    manifest = ended.read_json("manifest.json")
    ended.write_json("manifest.json", manifest | {"status": "interrupted", "broken_off": []})
    with pytest.raises(TestbedError, match="1 of 2 points ended early, the first because: the run was ended"):
        report(sweep.path)
    assert capsys.readouterr().out.startswith("waiting: point 1: the run was ended early: interrupted")
    sweep.fail(sweep.points[0], "no room")
    with pytest.raises(TestbedError, match="1 of 2 points failed, the first because: no room"):
        report(sweep.path)
    assert capsys.readouterr().out.startswith("failed: point 1: no room")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [('{"format": 99}', "was made by another version of the testbed"), ("{", "is no description of a sweep")],
)
def test_a_sweep_of_another_version_or_a_damaged_one_is_refused(
    text: str, sentence: str, tmp_path: Path
) -> None:
    (tmp_path / "sweep.json").write_text(text)
    with pytest.raises(TestbedError, match=sentence):
        report(tmp_path, page=True)
    assert not (tmp_path / PAGE).exists()


def test_of_a_run_it_writes_the_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = Path(shutil.copytree(RUN, tmp_path / "run"))
    report(run, page=True)
    assert f"page: {run / PAGE}" in capsys.readouterr().out
    (run / "links.parquet").unlink()
    with pytest.raises(TestbedError, match=r"links\.parquet"):
        report(run)
