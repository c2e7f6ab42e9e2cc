"""What is told with queues has the errors that runs on the wire show, and these are today's model's."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest

from testbed.commands.study import what_if
from testbed.errors import TestbedError
from testbed.study.queues.predict import FIGURES, errors_by_devices, validated
from tests.study.queues.page import PAGE, written
from tests.study.queues.wire import CITY, predicted

RUNS = validated()["runs"]


@pytest.mark.parametrize("run", RUNS, ids=lambda run: f"{run['devices']} devices")
def test_the_file_has_what_the_model_predicts_today(run: dict[str, Any]) -> None:
    anew = predicted(run["settings"])
    for method in run["methods"]:
        for name in FIGURES:
            assert method[name]["predicted"] == pytest.approx(anew[method["method"]][name], rel=1e-9)


@pytest.mark.parametrize("run", RUNS, ids=lambda run: f"{run['devices']} devices")
def test_bytes_are_those_of_the_wire(run: dict[str, Any]) -> None:
    assert run["faithful"]["bytes"]
    for method in run["methods"]:
        name = "prompt_bytes"
        off = method[name]["predicted"] / method[name]["measured"] - 1
        assert off == 0 if method["method"] == "cloud-only" else abs(off) < 0.05  # decided in another order
        assert method["frame_bytes"]["predicted"] == pytest.approx(
            method["frame_bytes"]["measured"], rel=0.05
        )


def test_the_page_has_the_errors_of_the_file() -> None:
    page = PAGE.read_text()
    assert page == written(page), "make it anew: python -m tests.study.queues.page"
    run = RUNS[-1]["methods"][0]["latency_ms_p99"]
    assert f"| {run['measured']:.1f} → {run['predicted']:.1f} (" in page
    worst = [max(errors[name] for errors in errors_by_devices().values()) for name in FIGURES]
    assert all(f"{one:.1%}".replace("%", " %") in page for one in worst)


def test_other_figures_change_the_page() -> None:
    page = PAGE.read_text()
    first = f"{RUNS[0]['methods'][0]['latency_ms_p50']['measured']:.1f} →"
    assert written(page.replace(first, "1.0 →")) == page


def test_within_its_error_each_prediction_has_what_the_wire_measured() -> None:
    worst = {name: max(errors[name] for errors in errors_by_devices().values()) for name in FIGURES}
    for run in RUNS:
        for method in run["methods"]:
            for name in FIGURES:
                pair = method[name]
                assert pair["measured"] == pytest.approx(pair["predicted"], rel=worst[name] + 1e-12), name


def test_three_sizes_are_held_against_the_wire() -> None:
    assert list(errors_by_devices()) == [10, 30, 100]


def test_the_command_prints_errors_by_size_and_writes_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "city.csv"
    what_if([CITY], requests=60, settings=["trace.arrivals.rate=15"], queues=True, out=file)
    printed = capsys.readouterr().out
    for devices, errors in errors_by_devices().items():
        assert f"{devices} devices: p50 {errors['latency_ms_p50']:.1%}" in printed
    assert "± ? │" in printed  # of cloud-only, and no other error is told of it
    assert "cloud-only: 1 of 1 nodes of cloud are asked for more than they can do" in printed
    rows = list(csv.DictReader(file.open()))
    assert [row["method"] for row in rows] == ["cloud-only", "recserve"]
    worst = max(errors["latency_ms_p99"] for errors in errors_by_devices().values())
    assert {float(row["latency_ms_p99_error"]) for row in rows} == {worst}


@pytest.mark.parametrize("more", [{"audit_all": True}, {"figures": Path("x")}, {"against": Path("x")}])
def test_what_queues_have_nothing_to_say_of_is_refused(more: dict[str, Any]) -> None:
    with pytest.raises(TestbedError, match="is not for --queues"):
        what_if([CITY], queues=True, **more)


def test_a_matrix_alone_has_no_queues() -> None:
    with pytest.raises(TestbedError, match="--queues: is for scenario"):
        what_if([CITY.parent / "recorded" / "rotten_tomatoes.parquet"], queues=True)
