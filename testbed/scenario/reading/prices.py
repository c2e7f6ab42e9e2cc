"""Prices as people write them (``0.15 $/Mtok``, ``0.04 $/h``, or energy: ``2 J/tok``) to plain numbers."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Literal, NamedTuple

from testbed.errors import TestbedError

UNITS = ("$", "€", "J")
Of = Literal["token", "CPU second"]
_PER: dict[Of, dict[str, int]] = {
    "token": {"tok": 1, "ktok": 1_000, "Mtok": 1_000_000},
    "CPU second": {"s": 1, "h": 3_600},
}
_EXAMPLES: dict[Of, str] = {"token": "0.15 $/Mtok or 2 J/tok", "CPU second": "0.04 $/h or 15 J/s"}
_FORM = re.compile(r"\s*(\d{1,12}(?:\.\d{0,12})?|\.\d{1,12})\s*([^\d\s./]{1,8})\s*/\s*([A-Za-z]{1,8})\s*")


class Price(NamedTuple):
    """What one token or one CPU second costs, and in which unit."""

    amount: float
    unit: str


def parse_price(value: object, of: Of) -> Price:
    """The price of one token (``tok``, ``ktok``, ``Mtok``) or one CPU second (``s``, ``h``).

    Raises:
        TestbedError: not a price of that, or without a unit.
    """
    match = _FORM.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise TestbedError(f"{value!r} is no price of a {of}; write it like {_EXAMPLES[of]}")
    number, unit, per = match.groups()
    if unit not in UNITS:
        raise TestbedError(f"{value!r}: prices are in {', '.join(UNITS)}, not {unit}")
    if per not in _PER[of]:
        raise TestbedError(f"{value!r}: a {of}'s price is per {' or '.join(_PER[of])}, not per {per}")
    return Price(float(Decimal(number) / _PER[of][per]), unit)
