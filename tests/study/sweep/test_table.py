"""A sweep's table has each run's figures with their intervals, and loses no point to a damaged one."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from testbed.results.seals import SUMS
from testbed.study.sweep.points import Point
from testbed.study.sweep.table import sweep_table
from tests.study.sweep.made import RUN, doubt, made_sweep

GIVEN = ["methods.recserve.beta=0.1,0.5"]


def test_intervals_and_shares_are_those_of_the_summary(tmp_path: Path) -> None:
    sweep = made_sweep(tmp_path / "sweep", GIVEN)
    table = sweep_table(sweep)
    row = table[(table["point"] == 2) & (table["method"] == "recserve")].iloc[0]
    summary = json.loads((sweep.run_path(sweep.points[1]) / "summary.json").read_text())
    figures = summary["methods"]["recserve"]
    assert [row["latency_p50_ms_low"], row["latency_p50_ms_high"]] == figures["latency_ms_ci"]["p50"]
    for tier, hop in figures["theory"]["hops"].items():
        found = [row[f"share_up_{tier}{suffix}"] for suffix in ("", "_expected", "_asymptotic")]
        assert found == [hop["share"], hop["share_expected"], hop["share_asymptotic"]]
    assert row["started_at"] == json.loads((RUN / "manifest.json").read_text())["started_at"]


def test_costs_have_columns_if_there_are_prices(tmp_path: Path) -> None:
    def price(point: Point, summary: dict[str, Any]) -> None:
        each: dict[str, Any] = {"cost_per_request": 0.5, "cost_per_request_ci": [0.4, 0.6]}
        each["cost_by_tier"] = {"device": 1.0, "edge": 2.0, "cloud": 3.0}
        summary["methods"]["recserve"].update(cost=6.0, cost_unit="J", cost_reason=None, **each)

    table = sweep_table(made_sweep(tmp_path / "sweep", GIVEN, change=price))
    row = table[table["method"] == "recserve"].iloc[0]
    assert (row["cost"], row["cost_unit"], row["cost_per_request"]) == (6.0, "J", 0.5)
    assert (row["cost_per_request_low"], row["cost_per_request_high"]) == (0.4, 0.6)
    assert "cost" not in sweep_table(made_sweep(tmp_path / "free", GIVEN))


def test_a_verdict_that_is_false_has_its_reason(tmp_path: Path) -> None:
    sweep = made_sweep(tmp_path / "sweep", GIVEN)
    doubt(sweep, 2, "latency", "the host was busy")
    table = sweep_table(sweep).drop_duplicates("point")
    assert table["latency_true"].tolist() == [True, False]
    assert table["latency_why"].dropna().tolist() == ["the host was busy"]
    assert table["bytes_why"].isna().all()


def test_a_run_of_an_older_version_has_no_shares_and_all_else(tmp_path: Path) -> None:
    sweep = made_sweep(tmp_path / "sweep", GIVEN)
    shutil.rmtree(sweep.run_path(sweep.points[0]))
    shutil.copytree(RUN, sweep.run_path(sweep.points[0]))  # whose summary has no theory
    table = sweep_table(sweep)
    of_recserve = table[table["method"] == "recserve"]
    assert of_recserve["share_up_device"].isna().tolist() == [True, False]
    assert table["accuracy"].notna().all()


@pytest.mark.parametrize(
    ("file", "content", "sentence"),
    [
        ("summary.json", "{}", "summary.json is not as the run left it"),
        ("summary.json", None, "summary.json is missing"),
        ("manifest.json", '{"status": "finished", "schema_version": 99}', "install a later one"),
        ("manifest.json", '{"status": "finished"}', "has no schema_version"),
        (SUMS, "", "fidelity.json is not in SHA256SUMS"),
    ],
)
def test_a_point_that_cannot_be_read_is_a_row_with_its_sentence(
    file: str, content: str | None, sentence: str, tmp_path: Path
) -> None:
    sweep = made_sweep(tmp_path / "sweep", GIVEN)
    assert set(sweep_table(sweep)["status"]) == {"finished"}  # what was read before is read again
    path = sweep.run_path(sweep.points[0]) / file
    path.unlink()
    if content is not None:
        path.write_text(content)
    table = sweep_table(sweep)
    assert table["status"].tolist() == ["damaged", "finished", "finished"]
    assert sentence in table["error"].iloc[0]


def test_a_point_that_was_not_sealed_is_run_again(tmp_path: Path) -> None:
    sweep = made_sweep(tmp_path / "sweep", GIVEN)
    (sweep.run_path(sweep.points[0]) / SUMS).unlink()
    assert not sweep.finished(sweep.points[0])
    assert sweep_table(sweep)["status"].tolist() == ["waiting", "finished", "finished"]
