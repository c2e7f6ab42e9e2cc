"""Sends a study's requests up and down the tree under one method, with queues at every node and link.

Upwards nothing depends on what comes down, so the tiers follow one another: who comes to a node when, what
waits, what its policy decides, what goes on over its link. Then the answers come down. One thing hangs on
both ways: a node opens another connection, for a round trip, when all it has are waiting for answers. So the
whole is done again until no connection is opened elsewhere, at first as if all of them were open.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from testbed.study.queues.decide import Deciders
from testbed.study.queues.fifo import COUNT, ByServer, Floats, Ints, departures, found_there, newly_opened
from testbed.study.queues.messages import (
    DELAYED_ACK_S,
    OPENED_DOWN_BYTES,
    OPENED_UP_BYTES,
    SEGMENT_HEADER_BYTES,
    frames_of,
    wire_bytes,
)
from testbed.study.queues.plant import Plant, Way
from testbed.study.what_if.study import Point, Study

# Medians of tests/data/run-v6, which is none of the runs that predictions are held against.
EXCHANGE_S = 0.0020
"""Of each request: until the orchestrator has sent it to its device, and until it has the answer."""
OWN_S = 0.0017
"""Of each node on its way, beside queue and inference: HTTP and JSON, half of it before the inference."""
FORWARD_S = 0.0013
"""More of a node that sends the request up."""
MOST_PASSES = 4
"""After which a few connections in a thousand may still be opened elsewhere."""

Bools = NDArray[np.bool_]
Step = Callable[[], None]


@dataclass(frozen=True)
class Crossed:
    """What crossed one direction of a hop: frame bytes by link, and messages that met a full queue."""

    frame_bytes: Floats
    found_full: int


@dataclass(frozen=True)
class Level:
    """One tier under a method. Arrays are of the requests that come to it, but for the last.

    Attributes:
        asked: their numbers in the trace.
        nodes: where they come, counted from 0.
        ready_s: when they were inferred and decided.
        infers: whether they were inferred, and not just passed on.
        goes_up: whether they went on. The tier above has these, in the same order.
        waited_ms_p95: of those that were inferred, the wait in the queue; ``None`` if there are none.
        busy_s: of each node, how long it inferred.
    """

    asked: Ints
    nodes: Ints
    ready_s: Floats
    infers: Bools
    goes_up: Bools
    waited_ms_p95: float | None
    busy_s: Floats


@dataclass(frozen=True)
class Outcome:
    """What became of all requests.

    Attributes:
        answered_by: the tier, from 0, that answers each.
        latency_s: of each.
        tiers: lowest first.
        up, down: by hop.
        opened: by hop, which requests opened a connection.
    """

    answered_by: NDArray[np.int64]
    latency_s: Floats
    tiers: Sequence[Level]
    up: Sequence[Crossed]
    down: Sequence[Crossed]
    opened: Sequence[Bools]


def simulate(study: Study, plant: Plant, point: Point, step: Step) -> Outcome:
    """Evaluate one method.

    Args:
        step: called :func:`steps` times at most, for progress.

    Raises:
        TestbedError: its policy cannot be made, or fails.
    """
    outcome = _once(study, plant, point, None, step)
    for _ in range(MOST_PASSES - 1):
        before = _Before(outcome.opened, outcome.tiers[0])
        del outcome  # its arrays are as large as those of the pass that follows
        outcome = _once(study, plant, point, before, step)
        if all(map(np.array_equal, before.opened, outcome.opened)):
            break
    return outcome


@dataclass(frozen=True)
class _Before:
    """What a pass needs of the one before it."""

    opened: Sequence[Bools]
    lowest: Level


def own_s(answered_by: Ints) -> Floats:
    """How much of a latency is no queue, inference or link, by the tier, from 0, that answers."""
    found: Floats = EXCHANGE_S + OWN_S * (answered_by + 1) + FORWARD_S * answered_by
    return found


def steps(plant: Plant) -> int:
    """How often :func:`simulate` calls its ``step`` at most."""
    return MOST_PASSES * 2 * len(plant.tiers)


def _once(study: Study, plant: Plant, point: Point, before: _Before | None, step: Step) -> Outcome:
    """One pass, with the connections that the one ``before`` it opened."""
    draws = np.random.default_rng([study.scenario.seed, point.number])
    deciders = Deciders(study, plant, point)
    asked: Ints = np.arange(len(plant.sent_s), dtype=COUNT)
    nodes, came_s = plant.devices, plant.sent_s + EXCHANGE_S / 2
    levels: list[Level] = []
    climbs: list[_Climb] = []
    for at, hop in enumerate([*plant.hops, None]):
        if before is not None and at == 0:  # nothing that comes down changes what devices do
            level = before.lowest
        else:
            level = _served(study, plant, deciders, at, asked, nodes, came_s)
        levels.append(level)
        step()
        if hop is not None:
            climb = _climb(study, plant, at, level, None if before is None else before.opened[at], draws)
            climbs.append(climb)
            nodes, came_s = hop.parents[level.nodes[level.goes_up]], climb.came_s
            asked = level.asked[level.goes_up]
    return _descended(study, plant, levels, climbs, draws, step)


def _served(
    study: Study, plant: Plant, deciders: Deciders, at: int, asked: Ints, nodes: Ints, came_s: Floats
) -> Level:
    """Queue, inference and decision of one tier."""
    read_s = came_s + OWN_S / 2
    infers = ~deciders.passed_on(at, asked, ByServer.of(read_s, nodes), nodes)
    own = np.flatnonzero(infers)
    arrived_s, places = read_s[own], study.places[asked[own]]
    services_s = plant.service_s[at][places]
    queue = ByServer.of(arrived_s, nodes[own])
    left_s = departures(arrived_s, services_s, queue)
    ready_s, goes_up = read_s.copy(), ~infers
    ready_s[own] = left_s
    goes_up[own] = deciders.sent_up(at, asked[own], queue, nodes[own])
    busy_s = _sums(nodes[own], services_s, plant.nodes[at])
    waited_ms = (left_s - services_s - arrived_s) * 1000
    longest_ms = float(np.percentile(waited_ms, 95)) if len(own) else None
    return Level(asked, nodes, ready_s, infers, goes_up, longest_ms, busy_s)


@dataclass(frozen=True)
class _Climb:
    """The way up one hop, of those that went up: who opened a connection, and times."""

    opens: Bools
    children: ByServer
    began_s: Floats
    came_s: Floats
    crossed: Crossed


def _climb(
    study: Study, plant: Plant, at: int, level: Level, opened: Bools | None, draws: np.random.Generator
) -> _Climb:
    hop, nodes = plant.hops[at], level.nodes[level.goes_up]
    began_s = level.ready_s[level.goes_up] + FORWARD_S
    children = ByServer.of(began_s, nodes)
    asked = level.asked[level.goes_up]
    # Nothing is under way with what is answered at once: at first nobody opens one.
    opens = newly_opened(began_s, began_s, children) if opened is None else opened[asked]
    links = hop.links[nodes]
    payloads = plant.request_payloads[study.places[asked]]
    came_s, crossed = _cross(hop.up, began_s + opens * hop.connecting_s[links], payloads, links, draws)
    return _Climb(opens, children, began_s, came_s, crossed)


def _descended(
    study: Study,
    plant: Plant,
    levels: Sequence[Level],
    climbs: Sequence[_Climb],
    draws: np.random.Generator,
    step: Step,
) -> Outcome:
    """Send all answers down, from the highest tier."""
    answered_by = np.zeros(len(plant.sent_s), dtype=np.int64)
    for at, level in enumerate(levels):
        answered_by[level.asked] = at
    payloads = plant.answer_payloads[answered_by, study.places]
    answered_s = levels[-1].ready_s + OWN_S / 2
    up: list[Crossed] = []
    down: list[Crossed] = []
    opened: list[Bools] = []
    for at in range(len(plant.hops) - 1, -1, -1):
        hop, level, above, climb = plant.hops[at], levels[at], levels[at + 1], climbs[at]
        links = hop.links[level.nodes[level.goes_up]]
        size_bytes = payloads[above.asked]
        back_s, crossed = _cross(hop.down, answered_s, size_bytes, links, draws)
        late = (answered_s - climb.came_s > DELAYED_ACK_S) | climb.opens
        acks = (frames_of(size_bytes) + 1) // 2
        up.insert(0, _with(climb.crossed, links, SEGMENT_HEADER_BYTES * acks + OPENED_UP_BYTES * climb.opens))
        down.insert(0, _with(crossed, links, SEGMENT_HEADER_BYTES * late + OPENED_DOWN_BYTES * climb.opens))
        opened.insert(0, np.zeros(len(answered_by), dtype=np.bool_))
        opened[0][above.asked] = newly_opened(climb.began_s, back_s, climb.children)
        inferred, passed = plant.step_bytes[at]
        payloads[above.asked] += np.where(level.infers[level.goes_up], inferred, passed)
        answered_s = level.ready_s + OWN_S / 2
        answered_s[level.goes_up] = back_s + OWN_S / 2
        step()
    step()
    return Outcome(answered_by, answered_s + EXCHANGE_S / 2 - plant.sent_s, levels, up, down, opened)


def _cross(
    way: Way, sent_s: Floats, payloads: Ints, links: Ints, draws: np.random.Generator
) -> tuple[Floats, Crossed]:
    """When messages are at the far end, and what they are on the wire."""
    by_link = ByServer.of(sent_s, links)
    size_bytes, frames = wire_bytes(payloads), frames_of(payloads)
    left_s, came_s = way.cross(sent_s, size_bytes, by_link, links, draws)
    there = found_there(sent_s, left_s, frames, by_link)
    full = there + frames > way.queue_frames[links]
    return came_s, Crossed(_sums(links, size_bytes, len(way.shapes)), int(full.sum()))


def _with(crossed: Crossed, links: Ints, more_bytes: Ints) -> Crossed:
    """The same with so many bytes more for each message."""
    added = _sums(links, more_bytes, len(crossed.frame_bytes))
    return Crossed(crossed.frame_bytes + added, crossed.found_full)


def _sums(places: Ints, values: Floats | Ints, count: int) -> Floats:
    """The sum of the values at each place."""
    return np.bincount(places, values, count).astype(np.float64)
