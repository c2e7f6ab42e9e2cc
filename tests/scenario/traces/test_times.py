"""Times of others' traces: dates and numbers, in one unit, in order."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from testbed.scenario.traces.times import Clock, TimeUnit, date_ns, iso_date, number_ns


@pytest.mark.parametrize(
    ("text", "ns"),
    [
        ("1970-01-01 00:00:00", 0),
        ("1970-01-01T00:00:01Z", 10**9),
        ("2023-11-16 18:15:46.6805900", 1_700_158_546_680_590_000),
        ("2024-05-10 00:00:00.009930+00:00", 1_715_299_200_009_930_000),
        ("2024-05-10 02:00:00+02:00", 1_715_299_200_000_000_000),
        ("2024-05-10 02:00:00+0200", 1_715_299_200_000_000_000),
        ("2024-05-10 00:00:00.000000001", 1_715_299_200_000_000_001),
    ],
)
def test_dates_are_read_to_the_nanosecond(text: str, ns: int) -> None:
    assert date_ns(text) == ns


@given(st.datetimes(datetime(1970, 1, 1), datetime(2100, 1, 1)))
def test_any_date_is_what_python_makes_of_it(moment: datetime) -> None:
    since = moment.replace(tzinfo=UTC) - datetime(1970, 1, 1, tzinfo=UTC)
    assert date_ns(moment.isoformat(sep=" ")) == since // timedelta(microseconds=1) * 1000
    assert iso_date(date_ns(moment.isoformat(sep=" "))) == moment.replace(tzinfo=UTC).isoformat(sep=" ")


@pytest.mark.parametrize(
    ("text", "unit", "ns"),
    [
        ("5", "s", 5 * 10**9),
        ("19440110.0", "s", 19_440_110 * 10**9),
        ("5999", "ms", 5_999_000_000),
        ("0.1", "s", 10**8),
        ("1e3", "us", 10**6),
        ("1.5", "ns", 2),
    ],
)
def test_numbers_are_read_exactly_to_the_nanosecond(text: str, unit: TimeUnit, ns: int) -> None:
    assert number_ns(text, unit) == ns


@pytest.mark.parametrize(
    ("unit", "times", "words"),
    [
        ("s", ["5", "4"], "4 is before the time above, 5; sort the file by time"),
        ("s", ["-1"], "-1 is negative"),
        ("s", ["5s"], "'5s' is no number of seconds"),
        ("s", ["nan"], "'nan' is no number of seconds"),
        ("s", ["1e12"], "1e12 seconds are centuries"),
        ("s", ["2023-11-16 18:15:46"], "is a date, not seconds"),
        ("date", ["5"], "'5' is no date such as 2023"),
        ("date", ["2023-02-30 00:00:00"], "is no moment"),
        ("date", ["2023-11-16 18:15:46", "2023-11-16 18:15:47+00:00"], "is a date with a zone, and above"),
        ("date", ["2023-11-16 18:15:46", "1700158547"], "is a number, and above is a date without a zone"),
        (
            "s",
            ["12", "30", "30500"],
            "30500 comes after 30, a step of a thousand times: two units in one file",
        ),
        ("ms", ["20000", "20.5"], "20.5 comes after 20000, a step of a thousand times: two units"),
    ],
)
def test_what_cannot_be_right_is_told(unit: TimeUnit, times: list[str], words: str) -> None:
    clock = Clock(unit)
    for time in times[:-1]:
        clock.read(time)
    with pytest.raises(ValueError, match=r".") as caught:
        clock.read(times[-1])
    assert words in str(caught.value)


def test_a_pause_is_no_other_unit() -> None:
    clock = Clock("ms")
    assert [clock.read(time) for time in ("1", "1000", "1000", "900000")][-1] == 900 * 10**9
