"""What events make of the links over time."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from testbed.scenario.sections.event import Event
from testbed.scenario.topology import Direction, Link, Shape, Topology


@dataclass(frozen=True, order=True, slots=True)
class Moment:
    """The beginning or the end of an event; ends come before beginnings at the same time."""

    at_s: float
    begins: bool
    number: int
    """Of the event, from 0, as in the scenario."""


def moments(events: Sequence[Event]) -> list[Moment]:
    """All beginnings and ends, in the order in which they happen."""
    begin = [Moment(event.at_s, True, number) for number, event in enumerate(events)]
    end = [
        Moment(event.end_s, False, number) for number, event in enumerate(events) if event.end_s is not None
    ]
    return sorted(begin + end)


def shapes_under(
    events: Sequence[Event], topology: Topology
) -> Iterator[tuple[int, tuple[str, Direction], Shape]]:
    """Every shape that events give to a direction of a link, in order of time; with the event's number."""
    given: dict[tuple[str, Direction], dict[str, Any]] = {}
    for moment in moments(events):
        event = events[moment.number]
        changes = event.given
        for link, direction in _ways(event, topology) if changes else ():
            figures = given.setdefault((link.name, direction), {})
            if moment.begins:
                figures |= changes
            else:
                for name in changes:
                    figures.pop(name, None)
            yield moment.number, (link.name, direction), replace(link.shape(direction), **figures)


def shapes_of_rate_files(
    events: Sequence[Event], topology: Topology
) -> Iterator[tuple[int, tuple[str, Direction], Shape]]:
    """The shape of each direction whose rate follows a file, at the file's peak; with the event's number."""
    for number, event in enumerate(events):
        if (peak_bps := event.peak_bps) is not None:
            for link, direction in _ways(event, topology):
                yield number, (link.name, direction), replace(link.shape(direction), rate_bps=peak_bps)


def _ways(event: Event, topology: Topology) -> Iterator[tuple[Link, Direction]]:
    """The directions of links that an event concerns."""
    return itertools.product(event.links(topology), event.directions)


def under_events(events: Sequence[Event], topology: Topology) -> Topology:
    """The topology with a further link for every shape that events will give to a link.

    It says what shapes the links must be able to take, and is not to be built.
    """
    links = {link.name: link for link in topology.links}
    shapes = [*shapes_under(events, topology), *shapes_of_rate_files(events, topology)]
    more = [_with(links[name], direction, shape) for _, (name, direction), shape in shapes]
    return replace(topology, links=(*topology.links, *more))


def _with(link: Link, direction: Direction, shape: Shape) -> Link:
    return replace(link, up=shape) if direction == "up" else replace(link, down=shape)


def late_events(events: Sequence[Event], last_request_s: float) -> list[str]:
    """A note for each event that is asked for after the trace's last request."""
    return [
        f"events.{number}: at {event.at_s:g} s is after the last request ({last_request_s:.1f} s); "
        "it is skipped if all are answered by then"
        for number, event in enumerate(events, 1)
        if event.at_s > last_request_s
    ]
