"""Finds one request's frames in a large capture, without accounting for all of it.

One pass over the file looks for the request's id. The frames of the connections that carried it are traced
from there on.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from testbed.wire.account import LinkEnds
from testbed.wire.frame import parse_segment
from testbed.wire.pcap import FILE_HEADER_BYTES, RECORD_HEADER_BYTES, Progress, read_frames
from testbed.wire.trace import trace
from testbed.wire.traced_frame import Frame
from tiers.protocol import REQUEST_ID_HEADER

_AFTERWARDS_NS = 1_000_000_000
"""How long after a connection's next request repeats of what was before are still looked for."""
_UNKNOWN_SEQ = -1
_FLAGS_BYTE = 14 + 20 + 13
_SYN = 2


@dataclass
class _Found:
    """A request's heads in a capture: the first one's place, the last one's number, and their streams."""

    start: tuple[int, int] | None = None
    last: int = 0
    flows: dict[bytes, int] = field(default_factory=dict)


def trace_request(
    pcap: Path, ends: LinkEnds, request_id: str, progress: Progress | None = None
) -> Iterator[Frame]:
    """Yield the frames of one request: those that carry bytes of its messages, repeat or acknowledge them.

    What comes out is to be held against what the run recorded of the request. It may lack frames where the
    line with its id was split among segments, and where messages overtake each other on a connection;
    :func:`~testbed.wire.trace.trace` lacks none.

    Raises:
        TestbedError: the file is no Ethernet pcap, or is truncated.
    """
    found = _find(pcap, request_id, progress)
    if found.start is None:
        return
    over: dict[bytes, int] = {}
    for frame in trace(pcap, ends, flows=found.flows, start=found.start):
        if request_id in frame.requests:
            yield frame
        elif frame.number > found.last and frame.requests:
            over.update({flow: frame.time_ns for flow in (frame.flow, back(frame.flow)) if flow not in over})
            if len(over) == len(found.flows) and frame.time_ns > max(over.values()) + _AFTERWARDS_NS:
                return


def back(flow: bytes) -> bytes:
    """The flow of the other direction."""
    return flow[4:8] + flow[:4] + flow[10:12] + flow[8:10]


def _find(pcap: Path, request_id: str, progress: Progress | None) -> _Found:
    name, word = REQUEST_ID_HEADER.encode(), request_id.encode()
    line = re.compile(rb"(?i:\r\n%s[ \t]*:)[ \t]*%s[ \t]*\r\n" % (re.escape(name), re.escape(word)))
    found, began = _Found(), dict[bytes, int]()
    place, buffer, hit = FILE_HEADER_BYTES, b"", -1
    for number, (chunk, at, length) in enumerate(read_frames(pcap, progress), 1):
        if chunk is not buffer:
            buffer, hit = chunk, chunk.find(word, at)
        if length > _FLAGS_BYTE and chunk[at + _FLAGS_BYTE] & _SYN:
            segment = parse_segment(chunk[at : at + length])
            if not isinstance(segment, str):
                began[segment.flow] = segment.seq
        if 0 <= hit < at:  # in a record's header: a time can spell an id
            hit = chunk.find(word, at)
        if at <= hit < at + length:
            hit = chunk.find(word, at + length)
            segment = parse_segment(chunk[at : at + length])
            if not isinstance(segment, str) and line.search(segment.payload):
                found.start = found.start or (place, number)
                found.last = number
                for flow in (segment.flow, back(segment.flow)):
                    found.flows[flow] = began.get(flow, _UNKNOWN_SEQ)
        place += RECORD_HEADER_BYTES + length
    return found
