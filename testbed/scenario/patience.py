"""How long things over a link take at most: what time-outs follow, so that slow is not taken for dead.

And what no time-out can mend: figures under which no request ever crosses a link.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from testbed.scenario.expected import serialisation_ms
from testbed.scenario.reading.delay_file import longest_delay_ms
from testbed.scenario.reading.mistakes import mistake
from testbed.scenario.sections.links import LinkEntry
from testbed.scenario.topology import DIRECTIONS, FRAME_BYTES, Direction, Link, Shape, Topology

JITTERS = 6
"""Standard deviations by which jitter may hold a frame up."""
MOST_HANDSHAKE_S = 60.0
"""Linux gives up a connection that was half opened 63 s ago (``tcp_synack_retries``, ip-sysctl.rst)."""


def longest_s(shape: Shape) -> float:
    """The longest that a frame is in a direction of a link: the queue is full, and jitter against it."""
    delay_ms = shape.delay_ms if shape.delay_file is None else longest_delay_ms(Path(shape.delay_file))
    queued_ms = shape.queue_frames * serialisation_ms(FRAME_BYTES, shape.rate_bps)
    return (queued_ms + delay_ms + JITTERS * shape.jitter_ms) / 1000


def round_trip_s(links: Iterable[Link]) -> float:
    """The longest round trip over any of these links; 0 without one.

    Args:
        links: with further ones of the same names for the shapes that events bring, where those count
            (:func:`testbed.scenario.timeline.under_events`, which changes one direction in each).
    """
    longest: dict[str, dict[Direction, float]] = {}
    for link in links:
        known = longest.setdefault(link.name, dict.fromkeys(DIRECTIONS, 0.0))
        for direction in DIRECTIONS:
            known[direction] = max(known[direction], longest_s(link.shape(direction)))
    return max((sum(known.values()) for known in longest.values()), default=0.0)


def slowest_way_up_s(node: str, topology: Topology) -> float:
    """The longest round trip from ``node`` to its parent, under whatever shapes ``topology`` has."""
    return round_trip_s(link for link in topology.links if node in link.children)


def check_patience(links: Sequence[LinkEntry], topology: Topology, deadline_s: float) -> None:
    """A request can be there and back over each link before its deadline, and TCP can connect.

    A request that must connect first takes two round trips, and no connection is there before the first.
    """
    for link in topology.links:
        entry = next(entry for entry in links if entry.name == link.entry)
        least_s = sum(_least_ms(link.shape(direction)) for direction in DIRECTIONS) / 1000
        slower = max(DIRECTIONS, key=lambda direction: link.shape(direction).delay_ms)
        if least_s > MOST_HANDSHAKE_S:
            raise mistake(
                f"makes a round trip of {least_s:g} s on {link.name}, and TCP gives up a handshake of more "
                f"than {MOST_HANDSHAKE_S:g} s; lower it",
                entry.where(slower, "delay_ms"),
            )
        if 2 * least_s >= deadline_s:
            raise mistake(
                f"is {deadline_s:g} s, and to connect and to be answered over {link.name} takes "
                f"{2 * least_s:g} s at least (two round trips of {least_s:g} s), so that no request would "
                f"ever cross it; write more, or lower {entry.where(slower, 'delay_ms')}",
                "replay.deadline",
            )


def _least_ms(shape: Shape) -> float:
    """The delay less what jitter may take off; nothing of a file, whose shortest may be anything."""
    return 0.0 if shape.delay_file else max(0.0, shape.delay_ms - JITTERS * shape.jitter_ms)
