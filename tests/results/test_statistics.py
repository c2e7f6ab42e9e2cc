"""Intervals hold what they promise: against published figures, and by simulation."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from testbed.results.statistics import (
    Interval,
    paired_difference,
    paired_mean_difference,
    percentile,
    share_interval,
)


def table(both: int, only_first: int, only_second: int, neither: int) -> tuple[list[bool], list[bool]]:
    """Two methods' outcomes from the four counts of a paired table."""
    first = [True] * (both + only_first) + [False] * (only_second + neither)
    second = [True] * both + [False] * only_first + [True] * only_second + [False] * neither
    return first, second


def holds(interval: Interval, value: float) -> bool:
    return interval.low <= value <= interval.high


class TestShares:
    def test_wilsons_interval_is_newcombes_example(self) -> None:
        # Newcombe, Statistics in Medicine 1998, 17:857, table I, method 3: 81 of 263.
        assert share_interval(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
        assert share_interval(0, 20) == pytest.approx((0.0, 0.1611), abs=5e-5)

    @given(st.integers(1, 500), st.data())
    def test_an_interval_holds_the_share_itself(self, total: int, data: st.DataObject) -> None:
        successes = data.draw(st.integers(0, total))
        interval = share_interval(successes, total)
        assert -1e-12 <= interval.low <= successes / total + 1e-12
        assert successes / total - 1e-12 <= interval.high <= 1 + 1e-12

    def test_no_sample_has_no_interval(self) -> None:
        with pytest.raises(ValueError, match="n"):
            share_interval(0, 0)


class TestPairedDifferences:
    def test_the_interval_is_the_published_one(self) -> None:
        # Newcombe, Statistics in Medicine 1998, 17:2635, table II, method 10: 36, 12, 2, 0.
        found = paired_difference(*table(36, 12, 2, 0))
        assert found.difference == pytest.approx(-0.2)
        assert found.interval == pytest.approx((-0.3404, -0.0569), abs=5e-5)
        # McNemar, exact: 2 P(B ≤ 2), B of 14 fair tosses.
        assert found.p_value == pytest.approx(2 * (1 + 14 + 91) / 2**14)

    def test_methods_that_agree_everywhere_do_not_differ(self) -> None:
        found = paired_difference(*table(70, 0, 0, 30))
        assert (found.difference, found.p_value) == (0.0, 1.0)
        assert holds(found.interval, 0.0)
        assert found.interval.high - found.interval.low < 0.11

    @given(*[st.integers(0, 60)] * 4)
    def test_swapping_the_methods_swaps_the_signs(self, a: int, b: int, c: int, d: int) -> None:
        if not a + b + c + d:
            return
        one, other = paired_difference(*table(a, b, c, d)), paired_difference(*table(a, c, b, d))
        assert one.difference == pytest.approx(-other.difference)
        assert one.interval == pytest.approx((-other.interval.high, -other.interval.low))
        assert one.p_value == pytest.approx(other.p_value)
        assert -1 - 1e-9 <= one.interval.low <= one.difference <= one.interval.high <= 1 + 1e-9

    def test_pairing_pays_where_methods_mostly_agree(self) -> None:
        paired = paired_difference(*table(150, 2, 12, 36)).interval
        shuffled = paired_difference(*table(123, 29, 39, 9)).interval
        assert paired.high - paired.low < 0.6 * (shuffled.high - shuffled.low)

    def test_it_covers_the_truth_as_often_as_it_says(self) -> None:
        random = np.random.default_rng(7)
        chances = [0.7, 0.06, 0.12, 0.12]
        draws = random.multinomial(200, chances, size=400)
        covered = sum(holds(paired_difference(*table(*map(int, draw))).interval, 0.06) for draw in draws)
        assert covered >= 0.92 * 400

    def test_nothing_to_compare_is_a_defect(self) -> None:
        with pytest.raises(ValueError, match="no requests"):
            paired_difference([], [])
        with pytest.raises(ValueError, match="argument 2 is longer"):
            paired_difference([True], [True, False])

    def test_the_same_latencies_do_not_differ(self) -> None:
        latencies_ms = list(np.random.default_rng(0).exponential(100, size=200))
        assert paired_mean_difference(latencies_ms, latencies_ms) == (0.0, 0.0)

    def test_a_difference_in_latency_is_found_and_repeats(self) -> None:
        random = np.random.default_rng(0)
        first = random.exponential(100, size=200)
        second = first + random.normal(5, 1, size=200)
        interval = paired_mean_difference(list(first), list(second))
        assert interval is not None
        assert 4.5 < interval.low < 5 < interval.high < 5.5
        assert interval == paired_mean_difference(list(first), list(second))

    def test_a_handful_of_pairs_has_no_interval(self) -> None:
        assert paired_mean_difference([1.0] * 9, [2.0] * 9) is None
        with pytest.raises(ValueError, match="cannot be paired"):
            paired_mean_difference([1.0], [1.0, 2.0])


class TestPercentiles:
    @pytest.mark.parametrize("percent", [0, 100, -1])
    def test_a_percentile_is_between_0_and_100(self, percent: float) -> None:
        with pytest.raises(ValueError, match="strictly between"):
            percentile([1.0], percent)

    @pytest.mark.parametrize(("percent", "least"), [(5, 72), (50, 6), (90, 36), (95, 72), (99, 368)])
    def test_a_percentile_has_a_smallest_sample(self, percent: float, least: int) -> None:
        values = [float(value) for value in range(least)]
        assert percentile(values[:-1], percent) is None
        found = percentile(values, percent)
        assert found is not None
        assert holds(found.interval, found.value)

    def test_200_requests_show_p95_and_not_p99(self) -> None:
        latencies_ms = [float(value) for value in range(200)]
        assert percentile(latencies_ms, 95) is not None
        assert percentile(latencies_ms, 99) is None

    def test_the_medians_interval_is_the_tabled_one(self) -> None:
        # Conover, Practical Nonparametric Statistics: n = 10 → x_(2), x_(9); n = 20 → x_(6), x_(15).
        for count, low, high in ((10, 2, 9), (20, 6, 15)):
            found = percentile([float(value) for value in range(1, count + 1)], 50)
            assert found is not None
            assert found.interval == (low, high)

    @pytest.mark.parametrize(("percent", "count"), [(50, 30), (95, 72), (95, 200), (99, 500)])
    def test_it_covers_the_truth_at_least_as_often_as_it_says(self, percent: float, count: int) -> None:
        random = np.random.default_rng(3)
        truth = float(-np.log1p(-percent / 100))
        covered = 0
        for _ in range(600):
            found = percentile(random.exponential(size=count).tolist(), percent)
            assert found is not None
            covered += holds(found.interval, truth)
        assert covered >= 0.93 * 600

    @given(st.lists(st.floats(0, 1e6), min_size=6, max_size=200))
    def test_the_value_is_numpys_and_inside_its_interval(self, values: list[float]) -> None:
        found = percentile(values, 50)
        assert found is not None
        assert found.value == np.percentile(values, 50)
        assert holds(found.interval, found.value)
