"""Times as traces of others have them: dates, or numbers in a unit."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Literal

TimeUnit = Literal["s", "ms", "us", "ns", "date"]
UNITS: dict[TimeUnit, str] = {
    "s": "seconds",
    "ms": "milliseconds",
    "us": "microseconds",
    "ns": "nanoseconds",
    "date": "dates such as 2023-11-16 18:15:46.680590",
}
_NS = {"s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}
_DATE = re.compile(r"(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:?\d\d)?")
_NUMBER = re.compile(r"[+-]?(\d{1,19}(\.\d{0,30})?|\.\d{1,30})([eE][+-]?\d{1,2})?")
_1970 = datetime(1970, 1, 1, tzinfo=UTC)
MAX_NS = 2**62
_NOTICED_NS = 10 * 10**9
"""Before a trace has lasted so long, a step of a thousand times is nothing strange."""


def is_date(text: str) -> bool:
    """Whether a cell is a date with a time of day."""
    return _DATE.fullmatch(text) is not None


def date_ns(text: str) -> int:
    """Nanoseconds since 1970 of a date, of UTC if it names no zone.

    Raises:
        ValueError: there is no such moment.
    """
    match = _DATE.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is no date such as 2023-11-16 18:15:46.680590")
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
    if not _NUMBER.fullmatch(text):
        if is_date(text):
            raise ValueError(f"{text!r} is a date, not {UNITS[unit]}")
        raise ValueError(f"{text!r} is no number of {UNITS[unit]}")
    number = Decimal(text) * _NS[unit]
    if number < 0:
        raise ValueError(f"{text} is negative")
    if number > MAX_NS:
        raise ValueError(f"{text} {UNITS[unit]} are centuries")
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
        return "a number" if _NUMBER.fullmatch(text) else self._form

    def _follows(self, ns: int, text: str) -> None:
        last_ns = self._last_ns
        rises, falls = last_ns >= _NOTICED_NS and ns > last_ns, ns < last_ns and last_ns >= _NOTICED_NS
        if self.unit != "date" and (
            (rises and 900 * last_ns <= ns <= 1100 * last_ns) or (falls and 900 * ns <= last_ns <= 1100 * ns)
        ):
            raise ValueError(
                f"{text} comes after {self._last}, a step of a thousand times: two units in one file; "
                "write all times in one"
            )
        if ns < last_ns:
            raise ValueError(f"{text} is before the time above, {self._last}; sort the file by time")
