"""What the network says of itself, as plain data: made where it runs, judged where it is read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Where = Literal["up", "down", "both"]

NO_REAL_TIME = (
    "the link process had no real-time priority: where CPUs are busy, frames wait for one, and links are "
    "slower than asked"
)
NOT_LOCKED = (
    "the link process's memory was not locked: where memory is short, frames wait until the kernel has read "
    "it back"
)


@dataclass(frozen=True)
class Finding:
    """One figure of one link, held against its scenario.

    ``ok`` is ``None`` where there is nothing to hold it against; ``note`` then says why. ``measured`` is
    ``None`` where nothing came back. ``samples`` counts frames or datagrams.
    """

    link: str
    direction: Where
    quantity: str
    unit: str
    configured: float | None
    measured: float | None
    low: float | None
    high: float | None
    samples: int
    ok: bool | None
    note: str = ""

    def __str__(self) -> str:
        where = self.link if self.direction == "both" else f"{self.link} ({self.direction})"
        if self.measured is None:
            return f"{where}: {self.quantity} not measured, {self.note}"
        within = "" if self.low is None else f", expected {self.low:.6g} to {self.high:.6g}"
        note = f" ({self.note})" if self.note else ""
        return f"{where}: {self.quantity} {self.measured:.6g} {self.unit}{within}{note}"


@dataclass(frozen=True, slots=True)
class ActLateness:
    """How long after their time in virtual time frames were dealt with, in ms; of no frame at all, 0."""

    frames: int
    p50_ms: float
    p99_ms: float
    max_ms: float


@dataclass(frozen=True)
class ProcessReport:
    """What the link process says of itself since the method began.

    ``socket_dropped_frames`` found no room in its sockets; ``clock_jumps`` are times at which the realtime
    clock, by which the kernel stamps frames, was moved against the monotonic one. ``real_time`` and
    ``locked`` say whether it had real-time priority and its memory was locked; ``cpu_by_second`` is what it
    used of one CPU, by second of the method.
    """

    put_on_wire: ActLateness
    handed_on: ActLateness
    socket_dropped_frames: int
    clock_jumps: int
    real_time: bool
    locked: bool
    cpu_by_second: tuple[float, ...]
