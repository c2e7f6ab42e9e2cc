"""Settings of one policy are a curve where one key differs, and one for each value of any other key."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from testbed.errors import TestbedError
from testbed.results.frontier import Difference, Frontier, Frontiers, Placed, PlacedCurve, QualityAt
from testbed.results.statistics import Estimate, Interval
from testbed.scenario.scenario import load_scenario
from testbed.study.frontiers import MAX_CURVES, Setting, curves_of, too_many, write_frontiers
from tests import SCENARIOS


def recserve(name: str = "recserve", **values: Any) -> Setting:
    return Setting(name, "recserve", {"beta": 0.3, "window": 100, **values})


def named(*settings: Setting) -> dict[str, dict[str, list[int]]]:
    return {
        curve.name: {label: list(places) for label, places in curve.places.items()}
        for curve in curves_of(settings)
    }


def test_the_values_of_one_key_are_one_curve_and_equal_ones_one_point() -> None:
    assert named(recserve(beta=0.1), recserve(beta=0.5), recserve(beta=0.1)) == {
        "recserve": {"beta=0.1": [0, 2], "beta=0.5": [1]}
    }


def test_several_methods_of_one_policy_are_one_curve_by_its_name() -> None:
    found = named(recserve("low", beta=0.1), Setting("cloud-only", "cloud-only", {}), recserve("high"))
    assert found == {"recserve": {"beta=0.1": [0], "beta=0.3": [2]}, "cloud-only": {"": [1]}}
    assert list(named(recserve("mine"), recserve("mine", beta=0.1))) == ["mine"]


def test_of_two_keys_the_one_with_the_most_values_spans_a_curve_for_each_of_the_other() -> None:
    settings = [recserve(beta=beta, window=window) for window in (10, 1000) for beta in (0.1, 0.2, 0.5)]
    assert named(*settings) == {
        "recserve, window=10": {"beta=0.1": [0], "beta=0.2": [1], "beta=0.5": [2]},
        "recserve, window=1000": {"beta=0.1": [3], "beta=0.2": [4], "beta=0.5": [5]},
    }


def test_keys_that_change_together_are_one_curve() -> None:
    found = named(recserve(beta=0.1, window=10), recserve(beta=0.2, window=20))
    assert found == {"recserve": {"beta=0.1, window=10": [0], "beta=0.2, window=20": [1]}}


def test_values_by_tier_are_one_value() -> None:
    thresholds = [{"device": 0.8, "edge": 0.8}, {"device": 0.8, "edge": 0.9}]
    settings = [Setting("casserve", "casserve", {"thresholds": value}) for value in thresholds]
    assert list(named(*settings)["casserve"]) == ["thresholds=0.8", "thresholds={device: 0.8, edge: 0.9}"]


def test_curves_of_one_name_are_told_apart_by_their_policies() -> None:
    settings = [Setting("recserve", "casserve", {}), recserve("a"), recserve("b", beta=0.1)]
    assert list(named(*settings)) == ["recserve (casserve)", "recserve (recserve)"]


def test_a_class_of_the_users_goes_by_its_name() -> None:
    settings = [Setting(name, "/x/own.py:Mine", {"k": name}) for name in ("a", "b")]
    assert list(named(*settings)) == ["Mine"]


def test_a_scenarios_methods_are_what_their_files_say() -> None:
    scenario = load_scenario(SCENARIOS / "recorded.yaml", ["methods.recserve.beta=0.25"])
    settings = [Setting.of(method) for method in scenario.methods]
    assert [setting.policy for setting in settings] == ["device-only", "cloud-only", "recserve"]
    assert (settings[2].values["beta"], settings[2].values["window"]) == (0.25, 10000)
    assert all(setting.values["relay"] == [] for setting in settings)


def test_more_curves_than_can_be_told_apart_are_refused() -> None:
    assert too_many(MAX_CURVES) is None
    assert "8 curves are too many" in str(too_many(MAX_CURVES + 1))


def test_the_file_has_all_that_is_drawn_and_compared(tmp_path: Path) -> None:
    placed = Placed("beta=0.1", Estimate(0.8, Interval(0.7, 0.9)), Estimate(0.1, None), 12.0)
    line = Difference(
        "bytes",
        "a",
        "b",
        0.2,
        (0.2, 0.3),
        0.1,
        Interval(-0.1, math.inf),
        Interval(-math.inf, math.inf),
        0.5,
        1.0,
    )
    one = Frontier(
        "accuracy", 3, {"loss": "1%"}, 9, 8, [1, 2], [PlacedCurve("a", [placed])],
        [QualityAt("a", 0.1, None, "far")], [line], ["few"],
    )  # fmt: skip
    write_frontiers(Frontiers([one], ["left out"]), tmp_path / "frontier.json")
    read = json.loads((tmp_path / "frontier.json").read_text())
    assert read["notes"] == ["left out"]
    (found,) = read["frontiers"]
    assert found["condition"] == {"loss": "1%"}
    assert found["curves"][0]["points"][0] == {
        "label": "beta=0.1",
        "quality": {"value": 0.8, "interval": [0.7, 0.9]},
        "burden": {"value": 0.1, "interval": None},
        "prompt_bytes": 12.0,
    }
    assert found["at"] == [{"method": "a", "share": 0.1, "quality": None, "why": "far"}]
    assert (found["differences"][0]["interval"], found["differences"][0]["together"]) == (
        [-0.1, None],
        [None, None],
    )
    with pytest.raises(TestbedError, match="cannot be written"):
        write_frontiers(Frontiers(()), tmp_path / "nowhere" / "frontier.json")
