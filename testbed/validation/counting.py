"""Checks that every frame is counted: captures against counters, accounts against known messages."""

from __future__ import annotations

import socket
import threading
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from testbed.network.measure.paths import LinkPath, wait_until_quiet
from testbed.network.measure.traffic import UDP_HEADERS_BYTES, Burst, UdpPath
from testbed.scenario.topology import DIRECTIONS, FRAME_BYTES, Direction, Shape
from testbed.validation.bench import Bench
from testbed.validation.check import Check
from testbed.validation.figures import Figure, exactly
from testbed.validation.sockets import TIMEOUT_S, connecting, listening, receive_all
from testbed.wire.account import CaptureAccount, account
from testbed.wire.pcap import count_frames, read_frames
from tiers.protocol import COMPLETIONS_PATH, INSTRUMENTATION_KEY, REQUEST_ID_HEADER, encode_json

RATE_BPS = 50_000_000
FRAME_SIZES = (60, 61, 590, 1024, FRAME_BYTES)
_BURST = 50


def capture(bench: Bench) -> Iterator[Figure]:
    """Send frames of known sizes, both ways: sent = counted by the kernel = in the pcap, for each size.

    Scapy reads the pcap too, as a reader that shares no code with ours.
    """
    from scapy.utils import RawPcapReader  # late: it takes half a second to import

    path = bench.path(Shape(RATE_BPS, queue_frames=1000))
    total = 500 if bench.short else 5000
    with ExitStack() as stack:
        tap = stack.enter_context(bench.capture("capture", RATE_BPS))
        before = bench.link.counters()
        sent = Counter[int]()
        for direction in DIRECTIONS:
            udp = stack.enter_context(UdpPath(*path.ends(direction), sink_buffer_bytes=1 << 20))
            sent += _send_known(path, udp, total)
        wait_until_quiet([path])
        after = bench.link.counters()
        counted = {way: after[way].frames - before[way].frames for way in DIRECTIONS}
        report = tap.stop(sum(counted.values()))
    frames, frame_bytes = count_frames(tap.pcap)
    in_file = Counter(length for _, _, length in read_frames(tap.pcap))
    with RawPcapReader(str(tap.pcap)) as reader:
        by_scapy = sum(1 for _ in reader)
    sent_bytes = sum(size * count for size, count in sent.items())
    yield exactly("frames by the kernel's counters", "frames", sent.total(), sum(counted.values()))
    yield exactly("frames in the pcap", "frames", sent.total(), frames)
    yield exactly("frames that scapy reads in the pcap", "frames", sent.total(), by_scapy)
    by_counters = sum(after[way].bytes - before[way].bytes for way in DIRECTIONS)
    yield exactly("bytes by the kernel's counters", "bytes", sent_bytes, by_counters)
    yield exactly("bytes in the pcap", "bytes", sent_bytes, frame_bytes)
    wrong = ((in_file - sent) + (sent - in_file)).total()
    yield exactly("frames in the pcap of a size that was not sent, or missing", "frames", 0, wrong)
    yield exactly(
        "faults that the capture reports", "faults", 0, len(report.faults), "; ".join(report.faults)
    )


def _send_known(path: LinkPath, udp: UdpPath, total: int) -> Counter[int]:
    """Send ``total`` frames, of each size in turn, in bursts for which the queue has room."""
    sizes = [FRAME_SIZES[number % len(FRAME_SIZES)] for number in range(total)]
    for start in range(0, total, _BURST):
        chunk = sizes[start : start + _BURST]
        while chunk:
            chunk = chunk[Burst([bytes(size - UDP_HEADERS_BYTES) for size in chunk]).send(udp.sender) :]
        wait_until_quiet([path])
    return Counter(sizes)


@dataclass(frozen=True)
class Message:
    """An HTTP message as bytes, with how many of them belong to each part."""

    wire: bytes
    text_bytes: int
    envelope_bytes: int
    instrumentation_bytes: int
    http_header_bytes: int


