"""The file for scripts has every figure, in CSV and in Parquet, the same bytes for the same points."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from testbed.console import Reporter
from testbed.errors import TestbedError
from testbed.study.what_if.evaluate import evaluate
from testbed.study.what_if.output import check_out, write_points
from tests.study.what_if.made import made_study, points_of


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_a_row_for_each_point_and_a_column_for_each_key(tmp_path: Path, suffix: str) -> None:
    study = made_study(60)
    points = points_of(
        study, "recserve", "beta=0.1,0.5", "window=10,{device: 5, edge: 7}", "confidence=sigmoid"
    )
    found = [one.figures for one in evaluate(study, points, Reporter())]
    first, second = tmp_path / f"1.{suffix}", tmp_path / f"2.{suffix}"
    for path in (first, second):
        write_points(path, found)
    assert first.read_bytes() == second.read_bytes()
    read = pd.read_csv(first) if suffix == "csv" else pd.read_parquet(first)
    assert read["beta"].tolist() == [0.1, 0.1, 0.5, 0.5]
    assert read["window"].tolist() == ["10", '{"device": 5, "edge": 7}'] * 2
    assert read["confidence"].tolist() == ["sigmoid"] * 4
    assert read["accuracy"].tolist() == [figures["accuracy"] for figures in found]
    assert read["prompt_bytes"].tolist() == [figures["prompt_bytes"] for figures in found]


def test_a_key_that_is_named_like_a_figure_stands_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    write_points(path, [{"point": 1, "settings": {"requests": 7}, "requests": 5}])
    assert path.read_text() == '"point","set_requests","requests"\n1,7,5\n'


def test_a_place_where_nothing_can_be_written_is_told(tmp_path: Path) -> None:
    with pytest.raises(TestbedError, match=r"--out x\.txt: must end with \.csv or \.parquet"):
        check_out(Path("x.txt"))
    with pytest.raises(TestbedError, match=r"there is no directory .*/no; make it"):
        check_out(tmp_path / "no" / "x.csv")
    (tmp_path / "x.csv").mkdir()
    with pytest.raises(TestbedError, match=r"x\.csv: cannot be written"):
        write_points(tmp_path / "x.csv", [{"point": 1, "settings": {}}])
