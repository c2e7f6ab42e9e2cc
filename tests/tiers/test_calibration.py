"""Thresholds from a calibration split: what is a quantile of what, and what a guarantee is worth."""

from __future__ import annotations

from fractions import Fraction
from math import comb
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from testbed.results import calibration as audited
from tiers.calibration import Calibration, certified_threshold, most_errors, quantiles
from tiers.errors import ConfigError
from tiers.policies import Place, find_policy, make_policy

TIERS = ("device", "edge", "cloud")


def drawn(rows: int, seed: int) -> Calibration:
    """Answers as right as their models are confident, and a top tier that is right in 97 of 100."""
    draws = np.random.default_rng(seed)
    confidences = {tier: draws.random(rows).tolist() for tier in TIERS[:-1]}
    correct = {tier: (draws.random(rows) < confidences[tier]).tolist() for tier in confidences}
    correct["cloud"] = (draws.random(rows) < 0.97).tolist()
    return Calibration(TIERS, confidences, correct)


def as_recorded(calibration: Calibration) -> dict[str, Any]:
    """The same as ``calibration.json`` has it."""
    rows = len(calibration.correct["cloud"])
    answers = {
        tier: [
            {"answer": "yes" if right else "no", "confidence": confidence}
            for right, confidence in zip(
                calibration.correct[tier], calibration.confidences.get(tier, [1.0] * rows), strict=True
            )
        ]
        for tier in calibration.tiers
    }
    return {
        "rows": [{"row": row} for row in range(rows)],
        "references": ["yes"] * rows,
        "tiers": {tier: {"answers": given} for tier, given in answers.items()},
    }


def test_a_tiers_quantile_is_of_the_rows_that_the_tiers_below_send_up() -> None:
    calibration = drawn(500, seed=1)
    device, edge = (np.array(calibration.confidences[tier]) for tier in TIERS[:-1])
    found = quantiles(calibration, lambda tier: 0.3 if tier == "device" else 0.2)
    assert found["device"].threshold == float(np.percentile(device, 30))
    sent = edge[device < found["device"].threshold]
    assert found["edge"].threshold == float(np.percentile(sent, 20))
    assert found["edge"].confidences == sent.tolist()
    assert len(sent) == 150


def test_too_few_rows_for_a_tier_are_refused() -> None:
    with pytest.raises(ValueError, match="only 9 of 30 calibration rows reach tier edge, and it takes 10"):
        quantiles(drawn(30, seed=1), lambda _: 0.3)


@pytest.mark.parametrize(("accuracy", "confidence"), [(0.9, 0.95), (0.8, 0.99), (0.5, 0.9)])
@pytest.mark.parametrize("rows", [1, 20, 29, 100, 250])
def test_the_most_errors_are_those_of_the_exact_binomial(
    rows: int, accuracy: float, confidence: float
) -> None:
    right = Fraction(accuracy).limit_denominator(100)
    tail, most = Fraction(0), -1
    for wrong in range(rows + 1):
        tail += comb(rows, wrong) * (1 - right) ** wrong * right ** (rows - wrong)
        if tail > 1 - Fraction(confidence).limit_denominator(100):
            break
        most = wrong
    assert most_errors(rows, accuracy, confidence) == most


def test_a_guarantee_is_kept_as_often_as_it_says_however_few_the_rows() -> None:
    """The device alone below the cloud: at threshold t the accuracy is 0.97 t + (1 - t²) / 2."""
    broken, looser, runs = 0, 0, 400
    for seed in range(runs):
        both = drawn(120, seed)
        calibration = Calibration(("device", "cloud"), both.confidences, both.correct)
        try:
            threshold = certified_threshold(calibration, 0.9, 0.9)
        except ValueError:
            continue  # nothing is claimed
        looser += threshold < 1
        broken += 0.97 * threshold + (1 - threshold**2) / 2 < 0.9
    assert broken / runs <= 0.1 + 3 * (0.1 * 0.9 / runs) ** 0.5
    assert looser > runs / 3


def test_what_cannot_be_shown_is_refused() -> None:
    with pytest.raises(ValueError, match=r"0\.99 at confidence 0\.95 cannot be shown: \d+ of 200"):
        certified_threshold(drawn(200, seed=1), 0.99, 0.95)


@settings(max_examples=30)
@given(st.integers(0, 10_000), st.integers(40, 120), st.sampled_from([0.0, 0.5, 0.6, 0.8]))
def test_the_audit_finds_the_same_by_other_code(seed: int, rows: int, accuracy: float) -> None:
    calibration = drawn(rows, seed)
    recorded = as_recorded(calibration)
    frozen = audited.frozen_quantiles(recorded, TIERS[:-1], lambda _: 0.5)
    assert frozen == {
        tier: (found.threshold, found.confidences)
        for tier, found in quantiles(calibration, lambda _: 0.5).items()
    }
    shown = audited.certified_threshold(recorded, TIERS, accuracy, 0.9)
    if shown is None:
        with pytest.raises(ValueError, match="cannot be shown"):
            certified_threshold(calibration, accuracy, 0.9)
    else:
        assert certified_threshold(calibration, accuracy, 0.9) == shown


@pytest.mark.parametrize(
    ("method", "given"),
    [
        ({"policy": "static-quantile", "beta": 0.3}, "thresholds"),
        ({"policy": "casserve", "calibrate": {"share": 0.3}}, "thresholds"),
        ({"policy": "casserve", "calibrate": {"accuracy": 0.6, "confidence": 0.9}}, "thresholds"),
        ({"policy": "recserve", "beta": 0.3, "window": 9, "start": "prefilled"}, "prefill"),
    ],
)
def test_a_node_takes_what_was_calibrated_and_nothing_less(method: dict[str, Any], given: str) -> None:
    policy = find_policy(method["policy"])
    place = Place("edge1", "edge", TIERS)
    assert policy.calibration_needs(method) is not None
    with pytest.raises(ConfigError):
        make_policy(method, place)
    found = policy.calibrated(method, drawn(200, seed=3))
    assert set(found) == {given}
    decision = make_policy({**method, **found}, place).decide(0.0)
    assert decision.threshold is not None
    assert not decision.keep
    make_policy({**method, **found}, Place("cloud1", "cloud", TIERS))


def test_a_prefilled_window_is_full_from_the_first_request_on() -> None:
    method = {"policy": "recserve", "beta": 0.5, "window": 5, "start": "prefilled"}
    prefill = {"device": [0.1, 0.2, 0.3, 0.4, 0.5, 0.6], "edge": [0.9]}
    policy = make_policy({**method, "prefill": prefill}, Place("device1", "device", TIERS))
    decision = policy.decide(0.35)
    assert (decision.window_seq, decision.window_length) == (0, 5)
    assert decision.threshold == float(np.percentile([0.3, 0.4, 0.5, 0.6, 0.35], 50))
