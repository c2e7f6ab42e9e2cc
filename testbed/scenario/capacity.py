"""What the link process can carry, and what a scenario asks of it: memory for frames, and rates."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain

from testbed.host.cgroup_limits import mib
from testbed.scenario.reading.mistakes import mistake
from testbed.scenario.sections.event import Event
from testbed.scenario.sections.events import LinkChange
from testbed.scenario.sections.link_figures import DelayFile
from testbed.scenario.sections.links import LinkEntry
from testbed.scenario.timeline import shapes_of_rate_files, shapes_under
from testbed.scenario.topology import DIRECTIONS, FRAME_BYTES, Direction, Shape, Topology

CARRIED_BPS = 300_000_000
"""What the link process is known to carry, all links together, without being late."""
CARRIED_FRAMES_PER_S = 10_000
"""Likewise of frames that come one by one, whatever their length."""
MOST_BPS = 1_000_000_000
"""More than it takes in at its fastest, and so more than all ways together ever get."""
MEMORY_BYTES = 512 << 20
"""What all frames may take that wait and are on the way."""
HELD_FRAME_BYTES = FRAME_BYTES + 100
"""Of memory, for a full frame and what the process notes of it."""
_JITTERS = 6
"""Standard deviations by which jitter may hold a frame up."""

_Where = tuple[str, Direction]
_Need = tuple[float, int | None]
"""Bytes, and the number of the event that brings them."""


def check_memory(links: Sequence[LinkEntry], events: Sequence[Event], topology: Topology) -> None:
    """Full queues and full ways of all directions, each at its fullest under any event, fit the memory."""
    queues, ways, longest_ms = _needs(links, events, topology)
    queued_bytes, on_way_bytes = _together(queues, ways, longest_ms)
    if queued_bytes + on_way_bytes > MEMORY_BYTES:
        needs, what = (queues, "in its queue") if queued_bytes >= on_way_bytes else (ways, "on the way")
        where = max(needs, key=lambda way: needs[way][0])
        size_bytes, event = needs[where]
        field, mend = _asks(links, events, topology, where, event, queue=needs is queues)
        raise mistake(
            f"lets {where[0]} ({where[1]}) hold {mib(size_bytes)} of frames {what}, "
            f"{mib(queued_bytes + on_way_bytes)} with all other links, and the link process has "
            f"{mib(MEMORY_BYTES)}; {mend}",
            field,
        )


def held_bytes(links: Sequence[LinkEntry], events: Sequence[Event], topology: Topology) -> float:
    """Memory for the frames of all links, each at its fullest."""
    return sum(_together(*_needs(links, events, topology)))


def _needs(
    links: Sequence[LinkEntry], events: Sequence[Event], topology: Topology
) -> tuple[dict[_Where, _Need], dict[_Where, _Need], float]:
    """What each direction holds at most in its queue and on its way, and the longest delay of all, in ms."""
    longest_of = _longest_delays_ms(links, events)
    queues: dict[_Where, _Need] = {}
    ways: dict[_Where, _Need] = {}
    longest_ms = 0.0
    for event, where, shape in _all_shapes(events, topology):
        most_ms = longest_of.get(shape.delay_file or "", shape.delay_ms) + _JITTERS * shape.jitter_ms
        longest_ms = max(longest_ms, most_ms)
        on_way_bytes = _on_way_bytes(min(shape.rate_bps or MOST_BPS, MOST_BPS), most_ms)
        for needs, size_bytes in ((ways, on_way_bytes), (queues, shape.queue_frames * HELD_FRAME_BYTES)):
            if where not in needs or size_bytes > needs[where][0]:
                needs[where] = (size_bytes, event)
    return queues, ways, longest_ms


def _together(
    queues: Mapping[_Where, _Need], ways: Mapping[_Where, _Need], longest_ms: float
) -> tuple[float, float]:
    """Bytes in all queues and on all ways; no more is on the way than the process takes in."""
    on_way_bytes = sum(need[0] for need in ways.values())
    return sum(need[0] for need in queues.values()), min(on_way_bytes, _on_way_bytes(MOST_BPS, longest_ms))


def _on_way_bytes(rate_bps: float, delay_ms: float) -> float:
    return rate_bps * delay_ms / 8000 / FRAME_BYTES * HELD_FRAME_BYTES


def _all_shapes(events: Sequence[Event], topology: Topology) -> Iterator[tuple[int | None, _Where, Shape]]:
    """Every shape that a direction has or gets, with the number of the event that gives it."""
    for link in topology.links:
        for direction in DIRECTIONS:
            yield None, (link.name, direction), link.shape(direction)
    yield from chain(shapes_under(events, topology), shapes_of_rate_files(events, topology))


def _longest_delays_ms(links: Sequence[LinkEntry], events: Sequence[Event]) -> dict[str, float]:
    """By path, the longest delay of each delay file that a link or an event names."""
    figures = [event.figures for event in events if isinstance(event, LinkChange)]
    of_links = [given for entry in links for given in (entry, entry.up, entry.down) if given]
    delays = [given.delay_ms for given in (*figures, *of_links)]
    return {delay.file: delay.most_ms for delay in delays if isinstance(delay, DelayFile)}


def _asks(
    links: Sequence[LinkEntry],
    events: Sequence[Event],
    topology: Topology,
    where: _Where,
    event: int | None,
    *,
    queue: bool,
) -> tuple[str, str]:
    """The path of the link entry's key, or of the event, that asks for too much, and how to mend it."""
    link = next(link for link in topology.links if link.name == where[0])
    entry = next(entry for entry in links if entry.name == link.entry)
    if event is not None:
        return f"events.{event + 1}.{events[event].key}", "ask for less"
    if not queue:
        return entry.where(where[1], "delay_ms"), "lower it, or the rate"
    if isinstance(entry.figure(where[1], "queue"), int):
        return entry.where(where[1], "queue"), "shorten it"
    return entry.where(where[1], "delay_ms"), "lower it, or the rate, or write a shorter queue, in frames"


def capacity_notes(topology: Topology) -> list[str]:
    """A note for each link that may carry more than the link process is known to.

    Args:
        topology: with all shapes that events bring (:func:`testbed.scenario.timeline.under_events`).
    """
    fastest_bps: dict[str, float] = {}
    for link in topology.links:
        for direction in DIRECTIONS:
            rate_bps = link.shape(direction).rate_bps or math.inf
            fastest_bps[link.entry] = max(fastest_bps.get(link.entry, 0), rate_bps)
    notes = [
        f"link {entry} may carry up to {_rate(rate_bps)}, more than the link process is known to "
        f"({_rate(CARRIED_BPS)}): if it does, the verdict on latency is lost"
        for entry, rate_bps in fastest_bps.items()
        if CARRIED_BPS < rate_bps < math.inf
    ]
    if unlimited := [entry for entry, rate_bps in fastest_bps.items() if rate_bps == math.inf]:
        have = "links " + ", ".join(unlimited) + " have" if len(unlimited) > 1 else f"link {unlimited[0]} has"
        notes.append(
            f"{have} no rate, and the link process is known to carry {_rate(CARRIED_BPS)}, or "
            f"{CARRIED_FRAMES_PER_S:,} scattered frames/s: beyond that the verdict on latency is lost"
        )
    return notes


def _rate(rate_bps: float) -> str:
    return f"{rate_bps / 1e9:g} Gbit/s" if rate_bps >= 1e9 else f"{rate_bps / 1e6:g} Mbit/s"
