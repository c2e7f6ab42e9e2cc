"""Quantities as people write them (``20mbit``, ``30ms``, ``1%``, ``1.5GiB``) to plain numbers.

General unit libraries do not fit: to them ``m`` is milli, so that ``20mbit``, tc's way of writing 20 Mbit/s,
becomes 0.02 bit. Here each quantity has its own short list of units, letter case does not matter, and what
is ambiguous in this field (``Mbps`` is bytes to tc and bits to most people) is refused.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal

from testbed.errors import TestbedError

_NUMBER_AND_UNIT = re.compile(r"\s*([+-]?(?:\d{1,18}(?:\.\d{0,40})?|\.\d{1,40}))\s*([^\d\s.+-]\S{0,9})?\s*")


@dataclass(frozen=True)
class _Quantity:
    """A kind of quantity: its units with their factors, and how it is written."""

    name: str
    factors: dict[str, Decimal]
    examples: str

    def parse(self, value: object) -> Decimal:
        """Value in base units.

        Raises:
            TestbedError: not a number, negative, or without a known unit.
        """
        match = _NUMBER_AND_UNIT.fullmatch(str(value))
        if isinstance(value, bool) or not isinstance(value, int | float | str) or match is None:
            raise TestbedError(f"{value!r} is not a {self.name}; write it like {self.examples}")
        number, unit = match.groups()
        if unit is None:
            raise TestbedError(f"{value!r} has no unit; write a {self.name} like {self.examples}")
        factor = self.factors.get(unit.casefold())
        if factor is None:
            raise TestbedError(f"{value!r} has no known unit of a {self.name}; write it like {self.examples}")
        if number.startswith("-"):
            raise TestbedError(f"{value!r} is negative; write a {self.name} like {self.examples}")
        return Decimal(number) * factor

    @property
    def pattern(self) -> str:
        """A regular expression, as JSON Schema has them, of what :meth:`parse` takes."""
        units = "|".join(
            "".join(f"[{sign}{sign.upper()}]" if sign.isalpha() else sign for sign in unit)
            for unit in sorted(self.factors, key=len, reverse=True)
        )
        return rf"^\s*\+?(\d+(\.\d*)?|\.\d+)\s*({units})\s*$"


_BITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9}
_RATE = _Quantity(
    "rate",
    {
        f"{prefix}{unit}": Decimal(factor)
        for prefix, factor in _BITS.items()
        for unit in ("bit", "bit/s", "bits/s")
    },
    "500kbit, 20mbit or 1.5 Mbit/s",
)
_MILLISECONDS = {
    "us": "0.001",
    "\N{GREEK SMALL LETTER MU}s": "0.001",
    "ms": "1",
    "s": "1000",
    "min": "60000",
    "h": "3600000",
}
_TIME_MS = _Quantity("time", {unit: Decimal(ms) for unit, ms in _MILLISECONDS.items()}, "10ms or 1.5s")
_SHARE = _Quantity("share", {"%": Decimal("0.01")}, "1% or 0.5 %")
_MEMORY = _Quantity(
    "memory size",
    {
        f"{prefix}{unit}": Decimal(base**power)
        for unit, base in (("ib", 1024), ("b", 1000))
        for power, prefix in enumerate("kmgt", 1)
    },
    "512MiB or 1.5GiB",
)


def parse_rate_bps(value: object) -> int:
    """Bits per second of a rate such as ``20mbit``; prefixes are powers of 1000, as in tc(8).

    Raises:
        TestbedError: not a rate, negative, or without a unit.
    """
    return round(_RATE.parse(value))


def parse_time_ms(value: object) -> float:
    """Milliseconds of a time such as ``10ms`` or ``1.5s``.

    Raises:
        TestbedError: not a time, negative, or without a unit.
    """
    return float(_TIME_MS.parse(value))


def parse_time_s(value: object) -> float:
    """Seconds of a time such as ``30s`` or ``500ms``.

    Raises:
        TestbedError: not a time, negative, or without a unit.
    """
    return float(_TIME_MS.parse(value) / 1000)


def parse_share(value: object) -> float:
    """Share in [0, 1] of a percentage such as ``1%``.

    Raises:
        TestbedError: not a percentage, negative, above 100 %, or without a unit.
    """
    share = _SHARE.parse(value)
    if share > 1:
        raise TestbedError(f"{value!r} is more than 100%; write a share like 1% or 0.5 %")
    return float(share)


def parse_memory_bytes(value: object) -> int:
    """Bytes of a memory size such as ``512MiB`` (1024²) or ``500MB`` (1000²).

    Raises:
        TestbedError: not a memory size, negative, or without a unit.
    """
    return round(_MEMORY.parse(value))


def written_like(parse: Callable[[object], float]) -> tuple[str, str]:
    """A pattern of what one of these functions takes, and examples of it."""
    quantity = _OF[parse]
    return quantity.pattern, f"a {quantity.name}: {quantity.examples}"


_OF: dict[Callable[[object], float], _Quantity] = {
    parse_rate_bps: _RATE,
    parse_time_ms: _TIME_MS,
    parse_time_s: _TIME_MS,
    parse_share: _SHARE,
    parse_memory_bytes: _MEMORY,
}


def write_rate(bps: int) -> str:
    """A rate as :func:`parse_rate_bps` reads it back, in the largest unit that needs no point."""
    prefix = next(prefix for prefix in ("g", "m", "k", "") if bps % _BITS[prefix] == 0)
    return f"{bps // _BITS[prefix]}{prefix}bit"


def write_time_ms(time_ms: float) -> str:
    """A time as :func:`parse_time_ms` reads it back."""
    return f"{_plain(time_ms)}ms"


def write_time_s(time_s: float) -> str:
    """A time as :func:`parse_time_s` reads it back."""
    return f"{_plain(time_s)}s"


def write_share(share: float) -> str:
    """A share as :func:`parse_share` reads it back."""
    return f"{_plain(share, 100)}%"


def write_memory(size_bytes: int) -> str:
    """A memory size as :func:`parse_memory_bytes` reads it back."""
    mib, rest = divmod(size_bytes, 2**20)
    return f"{_plain(size_bytes / 1000)}kB" if rest else f"{mib}MiB"


def _plain(number: float, factor: int = 1) -> str:
    """All digits of a number, without an exponent."""
    return f"{(Decimal(repr(number)) * factor).normalize():f}"


_STEPS_S = {20: 1, 60: 5, 600: 10, 6000: 60, 2 * 86_400: 600, 10 * 86_400: 3600, math.inf: 86_400}
"""Below how many seconds a duration is rounded to how many."""


def duration(seconds: float) -> str:
    """A time for people, such as ``1 min 40 s``, ``2 h 10 min`` or ``83 days``, rounded."""
    step_s = next(step_s for below_s, step_s in _STEPS_S.items() if seconds < below_s)
    rest_s = max(1, round(seconds / step_s)) * step_s
    parts = []
    for unit_s, unit in ((86_400, "days"), (3600, "h"), (60, "min"), (1, "s")):
        count, rest_s = divmod(rest_s, unit_s)
        if count:
            parts.append(f"{count} {unit}" if (count, unit) != (1, "days") else "1 day")
    return " ".join(parts)
