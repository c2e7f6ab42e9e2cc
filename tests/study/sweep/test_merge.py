"""Shards of a sweep become one sweep again: nothing foreign, nothing damaged, nothing twice, nothing lost."""

from __future__ import annotations

import errno
import os
import shutil
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from rich.console import Console
from typer.testing import CliRunner

from testbed.cli import app
from testbed.console import Reporter
from testbed.errors import TestbedError
from testbed.results.directory import RunDirectory
from testbed.results.latency import PENDING
from testbed.study.sweep.directory import SweepDirectory
from testbed.study.sweep.merge import Merged, merge, numbered
from testbed.study.sweep.points import Point, Shard, Wanted, points_of
from tests import ROOT

RUN = ROOT / "tests" / "data" / "run-v1"
WANTED = Wanted(ROOT / "scenarios" / "quickstart.yaml", ["links.core.loss=0%,1%,2%,3%,4%"], 1, None, 12, 1)


@pytest.fixture(scope="module")
def points() -> list[Point]:
    return [point for point, _ in points_of(WANTED)]


def shard_of(folder: Path, points: list[Point], number: int, of: int = 2) -> SweepDirectory:
    """A shard whose points were all run, each with another note in it."""
    wanted = replace(WANTED, shard=Shard(number, of))
    made = SweepDirectory.open_or_create(folder / f"shard{number}", wanted, points, "quickstart")
    for point in made.points:
        ran(made, point)
    return made


def ran(sweep: SweepDirectory, point: Point, note: str = "") -> RunDirectory:
    shutil.copytree(RUN, sweep.run_path(point))
    run = RunDirectory.open(sweep.run_path(point))
    run.write_text("note.txt", f"{point.words}{note}")
    run.seal()
    return run


def merged(out: Path, *shards: SweepDirectory) -> Merged:
    return merge([shard.path for shard in shards], out, Reporter(Console(quiet=True)))


def statuses(sweep: SweepDirectory) -> dict[int, str]:
    """Each point's status in the table on disk."""
    table = pd.read_parquet(sweep.path / "points.parquet")
    return dict(zip(table["point"], table["status"], strict=True))


def test_all_shards_are_the_sweep_that_goes_on_as_if_run_at_once(tmp_path: Path, points: list[Point]) -> None:
    first, second = (shard_of(tmp_path, points, number) for number in (1, 2))
    assert [len(shard.points) for shard in (first, second)] == [2, 3]
    found = merged(tmp_path / "all", second, first)
    assert found.sentences == []
    assert statuses(found.directory) == dict.fromkeys(range(1, 6), "finished")
    for point in points:
        run = RunDirectory.open(found.directory.run_path(point))
        assert (run.path / "note.txt").read_text() == point.words
        assert run.broken_seals() == []
    again = SweepDirectory.open_or_create(tmp_path / "all", WANTED, points, "quickstart")
    assert all(again.finished(point) for point in again.points)
    with pytest.raises(TestbedError, match="its shard differs"):
        SweepDirectory.open_or_create(
            tmp_path / "all", replace(WANTED, shard=Shard(1, 2)), points, "quickstart"
        )


def test_files_are_shared_where_they_can_be_and_changing_one_run_leaves_the_other(
    tmp_path: Path, points: list[Point], monkeypatch: pytest.MonkeyPatch
) -> None:
    shard = shard_of(tmp_path, points, 1)
    found = merged(tmp_path / "linked", shard).directory
    ours, theirs = (RunDirectory.open(sweep.run_path(points[0])) for sweep in (found, shard))
    assert (ours.path / "trace.jsonl").samefile(theirs.path / "trace.jsonl")
    ours.write_text("note.txt", "changed")
    assert theirs.broken_seals() == []

    def elsewhere(*_: object, **__: object) -> None:
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", elsewhere)
    copied = RunDirectory.open(merged(tmp_path / "copied", shard).directory.run_path(points[0]))
    assert not (copied.path / "trace.jsonl").samefile(theirs.path / "trace.jsonl")
    assert copied.broken_seals() == []


def test_what_is_missing_waits_and_is_named_and_a_later_merge_brings_it(
    tmp_path: Path, points: list[Point]
) -> None:
    first, third = (shard_of(tmp_path, points, number, 3) for number in (1, 3))
    third.begin(points[4])
    third.fail(points[4], "links.core: the disk is full")
    found = merged(tmp_path / "all", first, third)
    assert found.sentences == [
        "shard 2/3 is not among them",
        "points 2 to 3 were not run yet; `testbed sweep` goes on with them in this directory",
    ]
    assert statuses(found.directory) == {
        1: "finished", 2: "waiting", 3: "waiting", 4: "finished", 5: "failed",
    }  # fmt: skip
    later = merged(tmp_path / "all", shard_of(tmp_path, points, 2, 3))
    assert later.missing == []
    assert later.absent == [Shard(1, 3), Shard(3, 3)]
    assert statuses(later.directory) == {**dict.fromkeys(range(1, 5), "finished"), 5: "failed"}


