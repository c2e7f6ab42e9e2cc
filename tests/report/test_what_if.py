"""The tables of what-if show the figures that they are given, and a dash where there is none."""

from __future__ import annotations

import io

from rich.console import Console, RenderableType

from testbed.console import Reporter
from testbed.report.what_if import beside_table, points_table
from testbed.results.scorers import SCORERS
from testbed.study.what_if.evaluate import evaluate
from tests.study.what_if.made import made_study, points_of

SCORER = SCORERS["classification"]


def shown(table: RenderableType) -> str:
    file = io.StringIO()
    Console(file=file, width=220).print(table)
    return file.getvalue()


def test_a_line_for_each_point_with_the_keys_that_set_it_apart() -> None:
    study = made_study(60)
    points = [*points_of(study, "recserve", "beta=0.1,0.5"), *points_of(study, "cloud-only")]
    found = [one.figures for one in evaluate(study, points, Reporter())]
    lines = shown(points_table("three", found, list(study.tiers), SCORER)).splitlines()
    first, second, alone = (line for line in lines if "│" in line)
    for line, figures in ((first, found[0]), (second, found[1])):
        assert f"{figures['accuracy']:.3f} [{figures['accuracy_low']:.3f}" in line
        assert f"{figures['accuracy_vs_lot']:+.3f}" in line
        assert (
            f"{figures['served_by_device']}/{figures['served_by_edge']}/{figures['served_by_cloud']}" in line
        )
    assert "0.1" in first
    assert "0.5" in second
    assert "0/0/60" in alone
    assert alone.count(" - ") == 2


def test_predictions_stand_above_what_was_measured_and_what_may_not_be_believed_is_not_shown() -> None:
    tiers = ["device", "cloud"]
    predicted = {
        "method": "recserve",
        "served_by_device": 7,
        "served_by_cloud": 3,
        "prompt_bytes_device": 1234,
        "answer_bytes_device": 24,
        "score": 0.8,
        "burden_vs_cloud_only": 0.3,
        "burden_vs_direct_cloud": 0.3,
        "burden_paper_vs_cloud_only": 0.31,
    }
    nothing = {"prompt_bytes_device": None, "score": None, "burden_vs_cloud_only": None}
    measured = {**predicted, **nothing, "not_valid": ["score"], "elsewhere": 2}
    printed = shown(beside_table("beside", [(predicted, measured)], tiers))
    above, below = (line for line in printed.splitlines() if "predicted │" in line or "measured " in line)
    assert "1,234" in above
    assert "0.800" in above
    assert "│ n/v │ 24 │ n/v │ - │" in " ".join(below.split())
    assert "│ 2 │" in " ".join(below.split())
