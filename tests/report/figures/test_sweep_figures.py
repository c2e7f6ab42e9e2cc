"""A sweep's figures: each metric over each key, as much as an eye can see, and what may not be believed."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import vl_convert

from testbed.report.export import fitted
from testbed.report.figures.figure import Figure
from testbed.report.figures.style import Style
from testbed.report.figures.sweep_chart import DOUBTED
from testbed.report.figures.sweep_data import SweepData
from testbed.report.figures.sweep_figures import MAX_MARKS, sweep_subject
from testbed.results.columns import TABLES
from testbed.results.directory import RunDirectory
from testbed.results.fidelity import CLAIMS
from testbed.study.sweep.points import Point
from tests.study.sweep.made import data_of, doubt, made_sweep

ALL_TRUE: dict[str, bool] = dict.fromkeys(CLAIMS, True)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> SweepData:
    given = ["methods.recserve.beta=0.1,0.5", "links.core.rate=1mbit,20mbit,1gbit"]
    sweep = made_sweep(tmp_path_factory.mktemp("made") / "sweep", given)
    doubt(sweep, 2, "latency", "the host was busy")
    doubt(sweep, 3, "latency", "the host was busy")
    return data_of(sweep)


def figures_of(data: SweepData) -> dict[str, Figure]:
    return {figure.name: figure for figure in sweep_subject(data).figures}


def test_each_metric_is_drawn_over_each_key(data: SweepData) -> None:
    assert list(figures_of(data)) == [
        f"{metric}-over-{key}"
        for metric in ("quality", "burden", "latency-p50", "served-by", "theory")  # too few for a p95
        for key in ("recserve-beta", "core-rate")
    ]


def test_a_key_that_spans_orders_of_magnitude_has_a_logarithmic_axis(data: SweepData) -> None:
    figures = figures_of(data)
    specs = {name: json.dumps(figures[name].spec(Style(), ALL_TRUE)) for name in figures}
    assert '"type": "log"' in specs["burden-over-core-rate"]
    assert '"values": [1.0, 20.0, 1000.0]' in specs["burden-over-core-rate"]
    assert '"type": "log"' not in specs["burden-over-recserve-beta"]


def test_marks_against_which_a_verdict_speaks_are_grey_and_named(data: SweepData) -> None:
    latency, quality = (figures_of(data)[f"{name}-over-core-rate"] for name in ("latency-p50", "quality"))
    assert latency.warning(ALL_TRUE) == (
        "Hollow grey marks: the verdict on latency does not hold at points 2, 3."
    )
    assert set(latency.data.loc[~latency.data["valid"], "points"]) == {"2", "3"}
    assert quality.warning(ALL_TRUE) == ""
    assert DOUBTED in json.dumps(latency.spec(Style(), ALL_TRUE))


def test_the_files_rows_are_the_tables(data: SweepData) -> None:
    drawn = figures_of(data)["burden-over-core-rate"].data
    keys = ["methods.recserve.beta", "links.core.rate", "method"]
    both = drawn.merge(data.rows, on=keys, suffixes=("", "_in_table"))
    assert len(both) == len(drawn) == len(data.rows)
    assert list(both["burden_vs_cloud_only"]) == list(both["burden_vs_cloud_only_in_table"])


def test_of_too_many_marks_some_are_drawn_and_the_figure_says_so(data: SweepData) -> None:
    many = []
    for number in range(1, 200):
        rows = data.rows.copy()
        rows["point"], rows["methods.recserve.beta"] = number, f"{number / 200:g}"
        many.append(rows)
    rows = pd.concat(many)
    figure = figures_of(SweepData(data.path, data.name, rows))["quality-over-recserve-beta"]
    assert 0 < len(figure.data) <= MAX_MARKS
    assert set(figure.data["methods.recserve.beta"]) >= {"0.005", "0.995"}
    assert "of 199 values of methods.recserve.beta; points.csv has all." in figure.says


def test_keys_with_the_same_end_have_files_of_their_own(tmp_path: Path) -> None:
    given = ["links.access.loss=0%,1%", "links.core.loss=0%,1%", "trace.seed=1,2"]
    names = list(figures_of(data_of(made_sweep(tmp_path / "sweep", given))))
    assert len(set(names)) == len(names)
    assert {"burden-over-access-loss", "burden-over-core-loss", "burden-over-trace-seed"} <= set(names)


def test_names_without_room_for_them_leave_the_plots_their_width(tmp_path: Path) -> None:
    """An axis narrower than the padding of its ends would run backwards."""

    def renamed(_point: Point, summary: dict[str, Any]) -> None:
        summary["methods"] = {f"{name}-{'and-more-' * 4}": of for name, of in summary["methods"].items()}

    given = ["methods.recserve.beta=0.1,0.3,0.5", "links.core.loss=0%,1%,2%"]
    sweep = made_sweep(tmp_path / "sweep", given, change=renamed)
    for run in (RunDirectory(sweep.run_path(point)) for point in sweep.points):
        manifest, names = run.read_json("manifest.json"), list(run.read_json("summary.json")["methods"])
        longer = {}
        for method, name in zip(manifest["scenario"]["methods"], names, strict=True):
            longer[method["name"]] = name
            method["name"] = name
        for table in ("requests.parquet", "links.parquet", "tiers.parquet"):
            rows = [row | {"method": longer[row["method"]]} for row in run.read_table(table)]
            run.write_table(table, rows, TABLES[table])
        run.write_json("manifest.json", manifest)
        run.seal()
    (figure,) = [
        figure for name, figure in figures_of(data_of(sweep)).items() if name == "quality-over-core-loss"
    ]
    spec = fitted(figure, Style(width=252, font_size=8), ALL_TRUE)
    assert spec["spec"]["width"] > 60
    found = re.search(r'<svg[^>]* width="([0-9.]+)"', vl_convert.vegalite_to_svg(spec))
    assert found is not None
    assert float(found[1]) == pytest.approx(252, abs=2)