def test_a_damaged_run_is_named_and_the_rest_is_merged(tmp_path: Path, points: list[Point]) -> None:
    first, second = (shard_of(tmp_path, points, number) for number in (1, 2))
    (second.run_path(points[3]) / "note.txt").write_text("0.99 accuracy")
    found = merged(tmp_path / "all", first, second)
    (damaged,) = found.damaged
    assert damaged.endswith(
        "points/0004 is left out: note.txt is not as the run left it (its SHA-256 differs)"
    )
    assert statuses(found.directory)[4] == "waiting"
    assert found.missing == [points[3]]
    ran(replaced := SweepDirectory.open_or_create(tmp_path / "whole", WANTED, points, "x"), points[3])
    assert merged(tmp_path / "all", second, replaced).missing == []
    (found.directory.run_path(points[3]) / "note.txt").write_text("0.99 accuracy")
    with pytest.raises(TestbedError, match=r"all/points/0004: note\.txt is not as .*; remove that run, or"):
        merged(tmp_path / "all", first, second)


def test_a_point_twice_is_one_if_it_is_the_same_run_and_refused_if_not(
    tmp_path: Path, points: list[Point]
) -> None:
    first, second = (shard_of(tmp_path, points, number) for number in (1, 2))
    shutil.copytree(first.path, tmp_path / "copy")
    assert len(merged(tmp_path / "all", first, SweepDirectory(tmp_path / "copy")).missing) == 3
    ran(second, points[0], "; again")
    with pytest.raises(TestbedError) as told:
        merged(tmp_path / "other", first, second)
    assert str(told.value) == (
        f"{second.run_path(points[0])} and {first.run_path(points[0])} are two runs of point 1 "
        "(links.core.loss=0%, seed 1); remove one of them"
    )
    assert not list((tmp_path / "other" / "points").iterdir())


def test_a_pending_verdict_is_told_and_given_by_a_later_merge(tmp_path: Path, points: list[Point]) -> None:
    shard = shard_of(tmp_path, points, 1)
    run = RunDirectory.open(shard.run_path(points[1]))
    judged = run.read_json("fidelity.json")
    reasons = {**judged["reasons"], "latency": [PENDING]}
    run.write_json("fidelity.json", judged | {"reasons": reasons})
    run.reseal("fidelity.json")
    found = merged(tmp_path / "all", shard)
    assert found.sentences[-1] == (
        "point 2 was merged while the verdict on latency was pending, which counts as false; "
        "merge again when that shard has ended"
    )
    run.write_json("fidelity.json", judged)
    run.reseal("fidelity.json")
    shutil.copytree(found.directory.path, tmp_path / "early")
    later = merged(tmp_path / "all", shard, SweepDirectory(tmp_path / "early"))
    assert later.pending == []
    assert RunDirectory.open(later.directory.run_path(points[1])).read_json("fidelity.json") == judged
    run.write_json("trace.jsonl", {})
    run.reseal("trace.jsonl")
    with pytest.raises(TestbedError, match="are two runs of point 2"):
        merged(tmp_path / "early", shard)


def test_shards_of_other_sweeps_and_what_is_none_are_refused(tmp_path: Path, points: list[Point]) -> None:
    first = shard_of(tmp_path, points, 1)
    other = replace(WANTED, requests=13, shard=Shard(2, 2))
    foreign = SweepDirectory.open_or_create(tmp_path / "foreign", other, points, "quickstart")
    with pytest.raises(TestbedError, match=r"are not of one sweep \(their requests differs\)"):
        merged(tmp_path / "all", first, foreign)
    with pytest.raises(TestbedError, match="is no sweep's directory"):
        merged(tmp_path / "all", first, SweepDirectory(RUN))
    assert not (tmp_path / "all").exists()
    with pytest.raises(TestbedError, match="is another sweep"):
        merged(foreign.path, first)


def test_a_merge_that_was_broken_off_is_taken_up(tmp_path: Path, points: list[Point]) -> None:
    first = shard_of(tmp_path, points, 1)
    out = merged(tmp_path / "all", first).directory
    run = out.run_path(points[1])
    run.rename(run.with_name(f".{run.name}"))
    (run.with_name(f".{run.name}") / "manifest.json").unlink()
    assert statuses(merged(out.path, first).directory)[2] == "finished"
    assert sorted(path.name for path in run.parent.iterdir()) == ["0001", "0002"]


def test_the_command_prints_the_table_and_fails_where_a_run_was_left_out(
    tmp_path: Path, points: list[Point]
) -> None:
    first, second = (shard_of(tmp_path, points, number) for number in (1, 2))
    arguments = ["merge", str(first.path), str(second.path), "--out"]
    whole = CliRunner().invoke(app, [*arguments, str(tmp_path / "all")])
    assert (whole.exit_code, whole.exception) == (0, None)
    assert f"sweep: {tmp_path / 'all'} (points.parquet, points.csv)" in whole.output
    (first.run_path(points[0]) / "trace.jsonl").unlink()
    partly = CliRunner().invoke(app, [*arguments, str(tmp_path / "partly")])
    assert "0001 is left out: trace.jsonl is missing" in partly.output
    assert isinstance(partly.exception, TestbedError)
    assert str(partly.exception) == (
        "a damaged run was left out; merge an unchanged copy, or run what is missing again"
    )


def test_points_are_listed_as_people_do(points: list[Point]) -> None:
    assert numbered(points) == "points 1 to 5 were"
    assert numbered([points[0], points[2], points[3]]) == "points 1, 3 to 4 were"
    assert numbered(points[4:]) == "point 5 was"
