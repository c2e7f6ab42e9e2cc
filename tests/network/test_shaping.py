"""What a shape becomes in commands of tc(8), and which shapes are refused."""

from __future__ import annotations

import pytest

from testbed import shaping
from testbed.errors import TestbedError
from testbed.topology import Shape


def test_delay_is_refused_without_netem_and_the_error_says_how_to_get_it() -> None:
    with pytest.raises(TestbedError, match=r"device1-edge1.*no sch_netem.*--vm always"):
        shaping.require(Shape(10**6, delay_ms=10), "device1-edge1", "tbf")


@pytest.mark.parametrize(
    "shape", [Shape(None, delay_ms=1), Shape(None, loss=0.1), Shape(None, duplicate=0.1)]
)
def test_whatever_only_netem_can_do_is_refused_without_it(shape: Shape) -> None:
    with pytest.raises(TestbedError, match="no sch_netem"):
        shaping.require(shape, "a-b", "tbf")


def test_a_rate_alone_needs_no_netem() -> None:
    shaping.require(Shape(10**6), "a-b", "tbf")


@pytest.mark.parametrize("shape", [Shape(None, jitter_ms=1), Shape(None, reorder=0.1)])
def test_jitter_and_reordering_need_a_delay(shape: Shape) -> None:
    with pytest.raises(TestbedError, match="give it a delay"):
        shaping.require(shape, "a-b", "netem")


def test_every_value_is_named_so_that_those_that_go_back_to_0_do() -> None:
    (line,) = shaping.way("i", Shape(10**6))
    assert "delay 0ms loss 0% duplicate 0% rate 0bit" in line
    (line,) = shaping.bottleneck("w", Shape(None), "netem")
    assert "rate 0bit" in line


def test_small_probabilities_are_not_rounded_away() -> None:
    (line,) = shaping.way("i", Shape(10**6, delay_ms=0.125, loss=0.0001, duplicate=0.000_05))
    assert "delay 0.125ms" in line
    assert "loss 0.01%" in line
    assert "duplicate 0.005%" in line


def test_the_way_has_room_for_all_that_is_in_flight() -> None:
    ten_gigabit_a_second = Shape(10**10, delay_ms=1000)
    (line,) = shaping.way("i", ten_gigabit_a_second)
    assert int(line.split("limit ")[1].split()[0]) >= 10**10 / 8 / 60


def test_a_token_bucket_holds_at_most_two_frames_and_its_queue_counts_frames() -> None:
    bucket, queue = shaping.bottleneck("w", Shape(10**6, queue_frames=7), "tbf")
    assert "burst 3028" in bucket
    assert queue.endswith("pfifo limit 7")
