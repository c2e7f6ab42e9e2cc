"""Loss and duplication: small datagrams below the rate, numbered and counted."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from testbed.measure.expected import (
    Finding,
    binomial_interval,
    datagrams_for,
    duplicates_seen,
    held,
    loss_seen,
)
from testbed.measure.path import Effort, Path, wait_until_quiet
from testbed.measure.traffic import LEAST_PAYLOAD_BYTES, SMALL_FRAME_BYTES, Burst, UdpPath, promptly
from testbed.topology import DIRECTIONS, Direction

STILL_DATAGRAMS = 300
MOST_SENDING_S = 20.0
"""How long datagrams are sent at most, where a slow link or many lossy ones ask for longer."""
PAUSE_S = 0.004
"""Between bursts."""
SENDING_SLACK_S = 10.0
"""How much longer than planned the sending may take, before what was sent has to do."""
POOLED = "two sendings together"
NOT_TOLD_FROM_NONE = "too few datagrams to tell it from none"


@dataclass(frozen=True)
class Tally:
    """What came of the datagrams of one direction: ``lost`` of ``sent``, and ``copies`` that came besides."""

    path: Path
    direction: Direction
    sent: int
    lost: int
    copies: int
    sendings: int = 1

    def plus(self, other: Tally) -> Tally:
        """Both sendings as one."""
        return Tally(
            self.path, self.direction, self.sent + other.sent, self.lost + other.lost,
            self.copies + other.copies, self.sendings + other.sendings,
        )  # fmt: skip

    def findings(self) -> Iterator[Finding]:
        shape = self.path.shape(self.direction)
        for quantity, count, probability, configured in (
            ("loss", self.lost, loss_seen(shape), shape.loss),
            ("duplicates", self.copies, duplicates_seen(shape), shape.duplicate),
        ):
            if quantity == "loss" or configured or count:
                sent = max(1, self.sent)
                fewest, most = binomial_interval(sent, probability)
                bounds, share = (fewest / sent, most / sent), count / sent if self.sent else None
                notes = [POOLED] if self.sendings > 1 else []
                if probability > 0 and fewest == 0:
                    notes.append(NOT_TOLD_FROM_NONE)
                yield held(
                    self.path.name, self.direction, quantity, "share", configured, share, bounds, sent,
                    "; ".join(notes),
                )  # fmt: skip


@dataclass
class Counting:
    """Numbered datagrams of one direction, ``per_s`` of them, in bursts that its queue has room for.

    What a sender who is late owes is forgone, beyond one burst: sent at once it would overfill a short queue.
    """

    path: Path
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

    def tally(self) -> Tally:
        seen: set[bytes] = set()
        copies = 0
        while data := _received(self.udp):
            copies += data[:4] in seen
            seen.add(data[:4])
        return Tally(self.path, self.direction, self.sent, self.sent - len(seen), copies)


def _received(udp: UdpPath) -> bytes:
    try:
        return udp.receiver.recv(2048)
    except BlockingIOError:
        return b""


def measure_loss(paths: Sequence[Path], effort: Effort) -> list[Finding]:
    """Loss and duplication of each direction, by enough small datagrams below its rate.

    A path that does not come out as configured is sent as many again, and judged by both sendings together:
    chance averages out, a wrong loss shows twice as clearly. Where none is configured any loss is too much,
    and 300 datagrams show one of 1 % nineteen times in twenty.
    """
    tallies = _send(paths, effort)
    failing = {one.path.name for one in tallies if any(finding.ok is False for finding in one.findings())}
    again = _send([path for path in paths if path.name in failing], effort)
    more = {(one.path.name, one.direction): one for one in again}
    pooled = [
        one.plus(more[key]) if (key := (one.path.name, one.direction)) in more else one for one in tallies
    ]
    return [finding for one in pooled for finding in one.findings()]


def _send(paths: Sequence[Path], effort: Effort) -> list[Tally]:
    if not paths:
        return []
    directions = [(path, direction) for path in paths for direction in DIRECTIONS]
    wanted = sum(_wanted(*one) for one in directions)
    with ExitStack() as stack:
        countings = [_counting(*one, effort.datagrams_per_s / wanted, stack) for one in directions]
        start_s = time.monotonic()
        end_s = start_s + 2 * max(one.planned_s for one in countings) + SENDING_SLACK_S
        with promptly():
            while any(one.sent < one.total for one in countings) and time.monotonic() < end_s:
                for one in countings:
                    one.send_due(time.monotonic() - start_s)
                time.sleep(PAUSE_S)
        wait_until_quiet(paths)
        return [one.tally() for one in countings]


def _wanted(path: Path, direction: Direction) -> int:
    shape = path.shape(direction)
    return max(datagrams_for(loss_seen(shape)), datagrams_for(duplicates_seen(shape))) or STILL_DATAGRAMS


def planned(path: Path, direction: Direction, share_per_s: float) -> tuple[int, float]:
    """How many datagrams are sent, and how many a second: so that all directions are done at the same time,
    or as fast and for as long as may be, where that is too few.

    Args:
        share_per_s: of the datagrams that a direction wants, how large a part the host sends in a second.
    """
    wanted, rate_bps = _wanted(path, direction), path.shape(direction).rate_bps
    per_s = min(wanted * share_per_s, 2000.0)
    if rate_bps is not None:
        per_s = min(per_s, 0.25 * rate_bps / (8 * SMALL_FRAME_BYTES))
    return min(wanted, max(50, int(per_s * MOST_SENDING_S))), per_s


def _counting(path: Path, direction: Direction, share_per_s: float, stack: ExitStack) -> Counting:
    total, per_s = planned(path, direction, share_per_s)
    udp = stack.enter_context(UdpPath(*path.ends(direction), sink_buffer_bytes=16 << 20))
    return Counting(path, direction, udp, total, per_s)
