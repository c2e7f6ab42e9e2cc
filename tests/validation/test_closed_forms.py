"""What must come out, against values that were computed another way."""

from __future__ import annotations

import math
import random
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from testbed.scenario.topology import Shape
from testbed.validation.queueing import batch_means, lindley_sojourns, mg1_sojourn
from testbed.validation.slow_start import SEGMENT_BYTES, rounds, transfer_ms

SHAPE = Shape(10_000_000, delay_ms=25)


def mm1_sojourn(service: float, load: float) -> float:
    return mg1_sojourn(load / service, service, 2 * service**2)


def md1_sojourn(service: float, load: float) -> float:
    return mg1_sojourn(load / service, service, service**2)


def test_an_mm1_queue_at_load_80_percent_takes_five_services() -> None:
    assert mm1_sojourn(10, 0.8) == pytest.approx(50)
    assert mm1_sojourn(10, 0.3) == pytest.approx(14.2857, abs=1e-4)


def test_an_md1_queue_waits_half_as_long() -> None:
    assert md1_sojourn(10, 0.8) == pytest.approx(30)
    assert md1_sojourn(10, 0.3) == pytest.approx(12.142857, abs=1e-6)
    for load in (0.1, 0.5, 0.9):
        assert md1_sojourn(7, load) - 7 == pytest.approx((mm1_sojourn(7, load) - 7) / 2)


def test_pollaczek_and_khinchine_hold_for_an_erlang_service_as_tabulated() -> None:
    # M/E2/1: W = ρ s (1 + 1/2) / (2 (1 - ρ)); at ρ = 0.5, s = 1 it is 0.75.
    assert mg1_sojourn(0.5, 1.0, 1.5) == pytest.approx(1.75)


@pytest.mark.parametrize(("rate", "mean", "second"), [(1.0, 1.0, 2.0), (0.5, 1.0, 0.9)])
def test_a_queue_without_a_mean_has_no_closed_form(rate: float, mean: float, second: float) -> None:
    with pytest.raises(ValueError, match=r"sojourn|moment"):
        mg1_sojourn(rate, mean, second)


@pytest.mark.parametrize(("exponential", "expected"), [(True, 5.0), (False, 3.0)])
def test_lindleys_recursion_comes_to_the_closed_form(exponential: bool, expected: float) -> None:
    chance = random.Random(3)
    arrivals, at = [], 0.0
    for _ in range(400_000):
        at += chance.expovariate(0.8)
        arrivals.append(at)
    services = [chance.expovariate(1.0) if exponential else 1.0 for _ in arrivals]
    estimate = batch_means(lindley_sojourns(arrivals, services), 40)
    assert estimate.mean == pytest.approx(expected, abs=4 * estimate.standard_error)
    assert estimate.standard_error < 0.05 * expected


def test_lindleys_recursion_by_hand() -> None:
    assert lindley_sojourns([0, 1, 1, 10], [2, 2, 1, 3]) == [2, 3, 4, 3]


def test_batch_means_of_independent_values_have_the_error_of_their_mean() -> None:
    chance = random.Random(4)
    errors = [batch_means([chance.gauss(5, 2) for _ in range(400)], 20).standard_error for _ in range(50)]
    assert statistics.fmean(errors) == pytest.approx(2 / math.sqrt(400), rel=0.15)
    assert batch_means(range(23), 10).mean == pytest.approx(11)


@given(st.integers(1, 10_000), st.integers(1, 50))
def test_rounds_carry_every_segment_and_double(segments: int, window: int) -> None:
    sent = rounds(segments, window)
    assert sum(sent) == segments
    assert sent[:-1] == [window * 2**number for number in range(len(sent) - 1)]
    assert 0 < sent[-1] <= window * 2 ** (len(sent) - 1)


@pytest.mark.parametrize(
    ("size_kb", "expected"), [(1, [1]), (16, [10, 2]), (64, [10, 20, 16]), (256, [10, 20, 40, 80, 32])]
)
def test_the_transfers_that_are_validated_take_one_to_five_rounds(size_kb: int, expected: list[int]) -> None:
    assert rounds(-(-size_kb * 1024 // SEGMENT_BYTES)) == expected


def test_a_transfer_of_one_segment_is_a_handshake_and_one_way() -> None:
    handshake = 50 + 2 * 74 * 8 / 10_000
    assert transfer_ms(1024, SHAPE, SHAPE) == pytest.approx(handshake + 25 + (1024 + 66) * 8 / 10_000)


def test_a_transfer_is_as_long_as_an_event_simulation_of_it() -> None:
    for shape in (
        SHAPE,
        Shape(100_000_000, delay_ms=50),
        Shape(1_000_000, delay_ms=5),
        Shape(20_000_000, delay_ms=25),
    ):
        for size_kb in (1, 5, 16, 64, 256, 1000):
            simulated = simulate_ms(size_kb * 1024, shape)
            assert transfer_ms(size_kb * 1024, shape, shape) == pytest.approx(simulated, rel=0.01), (
                shape,
                size_kb,
            )


def simulate_ms(size_bytes: int, shape: Shape) -> float:
    """Segment by segment: each leaves when the window lets it and the bottleneck is free; the window grows by
    what is acknowledged; the first 16 segments are acknowledged one by one, then every second one."""
    assert shape.rate_bps is not None
    segments = -(-size_bytes // 1448)

    def serialised(count: int) -> float:
        return count * 8e3 / shape.rate_bps if shape.rate_bps else 0.0

    free = 2 * (shape.delay_ms + serialised(74))
    window, sent, acknowledged, delivered = 10, 0, 0, 0.0
    waiting: list[tuple[float, int]] = [(free, 0)]  # when an acknowledgement comes, and of how many in all
    ends: list[float] = []
    while sent < segments:
        at, total = waiting.pop(0)
        window, acknowledged = window + total - acknowledged, total
        while sent < min(segments, acknowledged + window):
            payload = 1448 if sent + 1 < segments else size_bytes - sent * 1448
            free = max(free, at) + serialised(66 + payload)
            sent += 1
            ends.append(free)
            delivered = free + shape.delay_ms
            if sent <= 16 or sent % 2 == 0:
                waiting.append((delivered + shape.delay_ms + serialised(66), sent))
    return delivered
