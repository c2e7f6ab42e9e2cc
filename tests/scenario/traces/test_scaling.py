"""A part of a recorded trace, at another rate or pace."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from testbed.errors import TestbedError
from testbed.scenario.traces.formats import Arrival
from testbed.scenario.traces.scaling import Part, Scaling, Taken, Taking, checked_scale

SECOND = 10**9


def arrivals(*seconds: float, dated: bool = False) -> list[Arrival]:
    return [Arrival(round(second * SECOND), dated, 10, 5, None) for second in seconds]


def taken(scaling: Scaling, rows: list[Arrival]) -> list[float]:
    return [one.at_ns / SECOND for one in Taking(scaling).take(rows)]


class TestParts:
    def test_a_part_counts_from_the_first_request_and_begins_at_0(self) -> None:
        rows = arrivals(100, 109, 110, 115, 120, 121)
        taking = Taking(Scaling(Part.parse("10s, 20s")))
        assert [one.at_ns / SECOND for one in taking.take(rows)] == [0, 5]
        assert taking.counts == {"read": 4, "before the part": 2}
        assert taking.begins_ns == 110 * SECOND

    def test_a_part_between_dates(self) -> None:
        begins = 1_715_299_200  # 2024-05-10 00:00:00
        rows = arrivals(begins, begins + 60, begins + 61.5, begins + 120, dated=True)
        part = Part.parse("2024-05-10 00:01:00, 2024-05-10 02:02:00+02:00")
        assert taken(Scaling(part), rows) == [0, 1.5]

    def test_dates_of_a_file_without_any(self) -> None:
        part = Part.parse("2024-05-10 00:00:00,2024-05-11 00:00:00")
        with pytest.raises(
            TestbedError, match=r"--between: the file's times are no dates; write 10min,20min"
        ):
            taken(Scaling(part), arrivals(1, 2))

    @pytest.mark.parametrize(
        ("text", "words"),
        [
            ("10min", "has no comma; write 10min,20min or two dates"),
            ("20min,10min", "10min is not after 20min; write the earlier one first"),
            ("10,20", "'10' has no unit"),
            ("0s,2024-05-10 00:00:00", "has a date and a time since the start; write two of one kind"),
            ("2024-02-30 00:00:00,2024-05-10 00:00:00", "is no moment"),
        ],
    )
    def test_what_is_no_part(self, text: str, words: str) -> None:
        with pytest.raises(TestbedError) as caught:
            Part.parse(text)
        assert str(caught.value).startswith("--between: ")
        assert words in str(caught.value)

    def test_why_nothing_is_left_is_told(self) -> None:
        taking = Taking(Scaling(Part.parse("1h,2h")))
        assert list(taking.take(arrivals(0, 60))) == []
        assert (
            taking.nothing_left()
            == "--between: no request is between 1h and 2h; 1 min were read since the first"
        )
        taking = Taking(Scaling(rate_scale=0.001))
        assert list(taking.take(arrivals(0, 60))) == []
        assert taking.nothing_left() == "--rate-scale: no request is left; take a higher one"
        taking = Taking(Scaling())
        assert list(taking.take([Arrival(0, False, 0, 0, None)])) == []
        assert taking.nothing_left() == "no request has a prompt: all are of 0 tokens"


class TestScales:
    def test_time_is_stretched(self) -> None:
        assert taken(Scaling(time_scale=2.5), arrivals(7, 8, 11)) == [0, 2.5, 10]

    def test_a_lower_rate_takes_requests_by_lot_and_leaves_their_times(self) -> None:
        rows = arrivals(*range(10_000))
        found = taken(Scaling(rate_scale=0.25), rows)
        low, high = binom.interval(0.9999, 10_000, 0.25)
        assert low <= len(found) <= high
        assert set(found) <= set(map(float, range(10_000)))
        assert found != taken(Scaling(rate_scale=0.25, seed=2), rows)

    def test_a_higher_rate_adds_copies_before_each_request(self) -> None:
        taking = Taking(Scaling(rate_scale=3))
        found = [one.at_ns / SECOND for one in taking.take(arrivals(10, 20, 40))]
        assert taking.counts == {"read": 3, "copied to raise the rate": 6}
        assert found[:3] == [0, 0, 0]
        assert found[5] == 10
        assert 0 < found[3] < found[4] < 10 < found[6] < found[7] < 30 == found[8]

    @given(
        st.lists(st.integers(0, 1000), min_size=1, max_size=60).map(sorted),
        st.floats(0.01, 5),
        st.floats(0.01, 5),
        st.integers(0, 9),
    )
    def test_times_never_go_back_and_end_as_the_trace_does(
        self, seconds: list[int], rate_scale: float, time_scale: float, seed: int
    ) -> None:
        found = taken(Scaling(None, rate_scale, time_scale, seed), arrivals(*seconds))
        assert found == sorted(found)
        assert all(0 <= at_s <= (seconds[-1] - seconds[0]) * time_scale * (1 + 1e-9) for at_s in found)
        assert rate_scale < 1 or len(found) >= len(seconds)

    def test_a_prompt_of_no_tokens_is_no_request(self) -> None:
        taking = Taking(Scaling())
        rows = [*arrivals(0), Arrival(SECOND, False, 0, 0, None), *arrivals(2)]
        assert list(taking.take(rows)) == [Taken(0, 10, 5, None), Taken(2 * SECOND, 10, 5, None)]
        assert taking.counts["of a prompt of 0 tokens"] == 1

    @pytest.mark.parametrize("scale", [0, -1, float("nan"), float("inf"), 1001])
    def test_what_is_no_scale(self, scale: float) -> None:
        with pytest.raises(TestbedError, match=r"--time-scale: .* is not above 0 and at most 1,000"):
            checked_scale("--time-scale", scale)
