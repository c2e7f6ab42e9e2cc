"""What must hold between a scenario's events, its links and its nodes; each mistake is one sentence."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from testbed.event_schema import (
    AnyEvent,
    BackgroundFlow,
    LinkChange,
    LinkDown,
    LinkUp,
    NodeEvent,
    RateFile,
    target_of,
)
from testbed.rate_trace import read_rate_trace
from testbed.schema import mistake, nearest
from testbed.topology import Direction, Link, Shape, Topology

_FIGURE_WORDS = {
    "rate_bps": "rate",
    "delay_ms": "delay",
    "delay_file": "delay",
    "jitter_ms": "jitter",
    "jitter_distribution": "jitter",
    "bursts": "loss",
    "queue_frames": "queue",
}
"""A scenario's words for the fields of a shape."""


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


def check_events(events: Sequence[AnyEvent], topology: Topology) -> None:
    """Links and nodes exist, no two events change the same thing at the same time, figures are possible."""
    for number, event in enumerate(events, 1):
        _check_target(event, topology, f"events.{number}")
    _check_overlaps(events, topology)
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


def _check_target(event: AnyEvent, topology: Topology, field: str) -> None:
    nodes = {node.name: node for node in topology.nodes}
    if isinstance(event, BackgroundFlow):
        flow = event.flow
        for key, name in (("from", flow.source), ("to", flow.target)):
            if name not in nodes:
                raise mistake(f"no node {name!r}; {nearest(name, nodes)}", f"{field}.flow.{key}")
        if not links_of(event, topology):
            near = [name for link in topology.links for name in _across(link, flow.source)]
            raise mistake(
                f"no link joins {flow.source} and {flow.target}, and no route leads past a tier; "
                f"{flow.source} has {', '.join(near) or 'no neighbour'}",
                f"{field}.flow.to",
            )
    elif isinstance(event, NodeEvent):
        if event.node not in nodes:
            raise mistake(f"no node {event.node!r}; {nearest(event.node, nodes)}", f"{field}.node")
    elif not links_of(event, topology):
        known = [
            *dict.fromkeys(link.entry for link in topology.links),
            *(link.name for link in topology.links),
        ]
        raise mistake(f"no link {event.link!r}; {nearest(event.link, known)}", f"{field}.link")


@dataclass(frozen=True, slots=True)
class _Period:
    """From when to when an event has something to itself; a lasting change has but a moment."""

    start_s: float
    end_s: float
    number: int

    def meets(self, other: _Period) -> bool:
        if self.start_s == other.start_s:
            return True
        first, second = sorted((self, other), key=lambda period: period.start_s)
        return second.start_s < first.end_s


def _check_overlaps(events: Sequence[AnyEvent], topology: Topology) -> None:
    taken: dict[tuple[str, str], list[_Period]] = {}
    for number, event in enumerate(events):
        for thing in _things(event, topology):
            period = _Period(event.at_s, _end_s(number, events, topology), number)
            for other in taken.setdefault(thing, []):
                if period.meets(other):
                    what, where = thing
                    raise mistake(
                        f"changes {what} of {where} while event {other.number + 1} does "
                        f"(from {other.start_s:g} s{_until(other)}); move one of the two",
                        f"events.{number + 1}.at",
                    )
            taken[thing].append(period)
    _check_ups(events, topology)


def _things(event: AnyEvent, topology: Topology) -> Iterator[tuple[str, str]]:
    """What an event has to itself."""
    if isinstance(event, NodeEvent):
        yield "the state", event.node
    for link in links_of(event, topology):
        if isinstance(event, LinkDown):
            yield "the state", link.name
        elif isinstance(event, LinkChange | RateFile):
            names = ["rate_bps"] if isinstance(event, RateFile) else event.figures.given
            for word in dict.fromkeys(_FIGURE_WORDS.get(name, name) for name in names):
                for direction in event.directions:
                    yield f"the {word} ({direction})", link.name


def _end_s(number: int, events: Sequence[AnyEvent], topology: Topology) -> float:
    event = events[number]
    if event.end_s is not None:
        return event.end_s
    if isinstance(event, LinkChange):
        return event.at_s
    if isinstance(event, LinkDown):
        own = {link.name for link in links_of(event, topology)}
        ups = [
            other.at_s
            for other in events
            if isinstance(other, LinkUp)
            and other.at_s > event.at_s
            and own & {link.name for link in links_of(other, topology)}
        ]
        return min(ups, default=math.inf)
    return math.inf


def _check_ups(events: Sequence[AnyEvent], topology: Topology) -> None:
    """An ``up`` ends a ``down`` of the same links that has no end of its own, and is the first to do so."""
    down_since_s: dict[tuple[str, ...], float] = {}
    for moment in moments(events):
        event = events[moment.number]
        links = tuple(link.name for link in links_of(event, topology))
        if isinstance(event, LinkDown) and event.for_s is None:
            down_since_s[links] = event.at_s
        elif isinstance(event, LinkUp) and down_since_s.pop(links, math.inf) >= event.at_s:
            raise mistake(
                f"no event without `for` took {target_of(event)} down before {event.at_s:g} s, "
                "or another has brought it up already; add one with the same link, or remove this",
                f"events.{moment.number + 1}.up",
            )


def _until(period: _Period) -> str:
    if period.end_s == period.start_s:
        return ""
    return " on" if math.isinf(period.end_s) else f" to {period.end_s:g} s"
