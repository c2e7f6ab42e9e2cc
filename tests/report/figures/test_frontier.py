"""A frontier's figure draws its points, and its CSV has what is drawn."""

from __future__ import annotations

import json

import pytest

from testbed.report.figures.figure import Figure
from testbed.report.figures.frontier import frontier_figures
from testbed.report.figures.style import Style
from testbed.results.fidelity import CLAIMS
from testbed.results.frontier import Frontier, Frontiers, Placed, PlacedCurve
from testbed.results.statistics import Estimate, Interval

FAITHFUL = dict.fromkeys(map(str, CLAIMS), True)


def estimate(value: float) -> Estimate:
    return Estimate(value, Interval(value - 0.01, value + 0.01))


def frontier(**condition: str) -> Frontier:
    shares = (0.1, 0.4, 0.9)
    curves = [
        PlacedCurve(
            method,
            [
                Placed(f"k={share}", estimate(0.7 + share / 10), estimate(share), 900 * share)
                for share in shares
            ],
            by_lot=method.startswith("by lot"),
        )
        for method in ("recserve", "colserve", "by lot: device-only or cloud-only")
    ]
    return Frontier("accuracy", 3, condition, 90, 80, [1], curves, [], [], [])


@pytest.fixture
def figure() -> Figure:
    (made,) = frontier_figures(Frontiers([frontier()]))
    return made


def test_there_is_one_for_each_condition() -> None:
    made = frontier_figures(Frontiers([frontier(loss="0%"), frontier(loss="1%")]))
    assert [one.name for one in made] == ["frontier-1", "frontier-2"]
    assert [one.title.rpartition(", ")[2] for one in made] == ["loss=0%", "loss=1%"]
    assert frontier_figures(Frontiers(())) == []


def test_its_data_are_a_row_for_each_point_with_both_intervals(figure: Figure) -> None:
    assert (figure.name, figure.claims) == ("frontier", ("bytes", "quality"))
    assert len(figure.data) == 9
    row = figure.data.iloc[1].to_dict()
    assert row == {
        "method": "recserve", "setting": "k=0.4", "burden_vs_cloud_only": 0.4,
        "burden_low": pytest.approx(0.39), "burden_high": pytest.approx(0.41),
        "quality": pytest.approx(0.74), "quality_low": pytest.approx(0.73),
        "quality_high": pytest.approx(0.75), "prompt_bytes": 360, "by_lot": False,
    }  # fmt: skip


def test_methods_differ_in_shape_and_dash_as_well_as_in_colour(figure: Figure) -> None:
    spec = figure.chart(Style(), FAITHFUL).to_dict()
    channels = [layer["encoding"] for layer in spec["layer"]]
    for channel in ("color", "strokeDash", "shape"):
        scales = [encoding[channel]["scale"] for encoding in channels if channel in encoding]
        assert scales
        for scale in scales:
            assert scale["domain"] == ["recserve", "colserve"]  # the lot is a line without a name
            assert len({json.dumps(value) for value in scale["range"]}) == 2


def test_a_false_verdict_makes_it_grey(figure: Figure) -> None:
    spec = str(figure.chart(Style(), {**FAITHFUL, "bytes": False}).to_dict())
    assert "not valid: bytes may not be believed" in spec
    assert "#0072B2" not in spec
