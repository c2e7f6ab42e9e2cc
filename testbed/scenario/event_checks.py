"""What must hold between a scenario's events, its links and its nodes; each mistake is one sentence."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from testbed.scenario.reading.mistakes import mistake, nearest
from testbed.scenario.sections.events import (
    AnyEvent,
    BackgroundFlow,
    LinkChange,
    LinkDown,
    LinkUp,
    NodeEvent,
    RateFile,
    target_of,
)
from testbed.scenario.timeline import _across, links_of, moments, shapes_under
from testbed.scenario.topology import Topology

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
