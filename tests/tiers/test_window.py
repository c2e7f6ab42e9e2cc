"""The sliding window against numpy, to the last bit that decides."""

from __future__ import annotations

import math
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tiers.window import SlidingWindow, quantile_of_sorted

CONFIDENCES = st.one_of(
    st.floats(0, 1),
    st.sampled_from([0.0, 0.5, 1.0, 0.1, 0.3, math.nextafter(0.5, 0), math.nextafter(0.5, 1)]),
)
BETAS = st.one_of(st.floats(0, 1), st.sampled_from([0.0, 0.05, 0.07, 0.1, 0.29, 0.3, 0.5, 0.57, 0.9, 1.0]))


@given(st.lists(CONFIDENCES, min_size=1, max_size=120), BETAS, st.integers(1, 40))
@settings(max_examples=400)
def test_every_threshold_is_numpys_bit_for_bit_evictions_included(
    values: list[float], beta: float, capacity: int
) -> None:
    window = SlidingWindow(capacity)
    for position, value in enumerate(values, start=1):
        window.append(value)
        expected = float(np.percentile(values[max(0, position - capacity) : position], 100 * beta))
        threshold = window.quantile(beta)
        assert threshold.hex() == expected.hex()
        assert (value < threshold) == (value < expected)


@given(st.lists(st.floats(0, 1), min_size=2, max_size=60), BETAS)
@settings(max_examples=200)
def test_the_quantile_is_the_papers_formula_up_to_rounding(values: list[float], beta: float) -> None:
    ordered = sorted(values)
    rank = beta * (len(values) - 1)
    low, high = ordered[math.floor(rank)], ordered[math.ceil(rank)]
    formula = low + (rank - math.floor(rank)) * (high - low)
    assert quantile_of_sorted(ordered, beta) == pytest.approx(formula, abs=1e-12)


def test_numpys_way_of_interpolating_differs_from_the_plain_formula_and_is_what_we_take() -> None:
    rng = np.random.default_rng(7)
    differing = 0
    for _ in range(2000):
        values = sorted(rng.random(4).tolist())
        beta = float(rng.random())
        rank = beta * 100 / 100 * 3
        low, high = values[math.floor(rank)], values[math.ceil(rank)]
        naive = low + (rank - math.floor(rank)) * (high - low)
        ours = quantile_of_sorted(values, beta)
        assert ours == float(np.percentile(values, beta * 100))
        differing += naive != ours
    assert differing > 20


def test_the_oldest_value_leaves_an_overfull_window() -> None:
    window = SlidingWindow(2)
    for value in (0.9, 0.1, 0.2):
        window.append(value)
    assert len(window) == 2
    assert window.quantile(1.0) == 0.2


def test_ten_thousand_values_take_microseconds_each() -> None:
    window = SlidingWindow(10_000)
    values = np.random.default_rng(1).random(30_000).tolist()
    started = time.perf_counter()
    for value in values:
        window.append(value)
        window.quantile(0.3)
    assert time.perf_counter() - started < 5


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_values_without_a_place_in_the_order_are_refused(value: float) -> None:
    with pytest.raises(ValueError, match="finite"):
        SlidingWindow(3).append(value)


def test_an_empty_window_a_wrong_beta_and_no_capacity_are_refused() -> None:
    with pytest.raises(ValueError, match="empty"):
        SlidingWindow(3).quantile(0.3)
    with pytest.raises(ValueError, match="beta"):
        quantile_of_sorted([0.1], 1.1)
    with pytest.raises(ValueError, match="at least 1"):
        SlidingWindow(0)
