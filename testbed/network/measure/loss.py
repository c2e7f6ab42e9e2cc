"""Measures loss and duplication: small numbered datagrams, each compared with its fate by the seed.

The seed decides what becomes of the i-th frame on a wire (:mod:`testbed.network.link_process.fates`). A
measurement begins a method and then sends nothing but its datagrams, so that the i-th one is the i-th frame.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from itertools import islice

from testbed.host.processes.priority import promptly
from testbed.network.link_process.client import LinkProcess
from testbed.network.link_process.fates import Fates, Way, WayFigures, variant
from testbed.network.measure.paths import Effort, LinkPath, wait_until_quiet
from testbed.network.measure.telling import telling_variant, tells
from testbed.network.measure.traffic import LEAST_PAYLOAD_BYTES, SMALL_FRAME_BYTES, Burst, UdpPath
from testbed.scenario.expected import held
from testbed.scenario.reports import Finding
from testbed.scenario.topology import DIRECTIONS, Direction, Shape

TELLING_DATAGRAMS = 250
"""Enough, under a name that is chosen for it (:mod:`testbed.network.measure.telling`)."""
LEAST_DATAGRAMS, MOST_DATAGRAMS = 300, 3000
"""Of a direction that loses in bursts, for which no name is chosen."""
CASES = 5
"""So many losses and so many second copies are wanted among them."""
MOST_SENDING_S = 20.0
"""How long datagrams are sent at most, even if a slow link needs longer."""
MOST_PER_S = 2000.0
"""In one direction."""
PAUSE_S = 0.004
"""Between bursts."""
SENDING_SLACK_S = 10.0
"""How much longer than planned the sending may take; what was not sent by then is left out."""
NOT_TOLD_FROM_NONE = "the seed has none among so few"
OTHERWISE = "{} of {} frames fared otherwise than the seed has it"
UNTOLD = "under no name tried would frames so few show every figure that is a little off"
UNSENT = "{} datagrams more were to be sent, and there was no time for them"
REFUSED = "the queue refused {} datagrams, so that the seed's numbers are not theirs"


def copies_by_seed(shape: Shape, seed: int, method: str, link: str, direction: Direction) -> Iterator[int]:
    """How many copies of each frame on a direction's wire arrive by the seed: 0, 1 or 2 of the first, …"""
    bursts = shape.bursts
    figures = WayFigures(
        loss=shape.loss,
        bursts=None if bursts is None else (bursts.p, bursts.r, bursts.bad, bursts.good),
        duplicate=shape.duplicate,
    )
    way = Way(figures, Fates(seed, method, link, direction))
    while True:
        yield len(way.enter(0))


@dataclass(frozen=True)
class Tally:
    """How many copies of each datagram of a direction came (``seen``), and should have by the seed (``due``).

    ``refused`` datagrams had no room in the bottleneck's queue, and for ``unsent`` more there was no time.
    ``untold``: no name was found under which so few tell (:mod:`testbed.network.measure.telling`).
    """

    path: LinkPath
    direction: Direction
    seen: Sequence[int]
    due: Sequence[int]
    refused: int = 0
    unsent: int = 0
    untold: bool = False

    @property
    def otherwise(self) -> int:
        """How many frames did not fare as by the seed."""
        return sum(came != due for came, due in zip(self.seen, self.due, strict=True))

    def findings(self) -> Iterator[Finding]:
        shape = self.path.shape(self.direction)
        yield self._finding("loss", shape.loss, [n == 0 for n in self.seen], [n == 0 for n in self.due])
        if shape.duplicate or max(self.seen, default=0) > 1:
            seen, due = ([n > 1 for n in copies] for copies in (self.seen, self.due))
            yield self._finding("duplicates", shape.duplicate, seen, due)

    def _finding(
        self, quantity: str, configured: float, seen: Sequence[bool], due: Sequence[bool]
    ) -> Finding:
        sent = len(seen)
        other = sum(came != expected for came, expected in zip(seen, due, strict=True))
        share = sum(due) / max(1, sent)
        notes = [OTHERWISE.format(other, sent)] if other else []
        if self.refused:
            notes.append(REFUSED.format(self.refused))
        if self.unsent:
            notes.append(UNSENT.format(self.unsent))
        if configured and not any(due):
            notes.append(NOT_TOLD_FROM_NONE)
        if self.untold:
            notes.append(UNTOLD)
        finding = held(
            self.path.name, self.direction, quantity, "share", configured,
            sum(seen) / sent if sent else None, (share, share), sent, "; ".join(notes),
        )  # fmt: skip
        return replace(finding, ok=finding.ok and other == 0 and not self.unsent)


