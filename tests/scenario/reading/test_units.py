"""Quantities with units become numbers, and nothing without a unit does."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from testbed.errors import TestbedError
from testbed.scenario.reading.units import (
    duration,
    parse_memory_bytes,
    parse_rate_bps,
    parse_share,
    parse_time_ms,
    parse_time_s,
    write_memory,
    write_rate,
    write_share,
    write_time_ms,
    write_time_s,
)

PARSERS = [parse_rate_bps, parse_time_ms, parse_time_s, parse_share, parse_memory_bytes]


@pytest.mark.parametrize(
    ("parse", "text", "number"),
    [
        (parse_rate_bps, "20mbit", 20_000_000),
        (parse_rate_bps, "1gbit", 1_000_000_000),
        (parse_rate_bps, "500kbit", 500_000),
        (parse_rate_bps, "1.5 Mbit/s", 1_500_000),
        (parse_rate_bps, "8000bit", 8000),
        (parse_time_ms, "10ms", 10.0),
        (parse_time_ms, "1.5s", 1500.0),
        (parse_time_ms, "250us", 0.25),
        (parse_time_ms, "250µs", 0.25),
        (parse_time_ms, "2.3ms", 2.3),
        (parse_time_s, "30s", 30.0),
        (parse_time_s, "500ms", 0.5),
        (parse_time_s, "2min", 120.0),
        (parse_share, "1%", 0.01),
        (parse_share, "0.5 %", 0.005),
        (parse_share, "0%", 0.0),
        (parse_share, "100%", 1.0),
        (parse_memory_bytes, "1GiB", 2**30),
        (parse_memory_bytes, "512MiB", 512 * 2**20),
        (parse_memory_bytes, "1.5GiB", 3 * 2**29),
        (parse_memory_bytes, "500MB", 500_000_000),
    ],
)
def test_a_quantity_is_read_as_written(parse: Callable[[object], float], text: str, number: float) -> None:
    assert parse(text) == number


@pytest.mark.parametrize("parse", PARSERS)
@pytest.mark.parametrize("value", [20, 0, 1.5, "20", " 7 "])
def test_a_number_without_unit_is_refused(parse: Callable[[object], float], value: object) -> None:
    with pytest.raises(TestbedError, match=r"has no unit; write a .* like "):
        parse(value)


@pytest.mark.parametrize("parse", PARSERS)
@pytest.mark.parametrize("value", ["nan", float("nan"), "inf", None, True, "", "ms", [], "--1ms"])
def test_what_is_no_number_is_refused(parse: Callable[[object], float], value: object) -> None:
    with pytest.raises(TestbedError, match=r"is not a .*; write it like "):
        parse(value)


@pytest.mark.parametrize(
    ("parse", "text"),
    [
        (parse_rate_bps, "-1mbit"),
        (parse_time_ms, "-10ms"),
        (parse_time_s, "-0s"),
        (parse_share, "-1%"),
        (parse_memory_bytes, "-1GiB"),
    ],
)
def test_a_negative_quantity_is_refused(parse: Callable[[object], float], text: str) -> None:
    with pytest.raises(TestbedError, match="is negative"):
        parse(text)


@pytest.mark.parametrize(
    ("parse", "text"),
    [
        (parse_rate_bps, "20Mbps"),
        (parse_rate_bps, "1e9mbit"),
        (parse_time_ms, "3 hours"),
        (parse_share, "5‰"),
        (parse_memory_bytes, "1G"),
    ],
)
def test_an_ambiguous_or_unknown_unit_is_refused(parse: Callable[[object], float], text: str) -> None:
    with pytest.raises(TestbedError, match="has no known unit"):
        parse(text)


def test_a_share_above_one_is_refused() -> None:
    with pytest.raises(TestbedError, match="more than 100%"):
        parse_share("100.1%")


@given(st.integers(0, 10**12))
def test_whole_bits_survive_every_prefix(bits: int) -> None:
    assert parse_rate_bps(f"{bits}bit") == bits
    assert parse_rate_bps(f"{bits}kbit") == bits * 1000


@given(st.text(max_size=20))
def test_any_text_gives_a_number_or_a_plain_mistake(text: str) -> None:
    for parse in PARSERS:
        with contextlib.suppress(TestbedError):
            assert parse(text) >= 0


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.2, "1 s"),
        (42, "40 s"),
        (100, "1 min 40 s"),
        (800, "13 min"),
        (5990, "1 h 40 min"),
        (86_400, "1 day"),
        (3 * 86_400 + 7000, "3 days 2 h"),
        (7_200_000, "83 days"),
    ],
)
def test_a_duration_is_rounded_and_in_words(seconds: float, words: str) -> None:
    assert duration(seconds) == words


@pytest.mark.parametrize(
    ("write", "number", "text"),
    [
        (write_rate, 20_000_000, "20mbit"),
        (write_rate, 1_400_000, "1400kbit"),
        (write_rate, 1_234_567, "1234567bit"),
        (write_time_ms, 30.0, "30ms"),
        (write_time_s, 0.0001, "0.0001s"),
        (write_share, 0.01, "1%"),
        (write_share, 0.07, "7%"),
        (write_memory, 2**30, "1024MiB"),
        (write_memory, 500_000_000, "500000kB"),
        (write_memory, 6_291_457, "6291.457kB"),
    ],
)
def test_a_number_is_written_with_its_unit(write: Callable[[float], str], number: float, text: str) -> None:
    assert write(number) == text


@given(
    st.integers(1, 10**11),
    st.floats(1e-9, 1e5),
    st.floats(1e-9, 1),
    st.integers(2**22, 2**44),
)
def test_what_is_written_is_read_back_to_the_last_bit(
    rate_bps: int, time: float, share: float, memory_bytes: int
) -> None:
    assert parse_rate_bps(write_rate(rate_bps)) == rate_bps
    assert parse_time_ms(write_time_ms(time)) == time
    assert parse_time_s(write_time_s(time)) == time
    assert parse_share(write_share(share)) == share
    assert parse_memory_bytes(write_memory(memory_bytes)) == memory_bytes
