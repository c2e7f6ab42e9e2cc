"""What is drawn for a trace: times by their process, devices by their shares."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom, gamma, kstest

from testbed.scenario.draws import arrival_times, device_draws
from testbed.scenario.sections.section import FileContext
from testbed.scenario.sections.trace import Arrivals
from tests import ROOT


def times(count: int, seed: int = 1, **keys: Any) -> list[float]:
    arrivals = Arrivals.model_validate({"rate": 2, **keys}, context=FileContext(ROOT))
    return list(itertools.islice(arrival_times(arrivals, seed), count))


class TestGamma:
    @pytest.mark.parametrize("burstiness", [0.2, 1.0, 3.0])
    def test_gaps_are_of_the_gamma_distribution(self, burstiness: float) -> None:
        gaps = np.diff([0.0, *times(4000, process="gamma", burstiness=burstiness)])
        shape = burstiness**-2
        assert kstest(gaps, gamma(shape, scale=1 / (2 * shape)).cdf).pvalue > 0.001

    @pytest.mark.parametrize("burstiness", [0.01, 0.5, 2.0])
    def test_gaps_vary_as_asked_and_the_rate_is_kept(self, burstiness: float) -> None:
        gaps = np.diff([0.0, *times(20_000, process="gamma", burstiness=burstiness)])
        assert np.mean(gaps) == pytest.approx(0.5, rel=5 * burstiness / math.sqrt(20_000))
        assert np.std(gaps) / np.mean(gaps) == pytest.approx(burstiness, rel=0.1)

    def test_the_burstiest_trace_has_times_all_the_same(self) -> None:
        found = times(1000, process="gamma", burstiness=100)
        assert found == sorted(found)
        assert all(math.isfinite(time) for time in found)


class TestDiurnal:
    def test_the_rate_goes_up_and_down_by_the_swing(self) -> None:
        counts = Counter(
            int(time % 100 // 50) for time in times(20_000, process="diurnal", period="100s", swing="60%")
        )
        # Over the half of a period in which a sine is positive, its mean is 2 / pi.
        low, high = binom.interval(0.9999, 20_000, 0.5 + 0.6 / math.pi)
        assert low <= counts[0] <= high

    def test_over_whole_periods_the_mean_is_the_rate(self) -> None:
        found = times(20_000, process="diurnal", period="10s", swing="100%")
        assert found[-1] == pytest.approx(10_000, rel=5 / math.sqrt(20_000))

    def test_without_swing_it_is_poisson(self) -> None:
        gaps = np.diff([0.0, *times(4000, process="diurnal", period="10s", swing="0%")])
        assert kstest(gaps, "expon", args=(0, 0.5)).pvalue > 0.001


def test_constant_gaps_are_equal_and_uniform_is_their_older_name() -> None:
    assert times(4, process="constant") == times(4, process="uniform") == [0.0, 0.5, 1.0, 1.5]


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 50), st.integers(0, 2**63 - 1), st.sampled_from(["gamma", "diurnal"]))
def test_a_shorter_trace_is_the_beginning_of_a_longer_one(count: int, seed: int, process: str) -> None:
    keys = {"burstiness": 2} if process == "gamma" else {"period": "1min", "swing": "50%"}
    assert times(50, seed, process=process, **keys)[:count] == times(count, seed, process=process, **keys)


class TestDevices:
    def test_zipf_shares_fall_as_powers_of_the_rank(self) -> None:
        names = ["a", "b", "c", "d"]
        counts = Counter(itertools.islice(device_draws(names, 1, zipf=1.5), 20_000))
        total = sum(rank**-1.5 for rank in range(1, 5))
        for rank, name in enumerate(names, start=1):
            low, high = binom.interval(0.9999, 20_000, rank**-1.5 / total)
            assert low <= counts[name] <= high

    def test_one_device_gets_all(self) -> None:
        assert set(itertools.islice(device_draws(["a"], 1, zipf=2), 50)) == {"a"}
