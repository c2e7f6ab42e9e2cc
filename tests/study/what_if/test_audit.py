"""Every policy's decisions are found again by rules that were written apart from it."""

from __future__ import annotations

import pytest

from testbed.study.what_if.audit import audit_point, recorded_rows
from testbed.study.what_if.replay import replay
from tests.study.what_if.made import made_study, points_of

GRIDS = [
    ["recserve", "beta=0.1,0.5", "window=30,10000", "scope=node,tier", "start=cold,prefilled"],
    ["recserve", "beta.device=0.2", "beta.edge=0.6", "enter=after"],
    ["recserve", "relay=[device],[edge]"],
    ["casserve", "thresholds={device: 0.8, edge: 0.9}"],
    ["casserve", "calibrate={share: 0.3},{accuracy: 0.8, confidence: 0.9}"],
    ["static-quantile", "beta=0.3"],
    ["colserve", "share=0.3"],
    ["budget", "share=0.3", "of=requests,bytes"],
    ["length-router", "longest=120"],
    ["oracle"],
    ["edge-only"],
]


@pytest.mark.parametrize("asked", GRIDS, ids=lambda asked: " ".join(asked))
def test_no_policys_decisions_differ_from_its_rule(asked: list[str]) -> None:
    study = made_study(420, nodes="3,2,1", requests=300, calibration=100)
    for point in points_of(study, *asked):
        audited = audit_point(study, point, replay(study, point))
        assert audited.differences == ()
        assert audited.ruled
        assert audited.decisions >= 300 or "relay" in point.settings


def test_figures_that_rest_on_other_decisions_are_noticed() -> None:
    study = made_study(200)
    (point,) = points_of(study, "recserve")
    levels = replay(study, point)
    levels[17] = 2 - levels[17] // 2 * 2
    (difference,) = audit_point(study, point, levels).differences
    assert difference == "point 1: 1 requests are answered elsewhere when it is replayed again"


def test_the_rows_are_those_of_a_run() -> None:
    study = made_study(100, nodes="2,1,1")
    (point,) = points_of(study, "recserve", "beta=0.5", "relay=[edge]")
    levels, rows = recorded_rows(study, point)
    assert [len(row["path"]) - 1 for row in rows] == levels.tolist()
    device, edge, cloud = next(row for row in rows if len(row["path"]) == 3)["path"]
    assert (device[:-1], edge, cloud) == ("device", "edge1", "cloud1")
    for row in rows:
        assert row["kept"] == [False] * (len(row["path"]) - 1) + [True]
        assert row["node_answers"][-1] == row["answer"]
        relayed = [confidence is None for confidence in row["confidences"]]
        assert relayed == [False, True, False][: len(row["path"])]
