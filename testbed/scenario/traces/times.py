"""Times as traces of others have them: dates, or numbers in a unit."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Literal

from testbed.scenario.reading.cells import shown

TimeUnit = Literal["s", "ms", "us", "ns", "date"]
UNITS: dict[TimeUnit, str] = {
    "s": "seconds",
    "ms": "milliseconds",
    "us": "microseconds",
    "ns": "nanoseconds",
    "date": "dates such as 2023-11-16 18:15:46.680590",
}
_A_DATE = "a date such as 2023-11-16 18:15:46.680590"
_NS = {"s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}
_DATE = re.compile(r"(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:?\d\d)?")
_NUMBER = re.compile(r"[+-]?(\d{1,19}(\.\d{0,30})?|\.\d{1,30})([eE][+-]?\d{1,2})?")
_1970 = datetime(1970, 1, 1, tzinfo=UTC)
MAX_NS = 2**62
_LEAP = 900
"""A unit is a thousand of the next finer one, or somewhat less if the last time before was rounded up."""
_NOTICED_NS = 10**9
"""Within the first second of a file, the next request may well be so many times as late."""


def is_date(text: str) -> bool:
    """Whether a cell is a date with a time of day."""
    return _DATE.fullmatch(text) is not None


def is_number(text: str) -> bool:
    """Whether a cell is a number such as those that times are."""
    return _NUMBER.fullmatch(text) is not None


def plain_unit(text: str) -> TimeUnit:
    """The unit of a time that says it itself: a date does, a number does not.

    Raises:
        ValueError: it is no date.
    """
    if is_date(text):
        return "date"
    if not is_number(text):
        raise ValueError(f"{shown(text)} is neither a number nor {_A_DATE}; write one of these")
    units = ", ".join(unit for unit in UNITS if unit != "date")
    raise ValueError(f"in which unit is {text}? give --unit, one of {units}")


def date_ns(text: str) -> int:
    """Nanoseconds since 1970 of a date, of UTC if it names no zone.

    Raises:
        ValueError: there is no such moment.
    """
    match = _DATE.fullmatch(text)
    if match is None:
        raise ValueError(f"{shown(text)} is not {_A_DATE}")
    day, clock, fraction, zone = match.groups()
    try:
        moment = datetime.fromisoformat(f"{day} {clock}{(zone or 'Z').replace('Z', '+00:00')}")
    except ValueError as error:
        raise ValueError(f"{text!r} is no moment ({error})") from None
    return (moment - _1970) // timedelta(seconds=1) * 10**9 + int((fraction or "").ljust(9, "0"))


def iso_date(ns: int) -> str:
    """The date of nanoseconds since 1970, of UTC and to the microsecond."""
    return (_1970 + timedelta(microseconds=ns // 1000)).isoformat(sep=" ")


def number_ns(text: str, unit: TimeUnit) -> int:
    """Nanoseconds of a number in a unit, rounded.

    Raises:
        ValueError: it is no number, negative, or beyond centuries.
    """
    if not is_number(text):
        if is_date(text):
            raise ValueError(f"{text!r} is a date, not {UNITS[unit]}")
        raise ValueError(f"{shown(text)} is no number of {UNITS[unit]}")
    number = Decimal(text) * _NS[unit]
    if number < 0:
        raise ValueError(f"{text} is negative")
    if number > MAX_NS:
        raise ValueError(f"{text} {UNITS[unit]} are centuries; it must be of another unit")
    return int(number.to_integral_value(ROUND_HALF_EVEN))


class Clock:
    """Reads the times of a file one after the other, and notices when they cannot be right."""

    def __init__(self, unit: TimeUnit) -> None:
        self.unit = unit
        self._form = ""
        self._last: str | None = None
        self._last_ns = 0

    def read(self, text: str) -> int:
        """Nanoseconds of the next time: since 1970 for a date, else from where the file counts.

        Raises:
            ValueError: it is of another form or unit than those before, or goes back.
        """
        form = self._form_of(text)
        if self._form and form != self._form:
            raise ValueError(f"{text!r} is {form}, and above is {self._form}: two units in one file")
        ns = date_ns(text) if self.unit == "date" else number_ns(text, self.unit)
        if self._last is not None:
            self._follows(ns, text)
        self._form, self._last, self._last_ns = form, text, ns
        return ns

    def _form_of(self, text: str) -> str:
        """What kind of time it is; of what is none at all, that of the others, for it is refused as such."""
        if match := _DATE.fullmatch(text):
            return "a date with a zone" if match.group(4) else "a date without a zone"
        return "a number" if is_number(text) else self._form

    def _follows(self, ns: int, text: str) -> None:
        """Refuse a time that goes back or, among numbers, leaps.

        Times count from one moment. Whoever goes on in a finer unit multiplies all that was counted so far by
        a thousand or more, however long the pause; in a coarser one, times go back.
        """
        last_ns = self._last_ns
        counted = self.unit != "date" and last_ns >= _NOTICED_NS
        if counted and ns >= _LEAP * last_ns:
            raise ValueError(
                f"{text} is {ns / last_ns:,.0f} times the time above, {self._last}: two units in one "
                "file; write all times in one, or if it is a pause, remove the few rows above it"
            )
        if counted and 0 < _LEAP * ns <= last_ns:
            raise ValueError(
                f"the time above, {self._last}, is {last_ns / ns:,.0f} times {text}: two units in one "
                "file, or two files; write all times in one unit, in order"
            )
        if ns < last_ns:
            raise ValueError(f"{text} is before the time above, {self._last}; sort the file by time")
