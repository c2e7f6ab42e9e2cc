"""A curve is straight between its points, and the least burden of a quality is where it is first reached."""

from __future__ import annotations

import numpy as np
import pytest

from testbed.results.tradeoff import above_at_start, by_burden, least_burden, quality_at

BURDENS = np.array([0.1, 0.2, 0.4, 0.8])
QUALITIES = np.array([0.60, 0.80, 0.70, 0.90])


@pytest.mark.parametrize(
    ("share", "quality"), [(0.1, 0.6), (0.15, 0.7), (0.2, 0.8), (0.3, 0.75), (0.6, 0.8), (0.8, 0.9)]
)
def test_quality_lies_on_the_line_between_neighbours(share: float, quality: float) -> None:
    assert quality_at(BURDENS, QUALITIES, share) == pytest.approx(quality)


def test_beyond_its_ends_a_curve_is_level() -> None:
    assert [quality_at(BURDENS, QUALITIES, share) for share in (0.05, 0.9)] == [0.6, 0.9]


@pytest.mark.parametrize(
    ("wanted", "share"), [(0.5, 0.1), (0.6, 0.1), (0.7, 0.15), (0.8, 0.2), (0.85, 0.7), (0.91, np.inf)]
)
def test_the_least_burden_is_where_a_quality_is_first_reached(wanted: float, share: float) -> None:
    assert least_burden(BURDENS, QUALITIES, wanted) == pytest.approx(share)


def test_a_quality_is_reached_where_the_curve_itself_has_it() -> None:
    rising = np.maximum.accumulate(QUALITIES)
    for share in np.linspace(0.1, 0.2, 11):
        assert least_burden(BURDENS, rising, quality_at(BURDENS, rising, share)) == pytest.approx(share)


def test_better_at_the_start_than_wanted_is_told_from_as_good() -> None:
    assert [bool(above_at_start(QUALITIES, wanted)) for wanted in (0.5, 0.6, 0.7)] == [True, False, False]


def test_every_resample_has_its_own_order() -> None:
    burdens, qualities = by_burden(np.array([[0.2, 0.1], [0.1, 0.3]]), np.array([[0.9, 0.5], [0.4, 0.8]]))
    assert burdens.tolist() == [[0.1, 0.2], [0.1, 0.3]]
    assert qualities.tolist() == [[0.5, 0.9], [0.4, 0.8]]
    assert quality_at(burdens, qualities, 0.15) == pytest.approx([0.7, 0.5])
    assert least_burden(burdens, qualities, np.array([0.7, 0.9])) == pytest.approx([0.15, np.inf])


def test_points_of_one_burden_are_no_division_by_zero() -> None:
    burdens, qualities = by_burden(np.array([0.1, 0.1, 0.1]), np.array([0.7, 0.5, 0.6]))
    assert quality_at(burdens, qualities, 0.1) == 0.7
    assert least_burden(burdens, qualities, 0.65) == pytest.approx(0.1)
