"""Points that may share a network follow one another, and the first of them pays for it."""

from __future__ import annotations

import io
from pathlib import Path

import pandas as pd
import pytest
from rich.console import Console

from testbed.console import Reporter
from testbed.host.processes import run_lock
from testbed.orchestrator.estimate import estimated_seconds
from testbed.scenario.requests import build_trace
from testbed.study.sweep.directory import SweepDirectory
from testbed.study.sweep.points import Wanted, points_of
from testbed.study.sweep.run import by_network, expected_each_s, failed, sweep
from tests import QUICKSTART, SCENARIOS
from tests.study.sweep.made import made_sweep


def wanted(*given: str, repeat: int = 1) -> Wanted:
    return Wanted(SCENARIOS / "smoke.yaml", given, repeat, None, 12, 1)


def groups(asked: Wanted) -> list[list[int]]:
    return [[point.number for point, _ in group] for group in by_network(points_of(asked))]


def test_figures_methods_and_seeds_need_one_network() -> None:
    given = ("methods.recserve.beta=0.1,0.3", "links.core.loss=0%,1%", "links.access.delay=1ms,90ms")
    assert groups(wanted(*given, repeat=2)) == [list(range(1, 17))]


def test_what_starts_otherwise_needs_another_and_points_go_in_order_on_each() -> None:
    cpus, loss = "tiers.edge.cpus=0.25,0.5", "links.core.loss=0%,1%"
    assert groups(wanted(cpus, loss)) == [[1, 2], [3, 4]]
    assert groups(wanted(loss, cpus)) == [[1, 3], [2, 4]]


def test_a_point_that_shares_with_nobody_has_its_own() -> None:
    methods = "methods=[{name: cloud-only}],[{name: static-quantile}]"
    assert groups(wanted("calibration={rows: 50}", methods, "links.core.loss=0%,1%")) == [[1, 2], [3], [4]]


def test_the_first_point_of_a_network_is_expected_to_take_longer() -> None:
    points = points_of(wanted("tiers.edge.cpus=0.25,0.5", "links.core.loss=0%,1%,0.5%"))
    first, second, last, *others = expected_each_s(by_network(points)).values()
    assert [first, second, last] == others
    assert first > last + 5 > second + 7
    assert second > 2
    alone = estimated_seconds(points[0][1], build_trace(points[0][1]), points[0][1].topology)
    assert list(expected_each_s([points[:1]]).values()) == pytest.approx([alone.total_s])


def test_beside_another_run_it_ends_and_touches_no_point(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_lock, "RUNS", tmp_path / "runs")
    asked, out = wanted("links.core.loss=0%,1%"), tmp_path / "sweep"
    points = [point for point, _ in points_of(asked)]
    directory = SweepDirectory.open_or_create(out, asked, points, "smoke")
    begun = directory.run_path(points[0]) / "manifest.json"
    begun.parent.mkdir()
    begun.write_text('{"status": "running"}')
    with run_lock.run_lock("0000"), pytest.raises(run_lock.AnotherRun, match=r"another run \(0000\)"):
        sweep(asked, out, Reporter(Console(quiet=True)))
    assert begun.is_file()
    assert failed(directory) == []
    assert list(pd.read_csv(out / "points.csv")["status"]) == ["waiting", "waiting"]


def test_what_is_done_and_what_is_left_is_said_first(tmp_path: Path) -> None:
    made, said = made_sweep(tmp_path / "sweep", ["links.core.loss=0%,1%"]), io.StringIO()
    asked = Wanted(QUICKSTART, ["links.core.loss=0%,1%"], 1, None, 12, 1)
    sweep(asked, made.path, Reporter(Console(file=said, width=200)))
    assert "2 points, all done already\n" in said.getvalue()
