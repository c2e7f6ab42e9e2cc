"""What must hold between a scenario's events, its links and its nodes; each mistake is one sentence."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from testbed.scenario.reading.mistakes import mistake
from testbed.scenario.sections.event import Event
from testbed.scenario.sections.events import LinkDown, LinkUp
from testbed.scenario.timeline import moments, shapes_under
from testbed.scenario.topology import Topology


def check_events(events: Sequence[Event], topology: Topology) -> None:
    """Links and nodes exist, no two events change the same thing at the same time, figures are possible."""
    for number, event in enumerate(events, 1):
        event.check_target(topology, f"events.{number}")
    _check_overlaps(events, topology)
    _check_ups(events, topology)
    for number, _, shape in shapes_under(events, topology):
        if shape.jitter_ms > shape.delay_ms:
            raise mistake(
                f"leaves a jitter of {shape.jitter_ms:g} ms with a delay of {shape.delay_ms:g} ms, "
                "and no frame arrives before it is sent; change both",
                f"events.{number + 1}.set",
            )
        if shape.reorder and not shape.delay_ms:
            raise mistake(
                "leaves a reordering without a delay, in which no frame can be overtaken; change both",
                f"events.{number + 1}.set",
            )


@dataclass(frozen=True, slots=True)
class _Period:
    """From when to when an event has something to itself; a lasting change has but a moment."""

    start_s: float
    end_s: float
    number: int

    def meets(self, other: _Period) -> bool:
        """Whether two periods have a moment in common; one may begin when the other ends."""
        overlap = self.start_s < other.end_s and other.start_s < self.end_s
        return overlap or self.start_s == other.start_s


def _check_overlaps(events: Sequence[Event], topology: Topology) -> None:
    """No two events have the same thing to themselves at the same time."""
    taken: dict[tuple[str, str], list[_Period]] = {}
    for number, event in enumerate(events):
        for thing in event.occupies(topology):
            period = _Period(event.at_s, event.occupies_until_s(events, topology), number)
            for earlier in taken.setdefault(thing, []):
                if period.meets(earlier):
                    what, where = thing
                    raise mistake(
                        f"changes {what} of {where} while event {earlier.number + 1} does "
                        f"(from {earlier.start_s:g} s{_until(earlier)}); move one of the two",
                        f"events.{number + 1}.at",
                    )
            taken[thing].append(period)


def _check_ups(events: Sequence[Event], topology: Topology) -> None:
    """An ``up`` ends a ``down`` of the same links that has no end of its own, and is the first to do so."""
    down_since_s: dict[tuple[str, ...], float] = {}
    for moment in moments(events):
        event = events[moment.number]
        links = tuple(link.name for link in event.links(topology))
        if isinstance(event, LinkDown) and event.for_s is None:
            down_since_s[links] = event.at_s
        elif isinstance(event, LinkUp) and down_since_s.pop(links, math.inf) >= event.at_s:
            raise mistake(
                f"no event without `for` took {event.target} down before {event.at_s:g} s, "
                "or another has brought it up already; add one with the same link, or remove this",
                f"events.{moment.number + 1}.up",
            )


def _until(period: _Period) -> str:
    if period.end_s == period.start_s:
        return ""
    return " on" if math.isinf(period.end_s) else f" to {period.end_s:g} s"
