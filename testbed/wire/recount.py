"""Counts a capture's prompt, answer and header bytes again, as scapy dissects them.

A second reader, which shares no code with the accounting (a contract of imports sees to that). scapy's
TCPSession puts streams together, its HTTP layer splits them, :mod:`testbed.wire.scapy_layer` reads bodies.

TCPSession takes a segment that it has delivered for a new one when it comes again, fills what is missing
with zeros, and says neither. So each stream's sequence numbers are watched. At a segment that does not
continue its stream, the message that it is in is given up and counted; reading goes on at the next segment
that continues the stream and begins a message. Nothing is guessed.
"""

from __future__ import annotations

import logging
import re
import zlib
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from scapy.error import Scapy_Exception
from scapy.layers.http import HTTP, HTTPRequest, HTTPResponse
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.l2 import Ether
from scapy.sessions import TCPSession
from scapy.utils import PcapReader

from testbed.errors import TestbedError
from testbed.scenario.topology import Direction
from testbed.wire.scapy_layer import TierAnswer, TierRequest

logging.getLogger("scapy").setLevel(logging.ERROR)  # what it warns of is counted here

REASSEMBLED = (
    "prompt_bytes",
    "answer_bytes",
    "http_header_bytes",
    "packet_header_bytes",
    "tcp_control_bytes",
)
"""What is counted, by direction, of a capture that scapy puts together; of any, frames and their bytes."""

_REPORT_EVERY = 500
_START_LINE = re.compile(rb"(?:POST|GET|HEAD) \S+ HTTP/1\.[01]\r\n|HTTP/1\.[01] \d\d\d")
_ID_LINE = re.compile(rb"(?im)^x-request-id[ \t]*:.*\r\n")
_CHUNKED = re.compile(rb"(?im)^transfer-encoding[ \t]*:")
_WORDS = 1 << 32
_HALF = 1 << 31


@dataclass
class Recount:
    """What scapy makes of a capture.

    Attributes:
        sums: by direction, ``frames``, ``frame_bytes`` and what :data:`REASSEMBLED` names.
        prompts: UTF-8 length of each request's prompt, by request id; of several sendings the longest.
        answers: likewise.
        lacks: what scapy does not put together, and how often; empty if it read all of the capture.
    """

    sums: dict[Direction, Counter[str]] = field(default_factory=lambda: {"up": Counter(), "down": Counter()})
    prompts: dict[str, int] = field(default_factory=dict)
    answers: dict[str, int] = field(default_factory=dict)
    lacks: Counter[str] = field(default_factory=Counter)

    @property
    def complete(self) -> bool:
        """Whether scapy put all of it together, so that its sums are the whole capture's."""
        return not self.lacks


def recount(
    pcap: Path,
    stations: Mapping[str, Direction],
    flow_ports: Collection[int] = (),
    progress: Callable[[int], None] = lambda _bytes: None,
) -> Recount:
    """Read a capture with scapy, one frame at a time.

    Args:
        stations: in which direction each MAC address sends; what is from no other is taken to go up.
        flow_ports: ports of background flows, whose frames are counted and not read.
        progress: called with the bytes of the file, compressed or not, that were read so far.

    Raises:
        TestbedError: scapy cannot read the file.
    """
    reading = _Reading(stations, frozenset(flow_ports))
    try:
        with pcap.open("rb") as file, PcapReader(file) as reader:
            for number, frame in enumerate(_frames(reader), 1):
                reading.take(frame)
                if number % _REPORT_EVERY == 0:
                    progress(file.tell())
            progress(file.tell())
    except (OSError, Scapy_Exception, EOFError, zlib.error) as error:
        raise TestbedError(f"{pcap}: cannot be read by scapy ({error}); take an unchanged copy") from error
    return reading.result()


def _frames(reader: Any) -> Iterator[Any]:
    while True:
        try:
            yield reader.read_packet(stop_dissection_after=TCP)
        except EOFError:
            return


@dataclass
class _Stream:
    """One direction of a connection: the number that continues it, and whether its message was given up."""

    next_seq: int | None = None
    broken: bool = False


