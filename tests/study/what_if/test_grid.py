"""What a user writes becomes every combination of values, or one sentence."""

from __future__ import annotations

import pytest

from testbed.errors import TestbedError
from testbed.study.what_if.grid import grid
from tests.study.what_if.made import made_study

STUDY = made_study(60, calibration=20, requests=30)


def settings(policy: str, *given: str) -> list[dict[str, object]]:
    return [dict(point.settings) for point in grid(policy.split(","), given, STUDY.scenario, 30)]


def test_lists_and_ranges_have_the_values_that_are_written_and_both_ends() -> None:
    assert [one["beta"] for one in settings("recserve", "beta=0.1:0.5:0.1,0.55")] == [
        0.1,
        0.2,
        0.3,
        0.4,
        0.5,
        0.55,
    ]
    assert [one["window"] for one in settings("recserve", "window=10,100:300:100")] == [10, 100, 200, 300]
    assert len(settings("recserve", "beta=0.1:0.9:0.05")) == 17


def test_all_combinations_are_points_in_the_order_of_what_is_written() -> None:
    points = grid(["recserve", "colserve"], ["beta=0.1,0.2", "window=5,7", "share=0.3"], STUDY.scenario, 30)
    assert [point.number for point in points] == [1, 2, 3, 4, 5]
    assert [(point.method.policy, *point.settings.values()) for point in points] == [
        ("recserve", 0.1, 5),
        ("recserve", 0.1, 7),
        ("recserve", 0.2, 5),
        ("recserve", 0.2, 7),
        ("colserve", 0.3),
    ]
    assert points[1].method.parameters["window"] == 7


def test_a_value_may_hold_for_one_tier_alone_or_be_a_mapping() -> None:
    (point,) = grid(["recserve"], ["beta.device=0.1", "beta.edge=0.5"], STUDY.scenario, 30)
    assert point.method.parameters["beta"] == {"device": 0.1, "edge": 0.5}
    whole, other = grid(
        ["casserve"], ["thresholds={device: 0.8, edge: 0.9},{device: 0.5, edge: 0.6}"], STUDY.scenario, 30
    )
    assert whole.method.parameters["thresholds"] == {"device": 0.8, "edge": 0.9}
    assert other.method.parameters["thresholds"] == {"device": 0.5, "edge": 0.6}


def test_confidences_are_by_tier_and_no_parameter_of_a_policy() -> None:
    first, _ = grid(["colserve"], ["confidence=sigmoid,seq2class"], STUDY.scenario, 30)
    assert first.confidences == {"device": "sigmoid", "edge": "sigmoid", "cloud": "sigmoid"}
    (one,) = grid(["recserve"], ["confidence.edge=sigmoid"], STUDY.scenario, 30)
    assert one.confidences == {"edge": "sigmoid"}


@pytest.mark.parametrize(
    ("policy", "given", "words"),
    [
        ("recsrve", [], r"--policy: no policy 'recsrve'; did you mean recserve\?"),
        ("recserve", ["bata=0.1"], r"--set bata: no key of recserve; did you mean beta\?"),
        ("mine.py:Odd", ["name=x"], r"--set name: no key of mine\.py:Odd"),
        ("recserve,colserve", ["longest=3"], r"--set longest: no key of recserve, colserve"),
        ("recserve", ["beta=1.5"], r"--policy recserve --set beta=1.5: beta: .*less than or equal to 1"),
        ("recserve", ["window=0"], r"window: .*greater than or equal to 1"),
        ("recserve", ["window=a"], r"--set window=a: window: "),
        ("recserve", ["beta"], r"--set beta: is not KEY=VALUES"),
        ("recserve", ["beta="], r"--set beta=: gives no value"),
        ("recserve", ["beta=0.9:0.1:0.1"], r"0\.9:0\.1:0\.1 is no FROM:TO:STEP"),
        ("recserve", ["beta=0.1:0.9:0"], r"0\.1:0\.9:0 is no FROM:TO:STEP"),
        ("recserve", ["beta=0:1:0.0000001"], r"more than 20,000 values"),
        ("recserve", ["beta=0:1:0.001", "window=1:100:1"], r"100,100 points of 30 requests are too many"),
        ("recserve", ["beta=0.1", "beta=0.2"], r"beta is given twice"),
        (
            "recserve",
            ["beta=0.1", "beta.device=0.2"],
            r"--set beta\.device: beta is given for all tiers, too",
        ),
        ("recserve", ["beta.device=0.1"], r"no beta for tier edge"),
        ("recserve", ["beta.fog=0.1", "beta.edge=0.1"], r"no tier 'fog'"),
        ("recserve", ["confidence.fog=sigmoid"], r"--set confidence\.fog: no tier 'fog'"),
        ("recserve", ["confidence=1"], r"--set confidence=1: must be the name of a confidence"),
        ("recserve", ["confidence=no.py:C"], r"--set confidence: .*no\.py"),
        ("recserve", ["beta={"], r"is not YAML"),
        ("fog-only", [], r"no tier 'fog' for policy fog-only"),
        ("casserve", [], r"--policy casserve: thresholds: is missing"),
        ("length-router", [], r"--policy length-router: longest: is missing; add it"),
        ("recserve", ["relay=[cloud]"], r"cloud is the top tier and always answers"),
    ],
)
def test_what_no_point_can_be_made_of_is_one_sentence(policy: str, given: list[str], words: str) -> None:
    with pytest.raises(TestbedError, match=words) as refused:
        settings(policy, *given)
    assert "\n" not in str(refused.value)


def test_calibration_is_asked_for_where_a_method_needs_it() -> None:
    without = made_study(30).scenario
    with pytest.raises(TestbedError, match=r"--policy static-quantile: is calibrated before the run"):
        grid(["static-quantile"], [], without, 30)
