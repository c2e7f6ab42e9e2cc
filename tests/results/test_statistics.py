"""Intervals hold what they promise: against published figures, and by simulation."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats
from scipy.signal import lfilter

from testbed.results.statistics import (
    Interval,
    effective_size,
    mean_of_runs,
    mean_of_seeds,
    paired_difference,
    paired_mean_difference,
    percentile,
    rank_correlation,
    ratio_of_means,
    share_interval,
)
from tiers.policies import Place, make_policy


def table(both: int, only_first: int, only_second: int, neither: int) -> tuple[list[bool], list[bool]]:
    """Two methods' outcomes from the four counts of a paired table."""
    first = [True] * (both + only_first) + [False] * (only_second + neither)
    second = [True] * both + [False] * only_first + [True] * only_second + [False] * neither
    return first, second


def holds(interval: Interval, value: float) -> bool:
    return interval.low <= value <= interval.high


LOAD, QUEUED, QUEUES = 0.8, 20_000, 200


def queue(random: np.random.Generator) -> list[float]:
    """Times in an M/M/1 queue in equilibrium, by Lindley's recursion; a service takes 1 on average."""
    warm_up = 2_000
    gaps, services = random.exponential(1 / LOAD, QUEUED + warm_up), random.exponential(1, QUEUED + warm_up)
    walk = np.concatenate([[0], np.cumsum(services[:-1] - gaps[1:])])
    times: list[float] = (walk - np.minimum.accumulate(walk) + services)[warm_up:].tolist()
    return times


def unlike_neighbours(count: int, percent: float = 50) -> list[float]:
    """The numbers from 0 in an order in which neither they nor those below a percentile come in clusters."""
    random, values = np.random.default_rng(0), np.arange(float(count))
    while True:
        random.shuffle(values)
        below = (values < percent / 100 * count).astype(float)
        if effective_size(values) == effective_size(below) == count:
            return values.tolist()


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

    def test_the_means_interval_covers_the_truth_where_requests_queue(self) -> None:
        random = np.random.default_rng(4)
        nothing = [0.0] * QUEUED
        found = [paired_mean_difference(nothing, queue(random)) for _ in range(QUEUES)]
        covered = [holds(interval, 1 / (1 - LOAD)) for interval in found if interval is not None]
        assert sum(covered) >= 0.9 * len(covered) > 0.9 * 150

    def test_of_several_runs_the_means_are_the_units(self) -> None:
        runs = [[1.0, 3.0], [2.0, 3.0, 4.0], [5.0]]
        found = mean_of_runs(runs)
        expected = stats.ttest_1samp([2.0, 3.0, 5.0], 0)
        low, high = expected.confidence_interval(0.95)
        assert found.mean == pytest.approx(10 / 3)
        assert found.p_value == pytest.approx(expected.pvalue)
        assert found.units == "runs"
        assert found.interval == pytest.approx((low, high))

    def test_what_does_not_vary_has_no_p_value_unless_it_is_0(self) -> None:
        assert mean_of_runs([[0.0] * 20]).p_value == 1
        assert mean_of_runs([[2.0] * 20]).p_value is None
        assert mean_of_runs([[2.0] * 5])[1:] == (None, None, "requests")

    def test_the_interval_over_seeds_covers_the_truth_where_one_runs_does_not(self) -> None:
        """Runs of 200 requests that depend on each other, each with what a host adds to all of them."""
        random = np.random.default_rng(8)
        covered = of_one = false = 0
        for _ in range(400):
            noise = lfilter([1], [1, -0.8], random.normal(size=(5, 300)), axis=1)[:, 100:]
            runs = noise + random.normal(0, 1, size=(5, 1)) + 3.0
            several, one = mean_of_runs(list(runs)), mean_of_runs([runs[0]])
            assert several.interval is not None
            covered += holds(several.interval, 3.0)
            of_one += one.interval is not None and holds(one.interval, 3.0)
            p_value = mean_of_runs(list(runs - 3.0)).p_value
            false += p_value is not None and p_value < 0.05
        assert covered >= 0.93 * 400
        assert false <= 0.07 * 400
        assert of_one < 0.75 * 400

    def test_a_handful_of_pairs_has_no_interval(self) -> None:
        assert paired_mean_difference([1.0] * 9, [2.0] * 9) is None
        with pytest.raises(ValueError, match="cannot be paired"):
            paired_mean_difference([1.0], [1.0, 2.0])


