"""The unit of a trace file's times: seconds or milliseconds from the start, or seconds since 1970."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Literal

Unit = Literal["s", "ms", "epoch"]
MEANING: dict[Unit, str] = {
    "s": "seconds from the start",
    "ms": "milliseconds from the start",
    "epoch": "seconds since 1970",
}
_SINCE_1970_S = (datetime(1990, 1, 1, tzinfo=UTC).timestamp(), datetime(2100, 1, 1, tzinfo=UTC).timestamp())
"""A time in this range is taken for a moment since 1970: from a run's start it would be decades."""
_FINER = {1: "", 10**3: "milli", 10**6: "micro", 10**9: "nano"}


def in_seconds(times: Sequence[float], unit: Unit) -> list[float]:
    """Times in order, as seconds from the start; for ``epoch`` the first one is the start.

    Raises:
        ValueError: they begin at a moment since 1970, and that is not what ``unit`` says.
    """
    first = times[0]
    for factor, finer in _FINER.items():
        if _SINCE_1970_S[0] <= first / factor < _SINCE_1970_S[1] and (factor, unit) != (1, "epoch"):
            day = datetime.fromtimestamp(first / factor, UTC).date()
            divide = "" if factor == 1 else f"divide all by {factor:,} and "
            raise ValueError(
                f"at_s of its first request is {int(first) if first == int(first) else first}; "
                f"is that {day} in {finer}seconds since 1970? {divide}write trace: {{file: …, unit: epoch}}"
            )
    if unit == "ms":
        return [time / 1000 for time in times]
    # To the microsecond: a double of that size has no finer digits.
    return [round(time - first, 6) for time in times] if unit == "epoch" else list(times)