@dataclass
class _Reading:
    stations: Mapping[str, Direction]
    flow_ports: frozenset[int]
    found: Recount = field(default_factory=Recount)
    session: Any = field(default_factory=TCPSession)
    streams: dict[bytes, _Stream] = field(default_factory=lambda: defaultdict(_Stream))
    asked: dict[bytes, deque[str]] = field(default_factory=lambda: defaultdict(deque))
    """Ids of requests that wait for their answers, by the stream that the answers come in."""

    def take(self, frame: Any) -> None:
        way = self.stations.get(frame.src, "up") if isinstance(frame, Ether) else "up"
        sums, length = self.found.sums[way], len(frame.original)
        sums["frames"] += 1
        sums["frame_bytes"] += length
        if self._is_flow(frame) or TCP not in frame or IP not in frame:
            return
        segment, packet = frame[TCP], frame[IP]
        size = packet.len - 4 * packet.ihl - 4 * segment.dataofs
        if (
            packet.version != 4
            or min(packet.ihl, segment.dataofs) < 5
            or size < 0
            or packet.len > length - 14
        ):
            self.found.lacks["malformed frames"] += 1
            return
        if packet.flags.MF or packet.frag:
            self.found.lacks["IP fragments"] += 1
            return
        ident = self.session._get_ident(frame)
        if segment.flags.S:
            self._begin(ident, frame, segment.seq)
        if not size or segment.flags.R:
            sums["tcp_control_bytes"] += length
            return
        sums["packet_header_bytes"] += length - size
        if self._continues(ident, frame, segment.seq + int(segment.flags.S), size):
            self._read(ident, frame, way)

    def _is_flow(self, frame: Any) -> bool:
        layer = frame.getlayer(TCP) or frame.getlayer(UDP)
        return layer is not None and not self.flow_ports.isdisjoint((layer.sport, layer.dport))

    def _begin(self, ident: bytes, frame: Any, seq: int) -> None:
        """A SYN: unless it is a repeat, a connection begins on these ports."""
        stream = self.streams[ident]
        if stream.next_seq != (seq + 1) % _WORDS:
            self._give_up(ident, frame)
            self.streams[ident] = _Stream((seq + 1) % _WORDS)

    def _give_up(self, ident: bytes, frame: Any) -> None:
        """Forget what scapy holds of a stream, a message that has not ended."""
        held, _ = self.session.tcp_frags.pop(ident, (b"", None))
        self.session.tcp_sessions.pop(self.session._get_ident(frame, True), None)
        if held:
            self.found.lacks["messages given up"] += 1

    def _continues(self, ident: bytes, frame: Any, seq: int, size: int) -> bool:
        """Whether scapy may have the segment: its stream goes on with it, in a message not given up."""
        stream = self.streams[ident]
        if stream.next_seq is None:
            stream.next_seq, stream.broken = seq, True
        ahead = (seq - stream.next_seq + _HALF) % _WORDS - _HALF
        wraps = seq + size > _WORDS
        if ahead or wraps:
            what = "retransmitted segments" if ahead < 0 else "segments behind a gap or out of order"
            self.found.lacks["segments whose numbers wrap around" if wraps and not ahead else what] += 1
            self._give_up(ident, frame)
            stream.broken = True
        if ahead + size > 0:
            stream.next_seq = (seq + size) % _WORDS
        if ahead or wraps:
            return False
        if stream.broken and _START_LINE.match(bytes(frame[TCP].payload.original)):
            stream.broken = False
        elif stream.broken:
            self.found.lacks["segments inside a message that was given up"] += 1
        return not stream.broken

    def _read(self, ident: bytes, frame: Any, way: Direction) -> None:
        answers = ident[4:8] + ident[:4] + ident[10:] + ident[8:10]
        try:
            made = self.session.process(frame)
        except Exception:  # of whatever class: scapy's own sessions catch all, too
            self.found.lacks["segments that scapy fails at"] += 1
            self._give_up(ident, frame)
            self.streams[ident].broken = True
            return
        number = 1
        while made is not None and (message := made.getlayer(HTTP, number)) is not None:
            self._message(message.payload, ident, answers, way)
            number += 1

    def _message(self, message: Any, ident: bytes, answers: bytes, way: Direction) -> None:
        sums = self.found.sums[way]
        if not isinstance(message, HTTPRequest | HTTPResponse):
            self.found.lacks["payloads that are no HTTP to scapy"] += 1
            return
        head = bytes(message.raw_packet_cache or b"")
        body = message.payload
        id_line_bytes = sum(len(line) for line in _ID_LINE.findall(head))
        framing_bytes = len(body.raw_packet_cache or body.load) - len(body.load) if body else 0
        sums["http_header_bytes"] += len(head) - id_line_bytes + framing_bytes
        if isinstance(message, HTTPRequest):
            if _CHUNKED.search(head):
                self.found.lacks["requests in chunks"] += 1
            request_id = message.X_Request_ID
            name = request_id.decode("latin-1") if request_id else ""
            self.asked[answers].append(name)
            if isinstance(body, TierRequest):
                sums["prompt_bytes"] += _keep_longest(self.found.prompts, name, body.prompt)
        elif not message.Status_Code.startswith(b"1"):
            waiting = self.asked[ident]
            name = waiting.popleft() if waiting else ""
            if isinstance(body, TierAnswer):
                if isinstance(body.request_id, str):  # whose order says nothing if requests were given up
                    name = body.request_id
                sums["answer_bytes"] += _keep_longest(self.found.answers, name, body.answer)

    def result(self) -> Recount:
        if unfinished := sum(len(held) > 0 for held, _ in self.session.tcp_frags.values()):
            self.found.lacks["messages that do not end"] += unfinished
        return self.found


def _keep_longest(texts: dict[str, int], request_id: str, text: str | None) -> int:
    """Note one sending of a text; return by how many bytes it is longer than those before."""
    size_bytes = len((text or "").encode("utf-8", "surrogatepass"))
    had = texts.get(request_id, 0) if request_id else 0
    if request_id or size_bytes:
        texts[request_id] = max(had, size_bytes) if request_id else texts.get("", 0) + size_bytes
    return max(0, size_bytes - had)
