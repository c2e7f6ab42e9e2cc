"""A what-if's frontier has the figures of its points, and those of both ends."""

from __future__ import annotations

from dataclasses import replace

import pytest

from testbed.console import Reporter
from testbed.results.frontier import Frontiers
from testbed.study.what_if.evaluate import MAX_KEPT, evaluate
from testbed.study.what_if.frontier import frontiers_of
from testbed.study.what_if.grid import grid
from testbed.study.what_if.predict import WhatIf
from testbed.study.what_if.study import Point, Study
from tests.study.what_if.made import made_study, points_of


def what_if(study: Study, *points: Point) -> WhatIf:
    found = evaluate(study, points, Reporter())
    served = [(point, one.levels) for point, one in zip(points, found, strict=True) if one.levels is not None]
    return WhatIf("made", study, [one.figures for one in found], "", [], served=served)


def test_each_point_has_the_figures_of_its_line() -> None:
    study = made_study(120, requests=300)
    settings = ["beta=0.1,0.3,0.7", "share=0.2,0.8"]
    found = what_if(study, *grid(["recserve", "colserve"], settings, study.scenario, len(study.trace)))
    (one,) = frontiers_of(found).frontiers
    placed = {(curve.method, point.label): point for curve in one.curves for point in curve.points}
    assert (one.requests, one.prompts) == (300, 120)
    for figures in found.points:
        ((key, value),) = figures["settings"].items()
        point = placed[figures["method"], f"{key}={value}"]
        assert point.prompt_bytes == figures["prompt_bytes"]
        assert point.burden.value == pytest.approx(figures["burden_vs_cloud_only"])
        assert point.quality.value == pytest.approx(figures["accuracy"])
        assert list(point.quality.interval or ()) == pytest.approx(
            [figures["accuracy_low"], figures["accuracy_high"]], abs=0.02
        )


@pytest.mark.parametrize("ends", [(), ("device-only", "cloud-only")])
def test_the_ends_are_drawn_whether_or_not_they_are_asked_for(ends: tuple[str, ...]) -> None:
    study = made_study(60)
    points = grid(["recserve", *ends], ["beta=0.1,0.3"], study.scenario, len(study.trace))
    (one,) = frontiers_of(what_if(study, *points)).frontiers
    assert [curve.method for curve in one.curves] == [
        "recserve", "device-only", "cloud-only", "by lot: device-only or cloud-only",
    ]  # fmt: skip
    assert [one.curves[at].points[0].burden.value for at in (1, 2)] == [0, 1]


def test_a_confidence_that_differs_is_another_curve() -> None:
    study = made_study(60)
    asked = points_of(study, "recserve", "beta=0.1,0.5,0.9", "confidence=max_softmax,margin")
    (one,) = frontiers_of(what_if(study, *asked)).frontiers
    assert [curve.method for curve in one.curves[:2]] == [
        "recserve, confidence=max_softmax",
        "recserve, confidence=margin",
    ]


def test_there_is_none_and_nothing_to_say_without_several_settings() -> None:
    study = made_study(40)
    single = what_if(study, *points_of(study, "recserve", "beta=0.3"), *points_of(study, "cloud-only"))
    assert frontiers_of(single) == Frontiers(())


def test_it_is_said_that_points_are_too_many() -> None:
    study = made_study(12)
    (point,) = points_of(study, "recserve", "beta=0.3")
    found = what_if(study, *(replace(point, number=number) for number in range(1, MAX_KEPT + 2)))
    assert frontiers_of(found).notes == ["no frontier: it is of 100 points at most; give fewer values"]


def test_curves_that_cannot_be_told_apart_are_told_of() -> None:
    study = made_study(40)
    asked = points_of(study, "recserve", "beta=0.1:0.9:0.1", "window=10:80:10")
    (note,) = frontiers_of(what_if(study, *asked)).notes
    assert note.startswith("no frontier: 10 curves are too many")