@dataclass
class Counting:
    """Numbered datagrams of a direction, ``per_s`` of them, in bursts for which its queue has room.

    A sender that is late sends one burst at most of what is due: more would overfill a short queue.
    """

    path: LinkPath
    direction: Direction
    udp: UdpPath
    total: int
    per_s: float
    sent: int = 0
    _allowed: float = 1.0
    _last_s: float = 0.0

    @property
    def room(self) -> int:
        """How many datagrams a burst has at most."""
        return max(1, min(16, self.path.shape(self.direction).queue_frames // 4))

    @property
    def planned_s(self) -> float:
        return max(self.total / self.per_s, self.total / self.room * PAUSE_S)

    def send_due(self, elapsed_s: float) -> None:
        """Send what is due since the last call; ``elapsed_s`` is the time since the first one."""
        self._allowed = min(self.room, self._allowed + (elapsed_s - self._last_s) * self.per_s)
        self._last_s = elapsed_s
        numbers = range(self.sent, min(self.total, self.sent + int(self._allowed)))
        payloads = [number.to_bytes(4, "big") + bytes(LEAST_PAYLOAD_BYTES - 4) for number in numbers]
        if payloads:
            taken = Burst(payloads).send(self.udp.sender)
            self.sent += taken
            self._allowed -= taken

    def seen(self) -> list[int]:
        """How many copies of each datagram came."""
        came = Counter[int]()
        while data := _received(self.udp):
            came[int.from_bytes(data[:4], "big")] += 1
        return [came[number] for number in range(self.sent)]


def _received(udp: UdpPath) -> bytes:
    try:
        return udp.receiver.recv(2048)
    except BlockingIOError:
        return b""


def measure_loss(
    paths: Sequence[LinkPath], process: LinkProcess, seed: int, method: str, effort: Effort
) -> list[Finding]:
    """Loss and duplication of each direction (:func:`count_fates`)."""
    tallies = count_fates(paths, process, seed, method, effort)
    return [finding for tally in tallies for finding in tally.findings()]


def count_fates(
    paths: Sequence[LinkPath],
    process: LinkProcess,
    seed: int,
    method: str,
    effort: Effort,
    least: int | None = None,
) -> list[Tally]:
    """Send datagrams in each direction, and count what comes of each.

    Args:
        process: the link process, in which a method of that name begins.
        least: how many datagrams to send at least, with fates by that very name; more, up to a bound, if few
            of them are lost by the seed. If it is not given, as many as tell, under a name by which they do.
    """
    directions = [(path, direction) for path in paths for direction in DIRECTIONS]
    samples = [_sample(path, direction, seed, method, least) for path, direction in directions]
    variants = {
        (path.name, direction): sample.variant
        for (path, direction), sample in zip(directions, samples, strict=True)
    }
    share_per_s = effort.datagrams_per_s / max(1, sum(len(sample.due) for sample in samples))
    with ExitStack() as stack:
        countings = []
        for (path, direction), sample in zip(directions, samples, strict=True):
            total, per_s = planned(path, direction, len(sample.due), share_per_s)
            udp = stack.enter_context(UdpPath(*path.ends(direction), sink_buffer_bytes=16 << 20))
            countings.append(Counting(path, direction, udp, total, per_s))
        wait_until_quiet(paths)
        process.begin(seed, method, variants)
        refused = [path.counts()[direction].refused_frames for path, direction in directions]
        _send(countings)
        wait_until_quiet(paths)
        return [
            Tally(
                counting.path, counting.direction, counting.seen(), sample.due[: counting.sent],
                counting.path.counts()[counting.direction].refused_frames - before,
                counting.total - counting.sent, sample.untold,
            )
            for counting, sample, before in zip(countings, samples, refused, strict=True)
        ]  # fmt: skip


def _send(countings: Sequence[Counting]) -> None:
    start_s = time.monotonic()
    end_s = start_s + 2 * max((counting.planned_s for counting in countings), default=0) + SENDING_SLACK_S
    with promptly():
        while any(counting.sent < counting.total for counting in countings) and time.monotonic() < end_s:
            for counting in countings:
                counting.send_due(time.monotonic() - start_s)
            time.sleep(PAUSE_S)


@dataclass(frozen=True)
class _Sample:
    """The variant of the name by which a direction draws, and how many copies of each datagram arrive."""

    variant: int
    due: list[int]
    untold: bool = False


def _sample(path: LinkPath, direction: Direction, seed: int, method: str, least: int | None) -> _Sample:
    shape = path.shape(direction)
    if least is not None or shape.bursts is not None:
        return _Sample(0, _due(path, direction, seed, method, least or LEAST_DATAGRAMS))
    frames, _ = planned(path, direction, TELLING_DATAGRAMS, 1.0)
    number = telling_variant(shape, seed, method, path.name, direction, frames)
    whose = seed, variant(method, number), path.name, direction
    due = list(islice(copies_by_seed(shape, *whose), frames))
    return _Sample(number, due, untold=not tells(shape, *whose, frames))


def _due(path: LinkPath, direction: Direction, seed: int, method: str, least: int) -> list[int]:
    """How many copies of each datagram arrive by the seed, for as many as show what the direction does."""
    shape = path.shape(direction)
    lost = doubled = 0
    due = []
    for copies in copies_by_seed(shape, seed, method, path.name, direction):
        due.append(copies)
        lost, doubled = lost + (copies == 0), doubled + (copies > 1)
        shown = (not shape.loss or lost >= CASES) and (not shape.duplicate or doubled >= CASES)
        if len(due) >= least and (shown or len(due) >= MOST_DATAGRAMS):
            break
    return due


def planned(path: LinkPath, direction: Direction, wanted: int, share_per_s: float) -> tuple[int, float]:
    """How many datagrams are sent, and how many per second, so that all directions end at the same time.

    Where that is too few for a slow link, as many as it carries in :data:`MOST_SENDING_S`.

    Args:
        wanted: how many the direction needs.
        share_per_s: which share of that the host sends in a second.
    """
    rate_bps = path.shape(direction).rate_bps
    most_per_s = MOST_PER_S
    if rate_bps is not None:
        most_per_s = min(most_per_s, 0.25 * rate_bps / (8 * SMALL_FRAME_BYTES))
    return min(wanted, max(50, int(most_per_s * MOST_SENDING_S))), min(wanted * share_per_s, most_per_s)