def lengths_and_choice(
    random: np.random.Generator, count: int, share: float
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Lengths as prompts have, of which long ones are chosen more often; ``share`` of them on average."""
    log_lengths = random.normal(4.5, 0.5, count)
    chance = 2 * share / (1 + np.exp(-2 * (log_lengths - 4.5)))
    return np.exp(log_lengths), random.random(count) < chance


class TestMeanOfSeeds:
    def test_by_hand(self) -> None:
        found = mean_of_seeds([1.0, 2.0, 3.0])
        reach = 4.302653 / 3**0.5  # Student's quantile for two degrees of freedom, from a table
        assert found.value == 2
        assert found.interval == pytest.approx((2 - reach, 2 + reach))

    def test_one_run_has_no_interval(self) -> None:
        assert mean_of_seeds([7.0]) == (7.0, None)

    def test_it_covers_the_truth_as_often_as_it_says(self) -> None:
        random = np.random.default_rng(1)
        drawn = [mean_of_seeds(random.normal(5, 2, 5).tolist()).interval for _ in range(1000)]
        assert sum(interval is not None and holds(interval, 5) for interval in drawn) == pytest.approx(
            950, abs=25
        )


class TestRatios:
    def test_by_hand(self) -> None:
        found = ratio_of_means(np.array([10.0, 30.0, 20.0]), np.array([False, True, False]))
        assert found == (1.5, None)  # one chosen value has no interval

    def test_nothing_chosen_or_nothing_to_divide_by_has_no_ratio(self) -> None:
        assert ratio_of_means(np.array([10.0, 30.0]), np.array([False, False])) is None
        assert ratio_of_means(np.zeros(20), np.ones(20, dtype=bool)) is None

    def test_all_values_have_the_mean_of_all_values(self) -> None:
        found = ratio_of_means(np.arange(1.0, 31.0), np.ones(30, dtype=bool))
        assert found is not None
        assert found.interval is not None
        assert (found.value, *found.interval) == pytest.approx((1.0, 1.0, 1.0))

    def test_the_interval_is_about_the_bootstraps(self) -> None:
        random = np.random.default_rng(5)
        lengths, chosen = lengths_and_choice(random, 1500, 0.3)
        drawn = random.integers(0, len(lengths), (4000, len(lengths)))
        chosen_again = chosen[drawn]
        means = np.where(chosen_again, lengths[drawn], 0).sum(axis=1) / chosen_again.sum(axis=1)
        low, high = np.quantile(means / lengths[drawn].mean(axis=1), [0.025, 0.975])
        found = ratio_of_means(lengths, chosen)
        assert found is not None
        assert found.interval is not None
        assert found.value == pytest.approx(lengths[chosen].mean() / lengths.mean())
        assert found.interval == pytest.approx((low, high), abs=0.1 * (high - low))

    @pytest.mark.parametrize(("count", "share"), [(100, 0.3), (1000, 0.1)])
    def test_it_covers_the_truth_as_often_as_it_says(self, count: int, share: float) -> None:
        random = np.random.default_rng(6)
        lengths, chosen = lengths_and_choice(random, 2_000_000, share)
        truth = float(lengths[chosen].mean() / lengths.mean())
        found = [ratio_of_means(*lengths_and_choice(random, count, share)) for _ in range(800)]
        intervals = [ratio.interval for ratio in found if ratio and ratio.interval]
        assert len(intervals) > 790
        covered = sum(holds(interval, truth) for interval in intervals) / len(intervals)
        assert 0.92 <= covered <= 0.98

    @pytest.mark.parametrize(("beta", "truth"), [(0.1, 1.450), (0.3, 1.273)])
    def test_it_covers_the_truth_with_decisions_that_depend_on_each_other(
        self, beta: float, truth: float
    ) -> None:
        """600 runs of RecServe over 200 requests. ``truth`` is that of 2,000,000 at their β-quantile."""
        random = np.random.default_rng(2)
        place = Place("device1", "device", ("device", "cloud"))
        covered = 0
        for _ in range(600):
            log_lengths, other = random.normal(size=(2, 200))
            confidences = 1 / (1 + np.exp(0.5 * log_lengths - other))
            policy = make_policy({"policy": "recserve", "beta": beta, "window": 10_000}, place)
            sent = np.array([not policy.decide(float(confidence)).keep for confidence in confidences])
            found = ratio_of_means(np.exp(4.5 + 0.5 * log_lengths), sent)
            assert found is not None
            assert found.interval is not None
            covered += holds(found.interval, truth)
        assert 0.91 <= covered / 600 <= 0.98


def ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Of each value the mean of the places, from 1, that it and its equals have in the order."""
    below, equal = (comparison(values, values[:, None]).sum(axis=1) for comparison in (np.less, np.equal))
    return np.asarray(below + (equal + 1) / 2, dtype=np.float64)


class TestRankCorrelations:
    def test_it_is_pearsons_of_the_ranks_with_ties_shared(self) -> None:
        first = np.array([1, 2, 2, 3, 5, 5, 5, 8, 9, 9], dtype=float)
        second = np.array([2, 1, 4, 4, 3, 6, 5, 9, 9, 7], dtype=float)
        found = rank_correlation(first, second)
        assert found is not None
        assert found.value == pytest.approx(np.corrcoef(ranks(first), ranks(second))[0, 1])

    def test_rising_transforms_change_nothing(self) -> None:
        random = np.random.default_rng(8)
        confidences, lengths = random.random(50), random.integers(10, 300, 50).astype(float)
        found = rank_correlation(confidences, lengths)
        assert found is not None
        assert found == rank_correlation(np.exp(confidences), lengths**3)

    def test_few_pairs_and_equal_values_have_none(self) -> None:
        rising = np.arange(20.0)
        assert rank_correlation(rising[:9], rising[:9]) is None
        assert rank_correlation(rising, np.full(20, 0.98)) is None
        perfect = rank_correlation(rising, -rising)
        assert perfect is not None
        assert perfect.value == pytest.approx(-1)
        with pytest.raises(ValueError, match="20 values cannot be paired with 3"):
            rank_correlation(rising, rising[:3])

    @pytest.mark.parametrize(("count", "correlation"), [(20, 0.0), (60, -0.4), (400, 0.7)])
    def test_it_covers_the_truth_as_often_as_it_says(self, count: int, correlation: float) -> None:
        """Of the bivariate normal, Spearman's is 6/π arcsin(ρ/2) (Pearson, 1907)."""
        truth = 6 / np.pi * np.arcsin(correlation / 2)
        random = np.random.default_rng(9)
        covered = 0
        for _ in range(800):
            first, other = random.normal(size=(2, count))
            found = rank_correlation(first, correlation * first + np.sqrt(1 - correlation**2) * other)
            assert found is not None
            assert found.interval is not None
            covered += holds(found.interval, truth)
        assert 0.93 <= covered / 800 <= 0.98


class TestEffectiveSize:
    def test_independent_values_count_almost_all(self) -> None:
        random = np.random.default_rng(1)
        assert np.mean([effective_size(random.normal(size=1000)) for _ in range(50)]) > 900

    @pytest.mark.parametrize("memory", [0.5, 0.9])
    def test_of_an_autoregression_it_is_the_known_share(self, memory: float) -> None:
        # x(t) = a x(t-1) + noise has τ = (1 + a) / (1 - a).
        values = lfilter([1], [1, -memory], np.random.default_rng(1).normal(size=100_000))
        assert effective_size(values) == pytest.approx(100_000 * (1 - memory) / (1 + memory), rel=0.1)

    def test_values_that_never_change_or_alternate_count_all(self) -> None:
        assert effective_size(np.ones(10)) == 10
        assert effective_size(np.array(unlike_neighbours(101))) == 101
        assert effective_size(np.zeros(0)) == 0


class TestPercentiles:
    @pytest.mark.parametrize("percent", [0, 100, -1])
    def test_a_percentile_is_between_0_and_100(self, percent: float) -> None:
        with pytest.raises(ValueError, match="strictly between"):
            percentile([1.0], percent)

    @pytest.mark.parametrize(("percent", "least"), [(5, 72), (50, 6), (90, 36), (95, 72), (99, 368)])
    def test_a_percentile_has_a_smallest_sample(self, percent: float, least: int) -> None:
        assert percentile(unlike_neighbours(least - 1, percent), percent) is None
        found = percentile(unlike_neighbours(least, percent), percent)
        assert found is not None
        assert holds(found.interval, found.value)

    def test_200_requests_show_p95_and_not_p99(self) -> None:
        latencies_ms = unlike_neighbours(200, 95)
        assert percentile(latencies_ms, 95) is not None
        assert percentile(latencies_ms, 99) is None

    def test_the_medians_interval_is_the_tabled_one(self) -> None:
        # Conover, Practical Nonparametric Statistics: n = 10 → x_(2), x_(9); n = 20 → x_(6), x_(15).
        for count, low, high in ((10, 2, 9), (20, 6, 15)):
            found = percentile(unlike_neighbours(count), 50)
            assert found is not None
            assert found.interval == (low - 1, high - 1)

    @pytest.mark.parametrize(("percent", "count"), [(50, 30), (95, 72), (95, 200), (99, 500)])
    def test_it_covers_the_truth_at_least_as_often_as_it_says(self, percent: float, count: int) -> None:
        random = np.random.default_rng(3)
        truth = float(-np.log1p(-percent / 100))
        found = [percentile(random.exponential(size=count).tolist(), percent) for _ in range(600)]
        covered = [holds(one.interval, truth) for one in found if one is not None]
        assert sum(covered) >= 0.93 * len(covered) > 0.93 * 150

    @pytest.mark.parametrize("percent", [50, 95])
    def test_it_covers_the_truth_where_requests_queue_behind_one_another(self, percent: float) -> None:
        random = np.random.default_rng(4)
        truth = float(-np.log1p(-percent / 100)) / (1 - LOAD)  # the time in an M/M/1 queue is exponential
        found = [percentile(queue(random), percent) for _ in range(QUEUES)]
        covered = [holds(one.interval, truth) for one in found if one is not None]
        assert sum(covered) >= 0.9 * len(covered) > 0.9 * 150

    def test_few_that_queue_show_a_median_and_no_more(self) -> None:
        few = queue(np.random.default_rng(4))[:500]
        assert percentile(few, 50) is not None
        assert percentile(few, 95) is None

    @given(st.lists(st.floats(0, 1e6), min_size=6, max_size=200))
    def test_the_value_is_numpys_and_inside_its_interval(self, values: list[float]) -> None:
        found = percentile(values, 50)
        if found is not None:
            assert found.value == np.percentile(values, 50)
            assert holds(found.interval, found.value)
