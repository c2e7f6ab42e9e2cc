"""Says of each frame of a capture what its bytes are: the account's own reading, frame by frame.

The frames go through :class:`~testbed.wire.account.Accountant` one after the other. What it books of a
message is given back to the frames that brought the message's bytes, so that the sums over all frames are the
account's.
"""

from __future__ import annotations

from bisect import insort
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from testbed.wire.account import Accountant, Half, Lane, LinkEnds
from testbed.wire.exchange import Conversation, HttpSide
from testbed.wire.http_message import Message
from testbed.wire.http_stream import HttpParser
from testbed.wire.pcap import FILE_HEADER_BYTES, Progress, read_frames, stamp_reader
from testbed.wire.spans import answer_runs, request_runs
from testbed.wire.traced_frame import Frame

_RECENT_RANGES = 512
"""How many of a stream's last payload ranges are remembered, to tell what a repeat or an ACK is about."""
_SEQ_MASK = 0xFFFFFFFF
_FLOW = slice(26, 38)
"""Addresses and ports in a frame whose IPv4 header has no options."""

Piece = tuple[Frame, int]
"""Bytes that follow one another in a stream: the frame that brought them, and how many."""


class _Parser(HttpParser):
    """Tells its side of each byte that it takes, in the order of the stream."""

    side: _Side

    def _begin(self, message: Message) -> None:
        self.side.take("head", message.header_bytes + message.id_line_bytes)
        super()._begin(message)

    def _line(self) -> bytes | None:
        line = super()._line()
        if line is not None:
            self.side.take("framing", len(line) + 2)
        return line

    def _add(self, data: bytes | bytearray) -> None:
        self.side.take("body", len(data))
        super()._add(data)

    def _foreign(self, count: int) -> None:
        if count:
            self.side.take("foreign", count)
        super()._foreign(count)


class _Side(HttpSide):
    """One direction of a conversation, which gives the bytes of its messages back to their frames."""

    parser_class = _Parser
    half: _Half

    def __init__(self, conversation: Conversation, lane: Lane) -> None:
        super().__init__(conversation, lane.parts, lane.direction)
        assert isinstance(self._parser, _Parser)
        self._parser.side = self
        self._open: list[tuple[str, list[Piece]]] = []
        self._ended: dict[int, list[tuple[str, list[Piece]]]] = {}

    def take(self, what: str, count: int) -> None:
        """The parser took the stream's next bytes as part of a message, or of none."""
        pieces = self.half.take(count)
        if what != "foreign":
            self._open.append((what, pieces))
            return
        for frame, size in pieces:
            frame.book("other_bytes", None, size)

    def _end(self, message: Message) -> None:
        self._ended[id(message)], self._open = self._open, []
        super()._end(message)

    def _booked(
        self, message: Message, request_id: str, text_bytes: int, again_bytes: int, instrumentation: int = 0
    ) -> None:
        taken = self._ended.pop(id(message))
        framing_bytes = sum(size for what, pieces in taken if what == "framing" for _, size in pieces)
        runs = {
            "head": _head_runs(message),
            "framing": [("http_header_bytes", framing_bytes)],
            "body": self._body_runs(message, text_bytes, again_bytes, instrumentation),
        }
        for what, causes in runs.items():
            _book([piece for kind, some in taken if kind == what for piece in some], causes, request_id)

    def _body_runs(
        self, message: Message, text_bytes: int, again_bytes: int, instrumentation: int
    ) -> Iterator[tuple[str, int]]:
        """The causes of a message's body; of its text, the first bytes are the repeat."""
        body = bytes(message.body) if message.kept else b""
        if message.status:
            runs = answer_runs(body, text_bytes, instrumentation, cut=not message.whole)
        else:
            runs = request_runs(body, text_bytes, cut=not message.whole)
        causes = {
            "text": "answer_bytes" if message.status else "prompt_bytes",
            "instrumentation": "instrumentation_bytes",
            "envelope": "envelope_bytes",
        }
        for what, size in runs:
            again = min(again_bytes, size) if what == "text" else 0
            again_bytes -= again
            yield "other_bytes", again
            yield causes[what], size - again
        yield "envelope_bytes", message.body_bytes - len(body)


def _head_runs(message: Message) -> Iterator[tuple[str, int]]:
    done = 0
    for start, end in message.id_lines:
        yield "http_header_bytes", start - done
        yield "instrumentation_bytes", end - start
        done = end
    yield "http_header_bytes", message.header_bytes + message.id_line_bytes - done


def _book(pieces: Iterable[Piece], runs: Iterable[tuple[str, int]], request_id: str) -> None:
    """Give the bytes of ``pieces`` the causes of ``runs``, in order."""
    left = iter(runs)
    cause, more = "", 0
    for frame, size in pieces:
        while size:
            while not more:
                cause, more = next(left)
            count = min(size, more)
            frame.book(cause, request_id, count)
            size, more = size - count, more - count


