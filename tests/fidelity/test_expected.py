"""What a link must show is arithmetic, and chance has its share."""

from __future__ import annotations

import random
import statistics

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom

from testbed.measure.expected import (
    CHANCE,
    Finding,
    binomial_interval,
    datagrams_for,
    held,
    jitter_bounds,
    loss_seen,
    rate_bounds,
    round_trip_ms,
    serialisation_ms,
    spread_ms,
    time_bounds,
)
from testbed.measure.path import Path
from testbed.measure.rate import rate_groups, unlimited
from testbed.measure.traffic import End, internet_checksum
from testbed.topology import Shape


def path(name: str, up_bps: int | None, down_bps: int | None) -> Path:
    nowhere = End("/proc/self/ns/net", "10.77.0.1")
    return Path(name, Shape(up_bps), Shape(down_bps), nowhere, nowhere, counters=dict)


def test_a_full_frame_at_one_megabit_takes_12_ms() -> None:
    assert serialisation_ms(1514, 1_000_000) == pytest.approx(12.112)
    assert serialisation_ms(1514, None) == 0


def test_a_round_trip_is_both_delays_and_both_serialisations() -> None:
    up, down = Shape(1_000_000, delay_ms=20), Shape(10_000_000, delay_ms=5)
    assert round_trip_ms(up, down, 98) == pytest.approx(20 + 5 + 0.784 + 0.0784)


def test_times_may_differ_by_the_larger_of_2_percent_and_1_ms() -> None:
    assert time_bounds(10, 0, 50) == (9, 11)
    assert time_bounds(100, 0, 50) == (98, 102)
    assert time_bounds(0.1, 0, 50) == (0, 1.1)


def test_jitter_gives_the_median_room_that_more_samples_take_back() -> None:
    few, many = time_bounds(20, 3, 50), time_bounds(20, 3, 5000)
    assert few[1] > many[1] > 21


def test_a_median_with_jitter_stays_in_its_room() -> None:
    chance = random.Random(4)
    low, high = time_bounds(20, 3, 50)
    outside = sum(
        not low <= statistics.median(chance.gauss(20, 3) for _ in range(50)) <= high for _ in range(2000)
    )
    assert outside <= 2000 * CHANCE


def test_measured_jitter_stays_in_its_room_and_half_of_it_does_not() -> None:
    chance = random.Random(5)

    def inside(jitter_ms: float) -> int:
        low, high = jitter_bounds(4, 200)
        spreads = (spread_ms([chance.gauss(30, jitter_ms) for _ in range(200)], 4) for _ in range(500))
        return sum(spread is not None and low <= spread <= high for spread in spreads)

    assert inside(4) >= 499
    assert inside(2) == 0


def test_one_late_datagram_makes_no_jitter() -> None:
    times_ms = [10.0 + 0.01 * (n % 3) for n in range(49)] + [35.0]
    spread = spread_ms(times_ms, 0)
    assert spread is not None
    assert spread < 0.05


def test_a_rate_may_be_off_by_1_percent_and_a_frame() -> None:
    low, high = rate_bounds(20_000_000, 2)
    assert (low, high) == (20e6 - 200_000 - 6056, 20e6 + 200_000 + 6056)


@settings(max_examples=60)
@given(trials=st.integers(1, 4000), probability=st.floats(0.0005, 0.9))
def test_the_binomial_interval_is_the_exact_one(trials: int, probability: float) -> None:
    low, high = binomial_interval(trials, probability)
    assert binom.cdf(low - 1, trials, probability) < CHANCE / 2 + 1e-12
    assert binom.cdf(low, trials, probability) >= CHANCE / 2 - 1e-12
    assert binom.sf(high, trials, probability) < CHANCE / 2 + 1e-12
    assert binom.sf(high - 1, trials, probability) >= CHANCE / 2 - 1e-12


def test_an_impossible_loss_and_a_certain_one_leave_no_room() -> None:
    assert binomial_interval(500, 0) == (0, 0)
    assert binomial_interval(500, 1) == (500, 500)


def test_enough_datagrams_are_sent_to_tell_a_loss_from_none_and_from_three_times_as_much() -> None:
    for loss in (0.005, 0.01, 0.05, 0.2):
        sent = datagrams_for(loss)
        low, high = binomial_interval(sent, loss)
        assert low > 0
        assert binomial_interval(sent, 3 * loss)[0] > high or sent == 4000


def test_a_duplicate_can_stand_in_for_a_loss() -> None:
    assert loss_seen(Shape(None, loss=0.1, duplicate=0.5)) == pytest.approx(0.05)


def test_rates_are_measured_together_as_far_as_the_host_can_carry_them() -> None:
    paths = [path("a", 20, 20), path("b", 100, 100), path("c", None, 150)]
    groups = rate_groups(paths, budget_bps=130)
    named = [[(one.name, direction) for one, direction in group] for group in groups]
    assert named == [[("c", "down")], [("b", "up"), ("a", "up")], [("b", "down"), ("a", "down")]]


def test_a_rate_that_is_unlimited_is_neither_right_nor_wrong() -> None:
    (finding,) = unlimited([path("a", None, 20)])
    assert finding.ok is None
    assert str(finding) == "a (up): rate not measured, it is unlimited"


def test_a_finding_says_what_was_expected() -> None:
    finding = held("device1-edge1", "up", "rate", "bit/s", 1e6, 9e5, (9.9e5, 1.01e6), 150)
    assert finding.ok is False
    assert str(finding) == "device1-edge1 (up): rate 900000 bit/s, expected 990000 to 1.01e+06"


def test_what_was_not_measured_is_not_as_configured() -> None:
    finding: Finding = held("a-b", "both", "round trip", "ms", 20, None, (19, 21), 0, "3 of 50 came back")
    assert finding.ok is False
    assert str(finding) == "a-b: round trip not measured, 3 of 50 came back"


def test_the_checksum_is_the_internets() -> None:
    assert internet_checksum(bytes.fromhex("0001f203f4f5f6f7")) == 0x220D  # RFC 1071, section 3
