"""A frame of a capture, and what its bytes are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from testbed.scenario.topology import Direction


@dataclass(slots=True, eq=False)
class Frame:
    """One frame of a capture.

    Attributes:
        number: its place in the file, from 1.
        time_ns: when it was captured, in ns since 1970.
        kind: what it is if no TCP segment over IPv4, as findings call it (``ARP``); empty if it is one.
        flow: addresses and ports as on the wire, the source's before the target's; empty if no TCP segment.
        seq: relative to the connection's first number, as Wireshark shows it; so is ``ack``, and ``None``
            where the segment acknowledges nothing.
        payload_bytes: repeats included.
        causes: bytes by cause (:data:`~testbed.wire.parts.BYTE_PARTS`) and request id; the id is ``None`` for
            what is of no message, and ``""`` for messages without one. They sum to ``length``.
        requests: ids of the requests that it carries bytes of, repeats, or acknowledges.
    """

    number: int
    time_ns: int
    length: int
    direction: Direction = "up"
    kind: str = ""
    flow: bytes = b""
    flags: int = 0
    seq: int = 0
    ack: int | None = None
    payload_bytes: int = 0
    causes: Counter[tuple[str, str | None]] = field(default_factory=Counter)
    requests: set[str] = field(default_factory=set)
    _pending: int = 0
    """Payload bytes whose message is not complete yet."""
    _about: list[Frame] = field(default_factory=list)
    """What it repeats or acknowledges."""

    @property
    def settled(self) -> bool:
        """Whether each of its bytes has a cause."""
        return not self._pending

    def brings(self, count: int) -> None:
        """Take payload bytes in whose causes follow."""
        self._pending += count

    def book(self, cause: str, request_id: str | None, count: int) -> None:
        """Give bytes of a message their cause."""
        self.causes[cause, request_id] += count
        self._pending -= count
        if request_id:
            self.requests.add(request_id)

    def is_about(self, others: Iterable[Frame]) -> None:
        self._about += others

    def finish(self) -> Frame:
        """Name the requests of what it repeats or acknowledges."""
        for other in self._about:
            self.requests |= other.requests
        self._about.clear()
        return self

    def bytes_by_cause(self, request_id: str | None = None) -> Counter[str]:
        """Its bytes by cause; with a request's id, without what belongs to other requests' messages."""
        found: Counter[str] = Counter()
        for (cause, owner), count in self.causes.items():
            if request_id is None or owner in (None, request_id):
                found[cause] += count
        return found
