"""The counters of a link at one moment, by the kernel and by the link process, as plain data."""

from __future__ import annotations

from dataclasses import dataclass

from testbed.network.kernel.counters import Counters


@dataclass(frozen=True, slots=True)
class LinkCounts:
    """One direction of a link as the link process counts it, since the link was made.

    A frame comes in from the near port, waits for the bottleneck unless that refuses it, crosses the wire,
    and is handed on to the far port unless the way loses it. ``lost_frames`` are the way's, second copies
    that it made and lost included; ``cut_frames`` were lost because the link was down; ``dropped_frames``
    the process could not carry: malformed, too long, or refused by the kernel at sending. ``waiting_…`` and
    ``held_frames`` are before the wire and on the way now, the frame being serialised among the former;
    ``most_waiting_…`` is the fullest queue since the method began.
    """

    came_in_frames: int
    refused_frames: int
    crossed_frames: int
    crossed_bytes: int
    lost_frames: int
    cut_frames: int
    duplicated_frames: int
    handed_on_frames: int
    dropped_frames: int
    waiting_frames: int
    waiting_bytes: int
    held_frames: int
    most_waiting_frames: int
    most_waiting_bytes: int


@dataclass(frozen=True, slots=True)
class DirectionReading:
    """All counters of one direction of a link at a quiet moment; all but ``process`` are the kernel's.

    ``wire`` is counted at the child's end of the wire; ``port_in`` is what the near port received from its
    site, ``port_out`` what the far port was given to send. ``dropped_frames`` were dropped by any interface
    from the sender's container to the receiver's.
    """

    wire: Counters
    port_in: Counters
    port_out: Counters
    process: LinkCounts
    dropped_frames: int
