"""A rate file in mahimahi's format becomes a step function, and a player follows it on time."""

from __future__ import annotations

import threading
import time
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from testbed.errors import TestbedError
from testbed.rate_trace import LEAST_RATE_BPS, RatePlayer, RateStep, RateTrace, read_rate_trace
from testbed.topology import FRAME_BYTES

FRAME_BITS = FRAME_BYTES * 8
OWN = Path(__file__).parent.parent / "traces" / "up-and-down.mahi"


def written(folder: Path, text: str) -> Path:
    path = folder / "rate.mahi"
    path.write_text(text)
    return path


def test_one_line_a_millisecond_is_a_frame_a_millisecond(tmp_path: Path) -> None:
    for text in ("1\n", "1\n2\n3\n", "1"):
        trace = read_rate_trace(written(tmp_path, text))
        assert trace.steps() == (RateStep(0.0, FRAME_BITS * 1000),)
        assert list(trace.timeline(1000)) == [RateStep(0.0, FRAME_BITS * 1000)]


def test_a_bin_has_the_rate_of_its_opportunities_and_the_file_repeats() -> None:
    trace = RateTrace(Path("x"), [10, 20, 100, 150, 150, 200, 200])
    assert trace.steps() == (RateStep(0.0, FRAME_BITS * 30), RateStep(0.1, FRAME_BITS * 40))
    found = list(trace.timeline(0.45))
    assert [step.rate_bps // FRAME_BITS for step in found] == [30, 40, 30, 40, 30]
    assert [round(step.at_s, 6) for step in found] == [0.0, 0.1, 0.2, 0.3, 0.4]


def test_a_gap_lets_one_frame_through_and_is_never_unlimited() -> None:
    trace = RateTrace(Path("x"), [*range(1, 101), *range(501, 601)])
    assert trace.steps() == (
        RateStep(0.0, FRAME_BITS * 1000),
        RateStep(0.1, round(FRAME_BITS / 0.4)),
        RateStep(0.5, FRAME_BITS * 1000),
    )
    assert RateTrace(Path("x"), [1, 100_000]).steps()[1].rate_bps == LEAST_RATE_BPS == FRAME_BITS


@given(st.lists(st.integers(0, 5000), min_size=1, max_size=300).map(sorted).filter(lambda ms: ms[-1] > 0))
def test_over_a_period_as_many_frames_may_leave_as_the_file_says(times: list[int]) -> None:
    trace = RateTrace(Path("x"), times)
    steps = trace.steps()
    period_s = trace.period_ms / 1000
    ends = [*(step.at_s for step in steps[1:]), period_s]
    frames, leaked = 0.0, 0.0
    for step, end in zip(steps, ends, strict=True):
        length_s = end - step.at_s
        frames += step.rate_bps * length_s / FRAME_BITS
        if step.rate_bps * length_s <= FRAME_BITS * max(1, length_s) * 1.01:  # it may be a gap
            leaked += max(1, length_s)
    assert len(times) - 0.1 <= frames <= len(times) + leaked + 0.1
    assert all(earlier.at_s < later.at_s for earlier, later in pairwise(steps))
    assert all(step.rate_bps >= LEAST_RATE_BPS for step in steps)


def test_the_file_of_this_repository_is_what_its_readme_says() -> None:
    trace = read_rate_trace(OWN)
    rates = [step.rate_bps for step in trace.steps()]
    assert trace.period_ms == 6000
    assert max(rates) == pytest.approx(7.3e6, rel=0.02)
    assert min(rates) == round(FRAME_BITS / 0.4)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "holds no opportunity"),
        ("0\n", "its last line is 0"),
        ("1\n\n2\n", ":2: the line is empty"),
        ("1\nabc\n", ":2: 'abc' is no whole number"),
        ("-1\n", ":1: '-1' is no whole number"),
        ("1.5\n", ":1: '1.5' is no whole number"),
        ("5\n4\n", ":2: 4 is before the line above"),
        ("99999999999\n", ":1: 99999999999 is later than a day"),
        ("9" * 5000, ":1: "),
        ("\u0661\n", ":1: "),
    ],
)
def test_a_wrong_file_is_one_sentence_with_its_line(tmp_path: Path, text: str, sentence: str) -> None:
    with pytest.raises(TestbedError) as caught:
        read_rate_trace(written(tmp_path, text))
    assert sentence in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_a_file_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(TestbedError, match="cannot be read"):
        read_rate_trace(tmp_path / "none.mahi")


def test_the_player_applies_each_step_at_its_time_and_notes_when() -> None:
    applied: list[int] = []
    steps = [RateStep(number * 0.1, number + 1) for number in range(4)]
    with RatePlayer(steps, applied.append) as player:
        player.wait(30)
    assert applied == [step.rate_bps for step in player.played]
    assert len(applied) + player.skipped == 4
    for step in player.played:
        assert step.took_effect_at_s >= step.at_s
        assert step.late_ms == pytest.approx((step.took_effect_at_s - step.at_s) * 1000)


def test_a_player_that_was_held_up_leaves_out_what_is_past() -> None:
    applied: list[int] = []
    steps = [RateStep(number * 0.01, number) for number in range(100)]
    with RatePlayer(steps, applied.append, start_s=time.monotonic() - 10) as player:
        player.wait(30)
    assert applied == [99]
    assert player.skipped == 99
    assert player.played[0].late_ms > 8000


def test_a_player_ends_when_it_is_left_and_tells_what_went_wrong() -> None:
    with RatePlayer([RateStep(3600, 1)], lambda _rate: None) as player:
        pass
    assert player.played == []

    refused = threading.Event()

    def refuse(_rate: int) -> None:
        refused.set()
        raise TestbedError("no such rate")

    player = RatePlayer([RateStep(0, 1), RateStep(0.5, 2)], refuse).start()
    assert refused.wait(30)
    with pytest.raises(TestbedError, match="no such rate"):
        player.stop()
    assert player.played == []
