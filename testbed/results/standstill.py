"""Collects what stood still, if only once: percentiles of a long method do not show it, its requests do."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from testbed.results.columns import EventRow
from testbed.results.evidence import Evidence, OwnTime, StoodStill
from testbed.results.limits import Limits

HOW = {"frozen": "frozen by its control group, as docker pause does", "stopped": "stopped by a signal"}


def against_standstill(evidence: Evidence, limits: Limits) -> Iterator[str]:
    """Each reason why a tier, a link or the orchestrator did nothing for a while, and had something to do.

    A container that was seen to stand still is a reason however short it was, unless an event of the scenario
    asked for it. All else is one from ``still_ms`` on.
    """
    still_ms = limits.still_ms
    if evidence.stood_still is None or evidence.own_times is None:
        yield "whether a tier stood still was not watched"
    for stood in evidence.stood_still or ():
        yield _stood(stood)
    for own in evidence.own_times or ():
        if own.unexplained_ms > still_ms:
            yield _unexplained(own, still_ms)
    for node, cpus in evidence.quotas.items():
        if len(cpus) > 1:
            yield f"{node}'s limit of CPUs was changed from outside: {', then '.join(map(_quota, cpus))}"
    yield from _once(evidence, limits)


def _once(evidence: Evidence, limits: Limits) -> Iterator[str]:
    """What was late once, where percentiles do not speak of it already."""
    still_ms, allowed = limits.still_ms, f"with {limits.still_ms:g} ms allowed at most"
    for method, report in (evidence.link_process or {}).items():
        for late in () if report is None else (report.put_on_wire, report.handed_on):
            if late.p99_ms <= limits.link_late_p99_ms and late.max_ms > still_ms:
                yield f"{method}: the link process held up a frame for {late.max_ms:.0f} ms, {allowed}"
    for lateness in evidence.lateness or ():
        if lateness.p99_ms <= limits.lateness_p99_ms and lateness.max_ms > still_ms:
            yield f"{lateness.method}: a request was sent {lateness.max_ms:.0f} ms late, {allowed}"
    for spread in evidence.unexplained or ():
        p99_ms, max_ms = spread.p99_ms or 0.0, spread.max_ms or 0.0
        most_ms = still_ms + _asked_ms(evidence.events, spread.method)
        if p99_ms <= limits.unexplained_p99_ms and max_ms > most_ms:
            yield (
                f"{spread.method}: {max_ms:.0f} ms of a latency are no tier's and no link's, "
                f"with {most_ms:.0f} ms allowed at most"
            )


def _asked_ms(events: Sequence[EventRow], method: str) -> float:
    """How long events had nodes stand still in all: so long may a device not have read a request."""
    return 1000 * math.fsum(
        math.inf if event.ended_at_s is None else event.ended_at_s - event.at_s
        for event in events
        if event.method == method and event.has_node_still
    )


def _quota(cpus: float | None) -> str:
    return "none" if cpus is None else f"{cpus:g}"


def _stood(stood: StoodStill) -> str:
    return (
        f"{stood.method}: {stood.node} stood still for {stood.seconds:.1f} s from {stood.at_s:.1f} s on, "
        f"{HOW[stood.how]}, and no event of the scenario asked for it"
    )


def _unexplained(own: OwnTime, still_ms: float) -> str:
    return (
        f"{own.method}: {own.node} took {own.own_ms:.0f} ms of its own for request {own.request_id} from "
        f"{own.at_s:.1f} s on, of which its CPU time, its CPU limit and events explain "
        f"{own.explained_ms:.0f} ms, with {still_ms:g} ms allowed beyond"
    )
