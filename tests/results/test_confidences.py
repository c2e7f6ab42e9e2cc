"""Calibration error by its definition, and confidences by tier."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from testbed.results.confidences import (
    BINS,
    calibration_error,
    calibration_error_by_chance,
    confidence_figures,
)
from testbed.results.scorers import SCORERS

NODES = {"device1": "device", "edge1": "edge", "cloud1": "cloud"}
RIGHT = SCORERS["classification"].right


def by_definition(answers: list[tuple[float, bool]]) -> float:
    """Guo et al., equation 3, one bin after the other."""
    total = 0.0
    for number in range(BINS):
        low, high = number / BINS, (number + 1) / BINS
        inside = [(c, hit) for c, hit in answers if low < c <= high or (c == 0 and number == 0)]
        if inside:
            accuracy = sum(hit for _, hit in inside) / len(inside)
            confidence = sum(c for c, _ in inside) / len(inside)
            total += len(inside) / len(answers) * abs(accuracy - confidence)
    return total


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=80))
def test_the_calibration_error_is_that_of_its_definition(answers: list[tuple[float, bool]]) -> None:
    confidences, right = (np.array(column) for column in zip(*answers, strict=True))
    assert calibration_error(confidences, right) == pytest.approx(by_definition(answers), abs=1e-12)


def test_a_value_on_the_border_of_two_bins_is_in_the_lower_one() -> None:
    borders = np.array([number / BINS for number in range(BINS + 1)])
    right = np.zeros(len(borders), dtype=bool)
    right[[0, 1]] = True
    assert calibration_error(borders, right) == pytest.approx(
        by_definition(list(zip(borders, right, strict=True)))
    )


def test_sure_and_always_right_has_no_error_and_sure_and_always_wrong_is_all_error() -> None:
    sure = np.ones(7)
    assert calibration_error(sure, np.ones(7, dtype=bool)) == 0.0
    assert calibration_error(sure, np.zeros(7, dtype=bool)) == 1.0
    assert calibration_error(np.array([]), np.array([], dtype=bool)) is None
    with pytest.raises(ValueError, match="7 confidences cannot be held against 2 answers"):
        calibration_error(sure, np.ones(2, dtype=bool))


def test_few_answers_have_an_error_by_chance_that_many_do_not_have() -> None:
    """One answer with confidence c has the error 1 - c or c: 2 c (1 - c) on average."""
    assert calibration_error_by_chance(np.array([])) is None
    assert calibration_error_by_chance(np.array([0.8])) == pytest.approx(0.32, abs=0.06)
    many = np.full(40_000, 0.8)
    halves = math.sqrt(0.8 * 0.2 / 40_000) * math.sqrt(2 / math.pi)  # the mean of |normal|
    assert calibration_error_by_chance(many) == pytest.approx(halves, rel=0.15)


def inference_rows() -> list[dict[str, Any]]:
    """40 requests at a device, of which each fourth went up; no prompt or confidence twice."""
    rows = []
    for number in range(40):
        path = ["device1", "edge1"] if number % 4 == 0 else ["device1"]
        rows.append(
            {
                "path": path, "confidences": [0.5 + (7 * number % 40) / 100, 0.9][: len(path)],
                "node_answers": ["positive", "negative"][: len(path)], "reference": "positive",
                "inference_ms": [10.0, 40.0][: len(path)], "prompt_bytes": 100 + number,
            }
        )  # fmt: skip
    return rows


def test_each_tier_has_the_figures_of_all_its_inferences() -> None:
    rows = inference_rows()
    found = confidence_figures(rows, NODES, RIGHT)
    assert {tier: figures["inferences"] for tier, figures in found.items()} == {
        "device": 40, "edge": 10, "cloud": 0
    }  # fmt: skip
    device, edge, cloud = found.values()
    assert (device["inference_ms"], edge["inference_ms"], cloud["inference_ms"]) == (10.0, 40.0, None)
    pairs = [(row["confidences"][0], row["prompt_bytes"]) for row in rows]
    assert device["length_correlation"] == pytest.approx(stats.spearmanr(*zip(*pairs, strict=True)).statistic)
    assert (
        device["length_correlation_ci"][0] < device["length_correlation"] < device["length_correlation_ci"][1]
    )
    assert device["calibration_error"] == pytest.approx(by_definition([(c, True) for c, _ in pairs]))
    assert edge["length_correlation"] is None  # one confidence for all
    assert edge["calibration_error"] == pytest.approx(0.9)
    assert edge["calibration_error_by_chance"] < 0.2
    assert cloud["calibration_error"] is cloud["calibration_error_by_chance"] is None


def test_a_node_that_relayed_made_no_inference() -> None:
    relayed = {**inference_rows()[0], "confidences": [None, 0.9], "node_answers": [None, "positive"]}
    found = confidence_figures([relayed], NODES, RIGHT)
    assert (found["device"]["inferences"], found["edge"]["inferences"]) == (0, 1)


def test_what_is_right_is_the_tasks_own_rule() -> None:
    asked = {**inference_rows()[1], "node_answers": ["so it is 42."], "reference": "6 * 7 = 42 #### 42"}
    for kind, error in (
        ("question", 1 - asked["confidences"][0]),
        ("classification", asked["confidences"][0]),
    ):
        found = confidence_figures([asked], NODES, SCORERS[kind].right)["device"]
        assert found["calibration_error"] == pytest.approx(error)


def test_a_task_without_right_answers_has_no_calibration_error_and_an_older_run_no_lengths() -> None:
    assert SCORERS["translation"].right is SCORERS["generation"].right is None
    translated = confidence_figures(inference_rows(), NODES, None)["device"]
    assert translated["calibration_error"] is translated["calibration_error_by_chance"] is None
    assert translated["length_correlation"] is not None
    older = confidence_figures([{**row, "prompt_bytes": None} for row in inference_rows()], NODES, RIGHT)
    assert older["device"]["length_correlation"] is older["device"]["length_correlation_ci"] is None
    assert older["device"]["calibration_error"] is not None
