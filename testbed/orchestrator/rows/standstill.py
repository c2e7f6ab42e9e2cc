"""Finds the times in which a container stood still: as it was seen to, and as its requests' times tell.

A node's *own* time is what it takes beside waiting for its model and for the tier above: its server is at
work then, or would be if it could. So the node's container runs in it, or is held back by its quota, or an
event of the scenario has it stand still. What is left of it is explained by nothing that the emulation does.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from testbed.orchestrator.replay.replay import Outcome
from testbed.orchestrator.watch.standstill import Seen, Stretch
from testbed.results.columns import EventRow
from testbed.results.evidence import OwnTime, StoodStill
from tiers.protocol import ANSWERED

SLACK_S = 0.25
"""Before and after an event's time in which its effect may still be seen."""


class Span(NamedTuple):
    """A time from one moment to another, of one clock."""

    since_s: float
    until_s: float

    @property
    def seconds(self) -> float:
        return max(0.0, self.until_s - self.since_s)

    def within(self, other: Span) -> Span:
        """The part of it that is also of another."""
        return Span(max(self.since_s, other.since_s), min(self.until_s, other.until_s))


def stood_still(
    method: str,
    seen: Mapping[str, Seen],
    behind: Mapping[str, Seen],
    events: Sequence[EventRow],
    start_s: float,
    outcomes: Sequence[Outcome] = (),
) -> list[StoodStill]:
    """Each time in which a container was seen to stand still, and no event of the scenario had it do so.

    Args:
        seen: by node, what was seen of its container; ``behind``: by its name, of an engine or a relay.
        start_s: the method's time 0, on the clock of what was seen.
        outcomes: how the method's requests ended, whichever nodes they needed.
    """
    failed = [
        Span(start_s + one.scheduled_at_s, start_s + one.done_at_s)
        for one in outcomes
        if one.outcome != ANSWERED or one.degraded
    ]
    return [
        StoodStill(
            method,
            name,
            stretch.how,
            stretch.since_s - start_s,
            left_s,
            sum(span.within(Span(stretch.since_s, stretch.until_s)).seconds > 0 for span in failed),
        )
        for name, one in (*seen.items(), *behind.items())
        for stretch in one.still
        if (left_s := _unasked_s(stretch, _asked(name, events, start_s))) is not None
    ]


def _unasked_s(stretch: Stretch, asked: Sequence[Span]) -> float | None:
    """How long a container stood still beyond what events asked for; ``None`` if they asked for all of it.

    Of what they asked for is what was seen: of many containers, the next look comes seconds later.
    """
    widened = [Span(still.since_s - SLACK_S, still.until_s + SLACK_S) for still in asked]
    whole, seen = Span(stretch.since_s, stretch.until_s), Span(stretch.since_s, stretch.seen_s)
    left_s, seen_left_s = (
        max(0.0, span.seconds - sum(span.within(still).seconds for still in widened))
        for span in (whole, seen)
    )
    began_asked = any(still.since_s <= seen.since_s <= still.until_s for still in widened)
    return left_s if seen_left_s > 0 or not began_asked else None


def own_times(
    method: str,
    records: Mapping[str, Sequence[Mapping[str, Any]]],
    seen: Mapping[str, Seen],
    events: Sequence[EventRow],
    start_s: float,
) -> list[OwnTime]:
    """The least explained own time at a stretch of each node that is a container and was asked.

    Args:
        records: by node, what it recorded; other arguments are those of :func:`stood_still`.
    """
    found = []
    for node, one in seen.items():
        asked = _asked(node, events, start_s)
        times = [
            OwnTime(
                method,
                node,
                record["request_id"],
                span.since_s - start_s,
                own_ms=span.seconds * 1000,
                explained_ms=1000 * min(span.seconds, _explained_s(span, one, asked)),
            )
            for record in records.get(node, ())
            for span in own_spans(record)
        ]
        if times:
            found.append(max(times, key=lambda own: (own.unexplained_ms, own.own_ms)))
    return found


def _explained_s(span: Span, seen: Seen, asked: Sequence[Span]) -> float:
    return seen.busy_s(*span) + sum(span.within(still).seconds for still in asked)


def quotas(watched: Iterable[Mapping[str, Seen]]) -> dict[str, list[float | None]]:
    """By container, the quotas that it was seen to have, in order, whatever the method.

    ``watched`` has what was seen of all containers under each method.
    """
    found: dict[str, list[float | None]] = {}
    for seen in watched:
        for name, one in seen.items():
            had = found.setdefault(name, [])
            had += [cpus for at, cpus in enumerate(one.cpus) if at or had[-1:] != [cpus]]
    return found


def own_spans(record: Mapping[str, Any]) -> Iterator[Span]:
    """The times in which a node was neither waiting for its model nor for the tier above, for one request."""
    at_s = record["arrived_s"] + record["thread_ms"] / 1000
    for wait in _waits(record):
        yield Span(at_s, wait.since_s)
        at_s = wait.until_s
    yield Span(at_s, record["handed_over_s"])


def _waits(record: Mapping[str, Any]) -> Iterator[Span]:
    if (inferred_s := record["inferred_s"]) is not None:
        waited_ms = record["queue_ms"] - record["thread_ms"] + record["inference_ms"]
        yield Span(inferred_s - waited_ms / 1000, inferred_s)
    if (began_s := record["forward_began_s"]) is not None:
        yield Span(began_s, began_s + (record["upstream_ms"] or 0.0) / 1000)


def _asked(node: str, events: Iterable[EventRow], start_s: float) -> list[Span]:
    """The times in which events of the scenario had a node stand still, on the clock of ``start_s``."""
    return [
        Span(start_s + event.at_s, start_s + (math.inf if event.ended_at_s is None else event.ended_at_s))
        for event in events
        if event.target == node and event.has_node_still
    ]
