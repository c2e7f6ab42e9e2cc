"""However a stream is cut, reordered and repeated, its bytes count the same."""

from __future__ import annotations

import tempfile
from itertools import pairwise
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from testbed.wire.tcp_stream import TcpHalf
from tests.wire.crafted import Connection, Framing, accounted, answer, frame, request

TEXTS = st.text(max_size=400)


class Collector:
    def __init__(self) -> None:
        self.data = bytearray()
        self.losses = 0

    def feed(self, data: bytes) -> None:
        self.data += data

    def lost(self) -> None:
        self.losses += 1


@st.composite
def segmentations(draw: st.DrawFn, length: int) -> list[tuple[int, int]]:
    """Ranges that cover ``length`` bytes, with repeats and overlaps, in any order."""
    cuts = sorted({0, length, *draw(st.lists(st.integers(0, length), max_size=12))})
    ranges = list(pairwise(cuts))
    for _ in range(draw(st.integers(0, 6))):
        start = draw(st.integers(0, length - 1))
        ranges.append((start, draw(st.integers(start + 1, length))))
    return draw(st.permutations(ranges))


@given(st.data(), st.integers(0, 2**32 - 1), st.booleans())
@settings(max_examples=300)
def test_every_byte_is_delivered_once_and_in_order(data: st.DataObject, isn: int, syn_first: bool) -> None:
    stream = data.draw(st.binary(min_size=1, max_size=300))
    sink = Collector()
    half = TcpHalf(sink)
    ranges = data.draw(segmentations(len(stream)))
    syn_at = 0 if syn_first else data.draw(st.integers(0, len(ranges)))
    new = 0
    for number, (start, end) in enumerate(ranges):
        if number == syn_at:
            half.open(isn)
        new += half.segment((isn + 1 + start) % 2**32, stream[start:end], None)
    half.finish()
    assert new == len(stream)
    if syn_at == 0:
        assert bytes(sink.data) == stream
        assert not sink.losses
        assert not half.gap_bytes


@given(st.data(), TEXTS, TEXTS, st.sampled_from(["length", "chunked"]), st.integers(0, 2**32 - 1))
@settings(max_examples=60)
def test_texts_count_the_same_under_any_segmentation_order_and_repetition(
    data: st.DataObject, prompt: str, reply: str, framing: Framing, isn: int
) -> None:
    asked = request(prompt, framing=framing, ascii_json=data.draw(st.booleans()))
    answered = answer(reply, framing=framing)
    connection = Connection(isn_up=isn, isn_down=isn ^ 0x5A5A5A5A)
    for up, wire in ((True, asked.wire), (False, answered.wire)):
        base, ack = (connection.seq_up, connection.seq_down)[:: 1 if up else -1]
        for start, end in data.draw(segmentations(len(wire))):
            connection.frames.append(frame(up, base + start, wire[start:end], "PA", ack))
    with tempfile.TemporaryDirectory() as folder:
        result = accounted(Path(folder) / "a.pcap", connection.frames)
    assert result.up.prompt_bytes == asked.text
    assert result.down.answer_bytes == answered.text
    assert result.up.envelope_bytes == asked.envelope
    assert result.down.instrumentation_bytes == answered.instrumentation
    assert result.up.http_header_bytes == asked.headers
    assert not result.findings


NUMBERS = st.one_of(
    st.integers(-20, 40).map(str),
    st.integers(-20, 40).map(hex),
    st.sampled_from(["", "+5", "1_0", "5 ", "5;a=b", "9" * 5000, "f" * 16]),
    st.text(max_size=5),
)
ODD_BODIES = st.text(st.sampled_from('{}[]",:\\u 1aé\r\n'), max_size=40).map(str.encode)


@st.composite
def odd_messages(draw: st.DrawFn) -> bytes:
    """Heads that promise anything, and bodies of JSON's own characters."""
    start = draw(st.sampled_from([b"POST /v1/chat/completions HTTP/1.1\r\n", b"HTTP/1.1 200 OK\r\n"]))
    number, body = draw(NUMBERS).encode(), draw(ODD_BODIES)
    if draw(st.booleans()):
        return start + b"Content-Length: %s\r\n\r\n" % number + body
    return start + b"Transfer-Encoding: chunked\r\n\r\n%s\r\n" % number + body


@given(st.data(), st.binary(max_size=2000), odd_messages())
@settings(max_examples=150)
def test_any_payload_at_all_is_accounted_to_the_byte(data: st.DataObject, noise: bytes, odd: bytes) -> None:
    connection = Connection(handshake=data.draw(st.booleans()))
    parts = [noise, request("p").wire, answer("a").wire, odd, b"HTTP/1.1 200 \r\n\r\n{"]
    wire = data.draw(st.permutations(parts))
    stream = b"".join(wire)
    for start, end in data.draw(segmentations(len(stream))):
        if data.draw(st.integers(0, 9)):  # some are lost for good
            connection.frames.append(frame(True, connection.seq_up + start, stream[start:end], "PA"))
    with tempfile.TemporaryDirectory() as folder:
        accounted(Path(folder) / "a.pcap", connection.frames)


def test_a_stream_without_its_syn_starts_at_the_lowest_message() -> None:
    wire = request("late").wire
    sink = Collector()
    half = TcpHalf(sink)
    for start in (40, 20, 0):
        half.segment(1000 + start, wire[start : start + 20], None)
    assert sink.data == wire[:60]


def test_a_hole_that_never_closes_does_not_hold_the_stream_for_ever() -> None:
    sink = Collector()
    half = TcpHalf(sink)
    half.open(0)
    block = bytes(1 << 20)
    for number in range(20):
        half.segment(1 + 5 + number * len(block), block, None)
    assert half.gap_bytes == 5
    assert len(sink.data) == 20 * len(block)
    assert half.in_order


def test_many_holes_are_kept_apart_and_joined() -> None:
    stream = bytes(range(256)) * 40
    sink = Collector()
    half = TcpHalf(sink)
    half.open(2**32 - 5000)
    for parity in (1, 0):
        for number in range(parity, 1024, 2):
            start = number * 10
            assert half.segment((2**32 - 4999 + start) % 2**32, stream[start : start + 10], None) == 10
    assert sink.data == stream
