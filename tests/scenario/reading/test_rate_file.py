"""Rate files in mahimahi's format: opportunities to deliver, their peak, and what is wrong in a file."""

from __future__ import annotations

from bisect import bisect_right
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from testbed.errors import TestbedError
from testbed.scenario.reading.rate_file import PEAK_WINDOW_MS, RateTrace, read_rate_trace
from testbed.scenario.topology import FRAME_BYTES
from tests import ROOT

FRAME_BITS = FRAME_BYTES * 8
OWN = ROOT / "traces" / "up-and-down.mahi"


def written(folder: Path, text: str) -> Path:
    path = folder / "rate.mahi"
    path.write_text(text)
    return path


def test_the_lines_are_the_opportunities_and_the_last_is_the_period(tmp_path: Path) -> None:
    trace = read_rate_trace(written(tmp_path, "0\n1\n1\r\n 250 \n300"))
    assert list(trace.opportunities_ms) == [0, 1, 1, 250, 300]
    assert trace.period_ms == 300


def test_the_peak_is_the_most_in_any_tenth_of_a_second() -> None:
    assert RateTrace(Path("x"), range(1, 1001)).peak_bps == FRAME_BITS * 1000
    assert (
        RateTrace(Path("x"), [10, 20, 100, 150, 150, 200, 200]).peak_bps == FRAME_BITS * 60
    )  # as the file begins again
    assert RateTrace(Path("x"), [1, 100_000]).peak_bps == FRAME_BITS * 20


@given(st.lists(st.integers(0, 3000), min_size=1, max_size=200).map(sorted).filter(lambda ms: ms[-1] > 0))
def test_no_window_has_more_than_the_peak_and_one_has_it(times: list[int]) -> None:
    turns = 2 + PEAK_WINDOW_MS // times[-1]
    played = [turn * times[-1] + ms for turn in range(turns) for ms in times]
    starts = [bisect_right(played, end - PEAK_WINDOW_MS) for end in played]
    ends = [bisect_right(played, end) for end in played if end < times[-1] + PEAK_WINDOW_MS]
    most = max(end - start for start, end in zip(starts, ends, strict=False))
    assert RateTrace(Path("x"), times).peak_bps == FRAME_BITS * 1000 * most // PEAK_WINDOW_MS


def test_the_file_of_this_repository_is_what_its_readme_says() -> None:
    trace = read_rate_trace(OWN)
    assert trace.period_ms == 6000
    assert trace.peak_bps == pytest.approx(7.3e6, rel=0.02)
    gaps_ms = [later - earlier for earlier, later in pairwise(trace.opportunities_ms)]
    assert max(gaps_ms) >= 400


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