class _Half(Half):
    """A stream that remembers which frame brought which of its bytes."""

    __slots__ = ("_recent", "_waiting", "base")

    def __init__(self, flow: bytes, lane: Lane, conversation: Conversation) -> None:
        side = _Side(conversation, lane)
        super().__init__(flow, lane, conversation, side)
        side.half = self
        self.base: int | None = None
        """The sequence number that counts as 0."""
        self._waiting: list[tuple[int, int, Frame]] = []  # ranges of positions, disjoint, ascending
        self._recent: deque[tuple[int, int, Frame]] = deque(maxlen=_RECENT_RANGES)

    def bring(self, frame: Frame, seq: int, size: int) -> None:
        """Remember what a segment brings that is new, and what it repeats; before it is taken."""
        if not self._synced and not self._runs:
            self.position, self.next_seq = 0, seq
        start = self._unwrap(seq)
        end = start + size
        frame.is_about(other for low, high, other in self._recent if low < end and start < high)
        for low, high in self._new_ranges(start, end):
            insort(self._waiting, (low, high, frame), key=lambda one: one[0])
            self._recent.append((low, high, frame))
            frame.brings(high - low)

    def _new_ranges(self, start: int, end: int) -> Iterator[tuple[int, int]]:
        at = max(start, self.position) if self._synced else start
        for low, run in self._runs:
            if at < min(low, end):
                yield at, min(low, end)
            at = max(at, low + len(run))
        if at < end:
            yield at, end

    def take(self, count: int) -> list[Piece]:
        """The next bytes that the sink takes, by the frames that brought them."""
        pieces = []
        while count:
            low, high, frame = self._waiting[0]
            size = min(count, high - low)
            pieces.append((frame, size))
            count -= size
            if low + size == high:
                del self._waiting[0]
            else:
                self._waiting[0] = (low + size, high, frame)
        return pieces

    def acknowledged(self, ack: int) -> list[Frame]:
        """The frame that brought the last byte before an acknowledgement's number, if it is known."""
        position = self._unwrap(ack) - 1
        return [frame for low, high, frame in self._recent if low <= position < high][:1]


class _Tracer(Accountant):
    """An accountant that takes one frame at a time, and knows which one it has in hand."""

    def __init__(self, ends: LinkEnds, first_seqs: Mapping[bytes, int]) -> None:
        super().__init__(ends)
        self._first_seqs = first_seqs
        self._frame = Frame(0, 0, 0)

    def take(self, frame: Frame, buffer: bytes, at: int) -> None:
        self._frame = frame
        self._rare(buffer, at, frame.length)
        if not frame.causes and frame.settled:
            frame.causes["other_bytes", None] = frame.length

    def _lane(self, frame: bytes) -> Lane:
        lane = super()._lane(frame)
        self._frame.direction = lane.direction
        return lane

    def _tcp(self, frame: bytes, lane: Lane) -> str:
        self._frame.kind = super()._tcp(frame, lane)
        return self._frame.kind

    def _new_half(self, flow: bytes, lane: Lane, conversation: Conversation) -> Half:
        return _Half(flow, lane, conversation)

    def _segment(self, half: Half, length: int, seq: int, flags: int, data: bytes) -> None:
        assert isinstance(half, _Half)
        assert isinstance(half.peer, _Half)
        frame, peer = self._frame, half.peer
        frame.flow, frame.flags, frame.payload_bytes = half.flow, flags, len(data)
        if half.base is None or flags & 2:
            half.base = seq if flags & 2 else self._first_seqs.get(half.flow, seq - 1)
        frame.seq = (seq - half.base) & _SEQ_MASK
        if flags & 16 and half.ack is not None:
            if peer.base is None:
                peer.base = self._first_seqs.get(peer.flow, half.ack - 1)
            frame.ack = (half.ack - peer.base) & _SEQ_MASK
            if not data and not flags & 7:
                frame.is_about(peer.acknowledged(half.ack))
        super()._segment(half, length, seq, flags, data)
        if not data or flags & 4:
            frame.causes["tcp_control_bytes", None] = length

    def _payload(self, half: Half, length: int, seq: int, data: bytes) -> None:
        assert isinstance(half, _Half)
        frame, size = self._frame, len(data)
        half.bring(frame, seq, size)
        had = half.lane.parts.retransmitted_bytes
        super()._payload(half, length, seq, data)
        again = half.lane.parts.retransmitted_bytes - had
        if again:
            frame.causes["retransmitted_bytes", None] = again
        if again < length:
            frame.causes["packet_header_bytes", None] = length - size


def trace(
    pcap: Path,
    ends: LinkEnds,
    progress: Progress | None = None,
    *,
    flows: Mapping[bytes, int] | None = None,
    start: tuple[int, int] = (FILE_HEADER_BYTES, 1),
) -> Iterator[Frame]:
    """Yield the frames of a capture in its order, each when the causes of all its bytes are known.

    Memory is bounded as that of :func:`~testbed.wire.account.account`, and by the frames that wait for the
    end of a message.

    Args:
        flows: if given, only frames of these streams: addresses and ports as on the wire, each with the
            sequence number before its first byte, where that is known.
        start: where in the file the first frame's record begins, and the frame's number.

    Raises:
        TestbedError: the file is no Ethernet pcap, or is truncated.
    """
    known = {flow: seq for flow, seq in (flows or {}).items() if seq >= 0}
    tracer, waiting, stamp = _Tracer(ends, known), deque[Frame](), stamp_reader(pcap)
    for number, (buffer, at, length) in enumerate(read_frames(pcap, progress, start[0]), start[1]):
        if flows is not None and buffer[at + _FLOW.start : at + _FLOW.stop] not in flows:
            continue
        frame = Frame(number, stamp(buffer, at), length)
        waiting.append(frame)
        tracer.take(frame, buffer, at)
        while waiting and waiting[0].settled:
            yield waiting.popleft().finish()
    tracer.result()  # which ends all streams
    for frame in waiting:
        yield frame.finish()
