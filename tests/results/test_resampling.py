"""Resampled sums are of whole clusters, and their intervals and p-values what ranks say."""

from __future__ import annotations

import numpy as np
import pytest

from testbed.results.resampling import by_prompt, interval, intervals_together, p_value, resampled
from testbed.results.statistics import mean_interval


def test_a_resample_is_of_as_many_whole_prompts() -> None:
    rows = by_prompt(np.array([[1.0, 10.0], [1.0, 20.0], [1.0, 40.0]]), ["b", "a", "a"])
    assert rows.tolist() == [[2, 60], [1, 10]]
    sums = resampled(rows, 50, seed=1)
    assert sums.shape == (50, 2)
    assert {tuple(row) for row in sums.tolist()} == {(2, 20), (3, 70), (4, 120)}
    assert (resampled(rows, 50, seed=1) == sums).all()
    assert (resampled(rows, 50, seed=2) != sums).any()


def test_the_interval_of_a_mean_is_about_students() -> None:
    values = np.random.default_rng(3).normal(5, 2, 400)
    sums = resampled(values[:, np.newaxis], 4000)
    expected = mean_interval(values.tolist())
    assert expected is not None
    assert interval(sums[:, 0] / 400) == pytest.approx(tuple(expected), abs=0.03)


def test_ends_beyond_all_bounds_are_infinite() -> None:
    values = np.array([-np.inf] * 5 + list(range(90)) + [np.inf] * 5, dtype=float)
    assert interval(values) == (-np.inf, np.inf)
    assert interval(np.array([-np.inf, *range(98), np.inf], dtype=float)) == (0, 97)


def test_a_p_value_is_the_level_at_which_the_interval_leaves_out_0() -> None:
    values = np.arange(-24.0, 975.0)  # 25 of 999 are no more than 0
    assert p_value(values) == pytest.approx(2 * 26 / 1000)
    assert p_value(-values) == p_value(values)
    assert p_value(np.zeros(999)) == 1
    assert p_value(np.full(999, np.inf)) == pytest.approx(2 / 1000)


def test_intervals_together_hold_95_percent_of_the_resamples_and_no_fewer() -> None:
    chance = np.random.default_rng(5)
    values = chance.normal(size=(4000, 1)) * 0.7 + chance.normal(size=(4000, 6))
    values[:, 5] = np.exp(values[:, 5])
    found = intervals_together(values)
    inside = np.all(
        [(low <= col) & (col <= high) for (low, high), col in zip(found, values.T, strict=True)], 0
    )
    assert 0.95 <= inside.mean() < 0.96
    alone = [interval(column) for column in values.T]
    assert all(wide.low < one.low and one.high < wide.high for wide, one in zip(found, alone, strict=True))


def test_one_line_alone_or_several_alike_have_together_what_each_has_alone() -> None:
    values = np.random.default_rng(6).normal(size=(4000, 1))
    (together,) = intervals_together(values)
    assert together == pytest.approx(tuple(interval(values[:, 0])))
    assert intervals_together(np.hstack([values] * 3)) == [together] * 3
