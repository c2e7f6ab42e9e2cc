"""Loss and duplication: small datagrams below the rate, numbered, each held against its fate by the seed.

What becomes of the i-th frame on a wire is the seed's (:mod:`testbed.network.link_process.fates`). A
measurement begins those fates anew and then sends datagrams alone, so that the i-th one is the i-th frame.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace

from testbed.host.processes.priority import promptly
from testbed.network.link_process.client import LinkProcess
from testbed.network.link_process.fates import Fates, Way, WayFigures
from testbed.network.measure.paths import Effort, LinkPath, wait_until_quiet
from testbed.network.measure.traffic import LEAST_PAYLOAD_BYTES, SMALL_FRAME_BYTES, Burst, UdpPath
from testbed.scenario.expected import held
from testbed.scenario.reports import Finding
from testbed.scenario.topology import DIRECTIONS, Direction, Shape

LEAST_DATAGRAMS, MOST_DATAGRAMS = 300, 3000
CASES = 5
"""So many losses, and second copies, are to be among the datagrams where a link makes any."""
MOST_SENDING_S = 20.0
"""How long datagrams are sent at most, where a slow link asks for longer."""
PAUSE_S = 0.004
"""Between bursts."""
SENDING_SLACK_S = 10.0
"""How much longer than planned the sending may take, before what was sent has to do."""
NOT_TOLD_FROM_NONE = "the seed has none among so few"
OTHERWISE = "{} of {} frames fared otherwise than the seed has it"
REFUSED = "the queue refused {} datagrams, so that the seed's numbers are not theirs"


def copies_by_seed(shape: Shape, seed: int, method: str, link: str, direction: Direction) -> Iterator[int]:
    """How many copies of each frame on a direction's wire arrive: 0, 1 or 2, for one after the other."""
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
    """How many copies came of each datagram of one direction, and how many the seed has it.

    ``refused`` had no room in the bottleneck's queue.
    """

    path: LinkPath
    direction: Direction
    seen: Sequence[int]
    due: Sequence[int]
    refused: int = 0

    @property
    def otherwise(self) -> int:
        """Frames of which not as many copies came as the seed has it."""
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
        other = sum(one != expected for one, expected in zip(seen, due, strict=True))
        share = sum(due) / max(1, sent)
        notes = [OTHERWISE.format(other, sent)] if other else []
        if self.refused:
            notes.append(REFUSED.format(self.refused))
        if configured and not any(due):
            notes.append(NOT_TOLD_FROM_NONE)
        finding = held(
            self.path.name, self.direction, quantity, "share", configured,
            sum(seen) / sent if sent else None, (share, share), sent, "; ".join(notes),
        )  # fmt: skip
        return replace(finding, ok=finding.ok and other == 0)


@dataclass
class Counting:
    """Numbered datagrams of one direction, ``per_s`` of them, in bursts that its queue has room for.

    What a sender who is late owes is forgone, beyond one burst: sent at once it would overfill a short queue.
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
        """Most datagrams of a burst."""
        return max(1, min(16, self.path.shape(self.direction).queue_frames // 4))

    @property
    def planned_s(self) -> float:
        return max(self.total / self.per_s, self.total / self.room * PAUSE_S)

    def send_due(self, elapsed_s: float) -> None:
        """Send what falls due since the last call; ``elapsed_s`` counts from the first."""
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
    return [finding for one in tallies for finding in one.findings()]


def count_fates(
    paths: Sequence[LinkPath],
    process: LinkProcess,
    seed: int,
    method: str,
    effort: Effort,
    least: int = LEAST_DATAGRAMS,
) -> list[Tally]:
    """Send datagrams in each direction, and count what comes of each.

    Args:
        process: in which the links are; a method of that name begins there.
        least: so many datagrams at least; more, up to a bound, where the seed has few losses among them.
    """
    directions = [(path, direction) for path in paths for direction in DIRECTIONS]
    due = [_due(path, direction, seed, method, least) for path, direction in directions]
    share_per_s = effort.datagrams_per_s / max(1, sum(map(len, due)))
    with ExitStack() as stack:
        countings = []
        for (path, direction), copies in zip(directions, due, strict=True):
            total, per_s = planned(path, direction, len(copies), share_per_s)
            udp = stack.enter_context(UdpPath(*path.ends(direction), sink_buffer_bytes=16 << 20))
            countings.append(Counting(path, direction, udp, total, per_s))
        wait_until_quiet(paths)
        process.begin(seed, method)
        refused = [path.counts()[direction].refused_frames for path, direction in directions]
        _send(countings)
        wait_until_quiet(paths)
        return [
            Tally(
                one.path, one.direction, one.seen(), copies[: one.sent],
                one.path.counts()[one.direction].refused_frames - before,
            )
            for one, copies, before in zip(countings, due, refused, strict=True)
        ]  # fmt: skip


def _send(countings: Sequence[Counting]) -> None:
    start_s = time.monotonic()
    end_s = start_s + 2 * max((one.planned_s for one in countings), default=0) + SENDING_SLACK_S
    with promptly():
        while any(one.sent < one.total for one in countings) and time.monotonic() < end_s:
            for one in countings:
                one.send_due(time.monotonic() - start_s)
            time.sleep(PAUSE_S)


def _due(path: LinkPath, direction: Direction, seed: int, method: str, least: int) -> list[int]:
    """What becomes of each datagram that shows what the direction does, and no more of them than that."""
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
    """How many datagrams are sent, and how many a second: so that all directions are done at the same time,
    or as fast and for as long as may be, where that is too few.

    Args:
        wanted: how many the direction needs.
        share_per_s: how large a part of that the host sends in a second.
    """
    rate_bps = path.shape(direction).rate_bps
    per_s = min(wanted * share_per_s, 2000.0)
    if rate_bps is not None:
        per_s = min(per_s, 0.25 * rate_bps / (8 * SMALL_FRAME_BYTES))
    return min(wanted, max(50, int(per_s * MOST_SENDING_S))), per_s
