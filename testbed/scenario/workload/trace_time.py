"""How long a trace lasts, and where nothing happens in it: what is hard to believe is asked or noted."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

from testbed.errors import TestbedError
from testbed.scenario.reading.units import duration
from testbed.scenario.workload.trace_file import Request

ASKED_ABOVE_S = 60
"""The longest trace whose unit need not be given: in milliseconds it would be one of 60 ms."""
MAX_DAYS = 366
PAUSE_S = 600
"""The longest time without a request that is not noted."""
_DAY_S = 86_400


IN_A_SCENARIO = ("trace: {file: …, unit: ms}", "unit: s")
"""How milliseconds are said there, and how seconds."""


def require_believable(
    trace: Sequence[Request], path: Path, *, unit_is_given: bool, mend: tuple[str, str] = IN_A_SCENARIO
) -> None:
    """Ask in which unit a trace is whose file does not say so: in milliseconds, a run would sleep for hours.

    Args:
        trace: as it is to be replayed, ``at_s`` in seconds.
        path: its file.
        unit_is_given: the scenario, or the file's header, says in which unit it is.
        mend: how to say that times are milliseconds, and how that they are seconds.

    Raises:
        TestbedError: it lasts longer than :data:`ASKED_ABOVE_S` and its unit is not given, or for years.
    """
    last_s = trace[-1].at_s
    if last_s > MAX_DAYS * _DAY_S:
        raise TestbedError(
            f"{path}: the trace lasts {last_s / _DAY_S:.4g} days, and it may last {MAX_DAYS} at most; "
            "ask for fewer requests, or mend at_s"
        )
    if last_s > ASKED_ABOVE_S and not unit_is_given:
        gap_s, number = max((gap_s, number) for number, gap_s in enumerate(_gaps_s(trace)))
        most = f", {duration(gap_s)} of it before {trace[number].id}" if gap_s > last_s / 2 else ""
        raise TestbedError(
            f"{path}: the trace lasts {duration(last_s)}{most}; are these milliseconds? write {mend[0]}, or "
            f"{mend[1]} if they are seconds"
        )


def pauses(trace: Sequence[Request]) -> list[str]:
    """A note on the longest time without a request, if it is longer than :data:`PAUSE_S`."""
    long = [(gap_s, number) for number, gap_s in enumerate(_gaps_s(trace)) if gap_s > PAUSE_S]
    if not long:
        return []
    gap_s, number = max(long)
    several = f", the longest of {len(long)} pauses over {duration(PAUSE_S)}" if len(long) > 1 else ""
    return [f"trace: no request for {duration(gap_s)} before {trace[number].id}{several}"]


def _gaps_s(trace: Sequence[Request]) -> list[float]:
    """The time before each request, since the one before it or the start."""
    return [after - before for before, after in pairwise([0.0, *(request.at_s for request in trace)])]
