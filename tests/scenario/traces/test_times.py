"""Times of others' traces: dates and numbers, in one unit, in order."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

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
        ("date", ["5"], "'5' is not a date such as 2023-11-16 18:15:46"),
        ("date", ["2023-02-30 00:00:00"], "is no moment"),
        ("date", ["2023-11-16 18:15:46", "2023-11-16 18:15:47+00:00"], "is a date with a zone, and above"),
        ("date", ["2023-11-16 18:15:46", "1700158547"], "is a number, and above is a date without a zone"),
        (
            "s",
            ["12", "30", "30500"],
            "30500 is 1,017 times the time above, 30: two units in one file; write all",
        ),
        ("s", ["20", "27000"], "27000 is 1,350 times the time above, 20: two units"),
        ("s", ["20", "20500000"], "20500000 is 1,025,000 times the time above, 20: two units"),
        ("s", ["1.5", "1600000000"], "1600000000 is 1,066,666,667 times the time above, 1.5: two units"),
        ("s", ["5", "5100"], "or if it is a pause, remove the few rows above it"),
        (
            "ms",
            ["1700158546000", "1700158546100000"],
            "1700158546100000 milliseconds are centuries; it must be",
        ),
        (
            "ms",
            ["20000", "20.5"],
            "the time above, 20000, is 976 times 20.5: two units in one file, or two files",
        ),
        (
            "ms",
            ["20000000", "20.5"],
            "the time above, 20000000, is 975,610 times 20.5: two units in one file",
        ),
        ("ms", ["20000", "0"], "0 is before the time above, 20000; sort the file by time"),
        ("s", [f"{'1' * 9000}"], "111…' is no number of seconds"),
    ],
)
def test_what_cannot_be_right_is_told(unit: TimeUnit, times: list[str], words: str) -> None:
    clock = Clock(unit)
    for time in times[:-1]:
        clock.read(time)
    with pytest.raises(ValueError, match=r".") as caught:
        clock.read(times[-1])
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("unit", "times"),
    [
        ("ms", ["0", "0", "3000"]),
        ("ms", ["1", "1000", "1000", "890000"]),
        ("s", ["0.0004", "0.9"]),
        ("s", ["5", "45", "118", "39600"]),  # BurstGPT's beginning, and a night
        ("s", ["33", "28833"]),  # eight hours after half a minute
        ("s", ["19440110.0", "19440161.0", "22032161.0"]),  # a month, where the count began long before
        ("ms", ["1700158546000", "1702750546000"]),
        ("date", ["1970-01-01 00:00:20", "1970-01-01 07:30:00"]),
    ],
)
def test_a_pause_is_no_other_unit(unit: TimeUnit, times: list[str]) -> None:
    clock = Clock(unit)
    assert sorted(found := [clock.read(time) for time in times]) == found


@given(
    st.lists(st.integers(1000, 800_000), min_size=2, max_size=30).map(sorted),
    st.integers(1, 29),
    st.sampled_from([10**3, 10**6, 10**9]),
)
def test_whoever_goes_on_in_a_finer_unit_is_noticed_however_long_the_pause(
    times_ms: list[int], coarse: int, finer: int
) -> None:
    coarse = min(coarse, len(times_ms) - 1)
    clock = Clock("s")
    for time_ms in times_ms[:coarse]:
        clock.read(f"{Decimal(time_ms) / 1000:f}")
    with pytest.raises(ValueError, match=r"two units in one file|are centuries"):
        clock.read(f"{Decimal(times_ms[coarse]) / 1000 * finer:f}")
