"""What events make of the links over time."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from testbed.scenario.reading.rate_file import read_rate_trace
from testbed.scenario.sections.events import AnyEvent, BackgroundFlow, LinkChange, NodeEvent, RateFile
from testbed.scenario.topology import Direction, Link, Shape, Topology


@dataclass(frozen=True, order=True, slots=True)
class Moment:
    """The beginning or the end of an event; ends come before beginnings at the same time."""

    at_s: float
    begins: bool
    number: int
    """Of the event, from 0, as in the scenario."""


def moments(events: Sequence[AnyEvent]) -> list[Moment]:
    """All beginnings and ends, in the order in which they happen."""
    found = [Moment(event.at_s, True, number) for number, event in enumerate(events)]
    found += [
        Moment(event.end_s, False, number) for number, event in enumerate(events) if event.end_s is not None
    ]
    return sorted(found)


def links_of(event: AnyEvent, topology: Topology) -> list[Link]:
    """The links of which an event speaks: an entry's, or the one of that name; of a flow the one it uses."""
    if isinstance(event, BackgroundFlow):
        source, target = event.flow.source, event.flow.target
        return [link for link in topology.links if target in _across(link, source)]
    if isinstance(event, NodeEvent):
        return []
    of_entry = [link for link in topology.links if link.entry == event.link]
    return of_entry or [link for link in topology.links if link.name == event.link]


def _across(link: Link, node: str) -> tuple[str, ...]:
    """Whom a node reaches over a link."""
    if node == link.parent:
        return link.children
    return (link.parent,) if node in link.children else ()


def shapes_under(
    events: Sequence[AnyEvent], topology: Topology
) -> Iterator[tuple[int, tuple[str, Direction], Shape]]:
    """Every shape that events give to a direction of a link, in order of time; with the event's number."""
    given: dict[tuple[str, Direction], dict[str, Any]] = {}
    for moment in moments(events):
        event = events[moment.number]
        if isinstance(event, LinkChange):
            for link in links_of(event, topology):
                for direction in event.directions:
                    figures = given.setdefault((link.name, direction), {})
                    for name, value in event.figures.given.items():
                        if moment.begins:
                            figures[name] = value
                        else:
                            figures.pop(name, None)
                    yield moment.number, (link.name, direction), replace(link.shape(direction), **figures)


def shapes_of_rate_files(
    events: Sequence[AnyEvent], topology: Topology
) -> Iterator[tuple[int, tuple[str, Direction], Shape]]:
    """Likewise, a direction's shape while its rate follows a file, at the file's highest rate."""
    for number, event in enumerate(events):
        if isinstance(event, RateFile):
            for link in links_of(event, topology):
                for direction in event.directions:
                    shape = replace(link.shape(direction), rate_bps=_peak_bps(event.rate_file))
                    yield number, (link.name, direction), shape


def under_events(events: Sequence[AnyEvent], topology: Topology) -> Topology:
    """The topology with every shape that events will give to a link as a link of its own: all that links must
    be able to be. It is not to be built.
    """
    links = {link.name: link for link in topology.links}
    shapes = [*shapes_under(events, topology), *shapes_of_rate_files(events, topology)]
    more = [_with(links[name], direction, shape) for _, (name, direction), shape in shapes]
    return replace(topology, links=(*topology.links, *more))


def _with(link: Link, direction: Direction, shape: Shape) -> Link:
    return replace(link, up=shape) if direction == "up" else replace(link, down=shape)


@functools.cache
def _peak_bps(rate_file: str) -> int:
    return read_rate_trace(Path(rate_file)).peak_bps


def late_events(events: Sequence[AnyEvent], last_request_s: float) -> list[str]:
    """A note for each event that is asked for after the trace's last request."""
    return [
        f"events.{number}: at {event.at_s:g} s is after the last request ({last_request_s:.1f} s); "
        "it is skipped if all are answered by then"
        for number, event in enumerate(events, 1)
        if event.at_s > last_request_s
    ]