def message(start: str, text: str, request_id: str, wrapped: dict[str, object]) -> Message:
    """A message that carries ``text`` as content; ``wrapped`` is its instrumentation, beside the content."""
    kind = "messages" if start.startswith("POST") else "choices"
    content = {"role": "user" if kind == "messages" else "assistant", "content": text}
    entry: object = content if kind == "messages" else {"index": 0, "message": content}
    plain = encode_json({"model": "tier", kind: [entry]})
    member = encode_json(wrapped)[1:-1]
    body = plain if not member else plain[:-1] + b"," + member + b"}"
    line = f"{REQUEST_ID_HEADER}: {request_id}\r\n".encode()
    head = f"{start}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n".encode()
    text_bytes = len(text.encode())
    return Message(
        wire=head + line + b"\r\n" + body,
        text_bytes=text_bytes,
        envelope_bytes=len(body) - text_bytes - len(member),
        instrumentation_bytes=len(member) + len(line),
        http_header_bytes=len(head) + 2,
    )


def accounting(bench: Bench) -> Iterator[Figure]:
    """Capture known questions and answers over one connection, and compare each part of their bytes."""
    path = bench.path(Shape(RATE_BPS, queue_frames=1000))
    texts = ["plain", 'quotes " and \\ and \n', "Grüße – 東京 🎬", "é" * 20_000, "long " * 6_000]
    trailer: dict[str, object] = {INSTRUMENTATION_KEY: {"tier": "edge", "path": []}}
    asked = [message(f"POST {COMPLETIONS_PATH} HTTP/1.1", text, f"q{n}", {}) for n, text in enumerate(texts)]
    replied = [message("HTTP/1.1 200 OK", text[::-1], f"q{n}", trailer) for n, text in enumerate(texts)]
    with bench.capture("accounting", RATE_BPS) as tap:
        before = bench.link.counters()
        exchange(path, asked, replied)
        wait_until_quiet([path])
        after = bench.link.counters()
        tap.stop(sum(after[way].frames - before[way].frames for way in DIRECTIONS))
    counted = {way: after[way].bytes - before[way].bytes for way in DIRECTIONS}
    yield from judge_account(asked, replied, account(tap.pcap, bench.ends), counted)


def judge_account(
    asked: Sequence[Message],
    replied: Sequence[Message],
    found: CaptureAccount,
    counted_bytes: Mapping[Direction, int],
) -> Iterator[Figure]:
    """Compare a capture's account with the messages that crossed, and with the kernel's count."""
    texts_bytes = (found.up.prompt_bytes, found.down.answer_bytes)
    both = zip(DIRECTIONS, ("prompt", "answer"), (asked, replied), texts_bytes, strict=True)
    for direction, what, messages, in_file in both:
        parts = found.parts(direction)
        yield exactly(f"{what} bytes", "bytes", sum(sent.text_bytes for sent in messages), in_file)
        for name in ("envelope_bytes", "http_header_bytes", "instrumentation_bytes"):
            known = sum(getattr(sent, name) for sent in messages)
            yield exactly(f"{what}s' {name.replace('_', ' ')}", "bytes", known, getattr(parts, name))
        yield exactly(f"{direction}: all parts", "bytes", counted_bytes[direction], parts.accounted_bytes)


def exchange(path: LinkPath, asked: list[Message], replied: list[Message]) -> None:
    """Send each question up and its reply down, over one connection.

    Raises:
        OSError: the connection broke, or stood still for half a minute.
    """
    with listening(path.parent) as listener, connecting(path.child) as client:
        client.connect(listener.getsockname())
        server, _ = listener.accept()
        with server:
            server.settimeout(TIMEOUT_S)
            server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for question, reply in zip(asked, replied, strict=True):
                _carry(client, server, question.wire)
                _carry(server, client, reply.wire)


def _carry(sender: socket.socket, receiver: socket.socket, data: bytes) -> None:
    thread = threading.Thread(target=sender.sendall, args=(data,), daemon=True)
    thread.start()
    receive_all(receiver, len(data))
    thread.join(TIMEOUT_S)


CHECKS = (
    Check(
        "capture", "a capture holds every frame that crossed", "frames sent, the kernel's counters, scapy",
        capture, exact=True,
    ),
    Check(
        "accounting", "each byte of a known HTTP exchange has its cause", "the messages' own bytes",
        accounting, exact=True,
    ),
)  # fmt: skip
