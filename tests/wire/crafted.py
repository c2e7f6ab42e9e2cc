"""Captures made frame by frame with scapy, and HTTP messages whose parts are known."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from scapy.layers.inet import IP, TCP
from scapy.layers.l2 import Ether
from scapy.utils import wrpcap

from testbed.wire.account import LinkEnds, account
from testbed.wire.parts import CaptureAccount, Parts
from testbed.wire.trace import trace

CHILD_MAC, PARENT_MAC = "02:77:00:00:00:01", "02:77:00:00:00:02"
CHILD_IP, PARENT_IP = "10.77.0.2", "10.77.0.3"
ENDS = LinkEnds(CHILD_MAC, PARENT_MAC)
HEADERS = 14 + 20 + 20

PARTS = (
    "prompt_bytes",
    "answer_bytes",
    "envelope_bytes",
    "instrumentation_bytes",
    "http_header_bytes",
    "packet_header_bytes",
    "tcp_control_bytes",
    "retransmitted_bytes",
    "other_bytes",
)


def frame(up: bool, seq: int, data: bytes = b"", flags: str = "A", ack: int = 0, port: int = 40000) -> Any:
    """One TCP segment of the connection from the child's ``port`` to the parent's 8000."""
    source, target = ((CHILD_MAC, CHILD_IP, port), (PARENT_MAC, PARENT_IP, 8000))[:: 1 if up else -1]
    segment = TCP(
        sport=source[2], dport=target[2], seq=seq % 2**32, ack=ack % 2**32, flags=flags, window=65535
    )
    return Ether(src=source[0], dst=target[0]) / IP(src=source[1], dst=target[1]) / segment / data


@dataclass
class Connection:
    """Writes the frames of one connection, its handshake first; sequence numbers may be chosen."""

    port: int = 40000
    isn_up: int = 1000
    isn_down: int = 5000
    handshake: bool = True
    frames: list[Any] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.seq_up, self.seq_down = self.isn_up + 1, self.isn_down + 1
        if self.handshake:
            self.frames += [
                frame(True, self.isn_up, flags="S", port=self.port),
                frame(False, self.isn_down, flags="SA", ack=self.seq_up, port=self.port),
                frame(True, self.seq_up, ack=self.seq_down, port=self.port),
            ]

    def segments(self, up: bool, data: bytes, size: int = 1448) -> list[Any]:
        """The frames that carry ``data``, not yet sent."""
        made = []
        for start in range(0, len(data), size):
            piece = data[start : start + size]
            seq, ack = (self.seq_up, self.seq_down) if up else (self.seq_down, self.seq_up)
            made.append(frame(up, seq, piece, "PA", ack, self.port))
            if up:
                self.seq_up += len(piece)
            else:
                self.seq_down += len(piece)
        return made

    def send(self, up: bool, data: bytes, size: int = 1448) -> None:
        self.frames += self.segments(up, data, size)

    def close(self) -> None:
        self.frames += [
            frame(True, self.seq_up, flags="FA", ack=self.seq_down, port=self.port),
            frame(False, self.seq_down, flags="FA", ack=self.seq_up + 1, port=self.port),
            frame(True, self.seq_up + 1, ack=self.seq_down + 1, port=self.port),
        ]


def write(path: Path, frames: Iterable[Any], **kw: Any) -> Path:
    wrpcap(str(path), list(frames), linktype=1, **kw)
    return path


def accounted(path: Path, frames: Iterable[Any], ends: LinkEnds = ENDS) -> CaptureAccount:
    """The account of these frames, after checking that it is exact."""
    frames = list(frames)
    result = account(write(path, frames), ends)
    assert_exact(result)
    total = result.up.frame_bytes + result.down.frame_bytes
    assert total == sum(len(bytes(one)) for one in frames)
    assert result.up.frames + result.down.frames == len(frames)
    assert_same_by_frame(path, ends, result)
    return result


def assert_same_by_frame(pcap: Path, ends: LinkEnds, result: CaptureAccount) -> None:
    """Each byte of each frame has a cause, and over all frames they are the account's."""
    sums: dict[str, Counter[str]] = {"up": Counter(), "down": Counter()}
    texts: Counter[tuple[str, str | None]] = Counter()
    for one in trace(pcap, ends):
        causes = one.bytes_by_cause()
        assert one.settled
        assert min(causes.values(), default=0) >= 0
        assert causes.total() == one.length
        sums[one.direction] += causes
        texts += one.causes
    for parts, way in ((result.up, "up"), (result.down, "down")):
        assert {name: sums[way][name] for name in PARTS} == {name: getattr(parts, name) for name in PARTS}
    for name, request in result.requests.items():
        assert texts["prompt_bytes", name] == request.prompt_bytes
        assert texts["answer_bytes", name] == request.answer_bytes


def assert_exact(result: CaptureAccount) -> None:
    for parts in (result.up, result.down):
        assert parts.frame_bytes == sum(getattr(parts, name) for name in PARTS)
        assert parts.frames == parts.accounted_frames
        assert all(getattr(parts, name) >= 0 for name in Parts.__dataclass_fields__)


Framing = Literal["length", "chunked"]


@dataclass(frozen=True)
class Made:
    """A message and what it is made of."""

    wire: bytes
    text: int
    envelope: int
    instrumentation: int
    headers: int


def request(
    text: str, request_id: str = "q1", *, ascii_json: bool = False, framing: Framing = "length"
) -> Made:
    value = {
        "model": "device",
        "messages": [
            {"role": "system", "content": "Classify."},
            {"role": "user", "content": text},
        ],
    }
    body = json.dumps(value, ensure_ascii=ascii_json).encode()
    head = b"POST /v1/chat/completions HTTP/1.1\r\nHost: 10.77.0.3:8000\r\nContent-Type: application/json\r\n"
    size = len(text.encode())
    return _message(head, body, request_id, framing, size, 0)


def answer(
    text: str,
    request_id: str | None = None,
    *,
    framing: Framing = "length",
    spaced: bool = False,
    body_id: str | None = None,
) -> Made:
    extra = {"tier": "edge", "path": [{"node": "device1", "confidence": 0.51, "note": 'a "recserve": {'}]}
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    separators = (" ,  ", " :\n ") if spaced else (",", ":")
    dumped = json.dumps({"id": body_id, "choices": [choice]}, ensure_ascii=False, separators=separators)
    member = '"recserve"' + separators[1] + json.dumps(extra, separators=separators)
    body = (dumped[:-1] + separators[0] + member + "}").encode()
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
    instrumentation = len(member.encode().strip())
    return _message(head, body, request_id, framing, len(text.encode()), instrumentation)


def _message(
    head: bytes, body: bytes, request_id: str | None, framing: Framing, text: int, instrumentation: int
) -> Made:
    line = f"x-request-ID: {request_id}\r\n".encode() if request_id else b""
    if framing == "chunked":
        pieces = [body[at : at + 37] for at in range(0, len(body), 37)]
        framed = (
            b"".join(b"%x;a=b\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\nX: y\r\n\r\n"
        )
        rest = b"Transfer-Encoding: chunked\r\n\r\n"
    else:
        framed, rest = body, b"Content-Length: %d\r\n\r\n" % len(body)
    return Made(
        wire=head + line + rest + framed,
        text=text,
        envelope=len(body) - text - instrumentation,
        instrumentation=instrumentation + len(line),
        headers=len(head) + len(rest) + len(framed) - len(body),
    )
