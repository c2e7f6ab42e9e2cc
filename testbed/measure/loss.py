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
PAUSE_S = 0.004
"""Between bursts."""
SENDING_SLACK_S = 10.0
"""How much longer than planned the sending may take, before what was sent has to do."""


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

    def findings(self) -> Iterator[Finding]:
        seen: set[bytes] = set()
        copies = 0
        while data := _received(self.udp):
            copies += data[:4] in seen
            seen.add(data[:4])
        shape = self.path.shape(self.direction)
        for quantity, count, probability, configured in (
            ("loss", self.sent - len(seen), loss_seen(shape), shape.loss),
            ("duplicates", copies, duplicates_seen(shape), shape.duplicate),
        ):
            if quantity == "loss" or configured or count:
                sent = max(1, self.sent)
                fewest, most = binomial_interval(sent, probability)
                bounds, share = (fewest / sent, most / sent), count / sent if self.sent else None
                yield held(self.path.name, self.direction, quantity, "share", configured, share, bounds, sent)


def _received(udp: UdpPath) -> bytes:
    try:
        return udp.receiver.recv(2048)
    except BlockingIOError:
        return b""


def measure_loss(paths: Sequence[Path], effort: Effort) -> list[Finding]:
    """Loss and duplication of each direction, by enough small datagrams below its rate.

    Where none is configured any loss is too much, and 300 datagrams show one of 1 % nineteen times in twenty.
    """
    if not paths:
        return []
    with ExitStack() as stack:
        countings = [
            _counting(path, direction, effort.datagrams_per_s / (2 * len(paths)), stack)
            for path in paths
            for direction in DIRECTIONS
        ]
        start_s = time.monotonic()
        end_s = start_s + 2 * max(one.planned_s for one in countings) + SENDING_SLACK_S
        with promptly():
            while any(one.sent < one.total for one in countings) and time.monotonic() < end_s:
                for one in countings:
                    one.send_due(time.monotonic() - start_s)
                time.sleep(PAUSE_S)
        wait_until_quiet(paths)
        return [finding for one in countings for finding in one.findings()]


def _counting(path: Path, direction: Direction, share_per_s: float, stack: ExitStack) -> Counting:
    shape = path.shape(direction)
    per_s = min(share_per_s, 2000.0)
    if shape.rate_bps is not None:
        per_s = min(per_s, 0.25 * shape.rate_bps / (8 * SMALL_FRAME_BYTES))
    total = max(datagrams_for(shape.loss), datagrams_for(shape.duplicate))
    if total == 0:
        total = min(STILL_DATAGRAMS, max(50, int(per_s * 2)))
    udp = stack.enter_context(UdpPath(*path.ends(direction), sink_buffer_bytes=16 << 20))
    return Counting(path, direction, udp, total, per_s)
