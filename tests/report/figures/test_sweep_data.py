"""What a sweep's figures draw is what its table has: runs, means over seeds, and what theory expects."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from scipy import stats

from testbed.report.figures.sweep_data import Metric, SweepData, doubted_points, marks, measured
from testbed.study.sweep.points import Point
from tests.study.sweep.made import RUN, data_of, doubt, made_sweep

BETA = "methods.recserve.beta"


def metric(data: SweepData, name: str) -> Metric:
    return next(metric for metric in data.metrics() if metric.name == name)


def rows_of(data: SweepData, name: str, method: str) -> list[dict[Any, Any]]:
    frame = marks(data, metric(data, name))
    return frame[frame["method"] == method].to_dict("records")


@pytest.mark.parametrize(
    ("words", "numbers", "unit"),
    [
        (["0.1", "0.3", "1e-3"], [0.1, 0.3, 0.001], ""),
        (["0%", "1%", "0.5 %"], [0, 1, 0.5], "%"),
        (["500us", "10ms", "1.5s"], [0.5, 10, 1500], "ms"),
        (["500kbit", "20mbit"], [0.5, 20], "Mbit/s"),
        (["512MiB", "1GiB"], [512, 1024], "MiB"),
    ],
)
def test_values_of_one_unit_are_numbers(words: list[str], numbers: list[float], unit: str) -> None:
    found = measured(words)
    assert found is not None
    assert found[0] == pytest.approx(numbers)
    assert found[1] == unit


@pytest.mark.parametrize(
    "words", [["a", "b"], ["0", "1%"], ["1ms", "1mbit"], ["{a: 1}"], ["nan"], ["inf", "1"]]
)
def test_names_and_mixtures_are_none(words: list[str]) -> None:
    assert measured(words) is None


def test_with_few_repeats_each_run_is_a_mark_with_its_own_interval(tmp_path: Path) -> None:
    data = data_of(made_sweep(tmp_path / "sweep", [f"{BETA}=0.3,0.5"], repeat=2))
    found = json.loads((RUN / "summary.json").read_text())["methods"]["recserve"]
    rows = rows_of(data, "quality", "recserve")
    assert [(row[BETA], row["points"]) for row in rows] == [
        ("0.3", "1"),
        ("0.3", "2"),
        ("0.5", "3"),
        ("0.5", "4"),
    ]
    for row in rows:
        assert (row["value"], [row["low"], row["high"]]) == (found["accuracy"], found["accuracy_ci"])
    (edge, *_) = [row for row in rows_of(data, "served-by", "recserve") if row["tier"] == "edge"]
    answered = found["served_by"]["edge"]
    ends = stats.binomtest(answered, 12).proportion_ci(method="wilson")
    assert [edge["value"], edge["low"], edge["high"]] == pytest.approx([answered / 12, ends.low, ends.high])


def test_of_many_repeats_a_mark_is_the_mean_with_students_interval(tmp_path: Path) -> None:
    def change(point: Point, summary: dict[str, Any]) -> None:
        summary["methods"]["recserve"]["accuracy"] = 0.5 + 0.1 * point.repeat

    data = data_of(made_sweep(tmp_path / "sweep", [f"{BETA}=0.3,0.5"], repeat=3, change=change))
    first, _ = rows_of(data, "quality", "recserve")
    assert (first["value"], first["runs"], first["points"]) == (pytest.approx(0.6), 3, "1, 2, 3")
    reach = 4.302653 * 0.1 / 3**0.5  # the quantile of two degrees of freedom, from a table
    assert [first["low"], first["high"]] == pytest.approx([0.6 - reach, 0.6 + reach])


def test_a_run_that_may_not_be_believed_is_apart_from_the_mean(tmp_path: Path) -> None:
    def change(point: Point, summary: dict[str, Any]) -> None:
        summary["methods"]["recserve"]["latency_ms"]["p50"] = [10.0, 20.0, 99.0][point.repeat]

    sweep = made_sweep(tmp_path / "sweep", [f"{BETA}=0.3"], repeat=3, change=change)
    doubt(sweep, 3, "latency", "the host was busy")
    data = data_of(sweep)
    rows = rows_of(data, "latency-p50", "recserve")
    assert [(row["value"], row["runs"], row["valid"]) for row in rows] == [(15, 2, True), (99, 1, False)]
    assert doubted_points(data, ["latency"]) == [3]
    assert [row["runs"] for row in rows_of(data, "quality", "recserve")] == [3]


def test_a_verdict_that_is_yet_to_come_is_not_one_that_holds(tmp_path: Path) -> None:
    def change(point: Point, summary: dict[str, Any]) -> None:
        summary["faithful"]["latency"] = None if point.number == 2 else True

    data = data_of(made_sweep(tmp_path / "sweep", [f"{BETA}=0.3,0.5"], change=change))
    assert doubted_points(data) == [2]


def test_what_was_passed_on_stands_beside_what_is_expected_of_so_many(tmp_path: Path) -> None:
    data = data_of(made_sweep(tmp_path / "sweep", [f"{BETA}=0.3,0.5"]))
    rows = [row for row in rows_of(data, "theory", "recserve") if row[BETA] == "0.3"]
    assert [(row["tier"], round(row["value"], 3), round(row["expected"], 3)) for row in rows] == [
        ("device", 0.583, 0.372),
        ("edge", 0.167, 0.127),
    ]  # as the run's own table has them
