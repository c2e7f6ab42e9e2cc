"""Which byte of which frame has which cause; that the sums are the account's is checked in ``crafted``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from testbed.wire.trace import trace
from testbed.wire.traced_frame import Frame
from tests.wire.crafted import ENDS, HEADERS, Connection, Framing, accounted, answer, frame, request


def traced(path: Path, frames: list[Any]) -> list[Frame]:
    """The frames of a capture, after checking that they sum to its account."""
    accounted(path, frames)
    return list(trace(path, ENDS))


def payload_of(frames: list[Frame], made: list[Any], cause: str) -> bytes:
    """The payload bytes of a cause, in a capture with one payload byte a segment."""
    pairs = zip(made, frames, strict=True)
    return b"".join(bytes(one)[-1:] for one, of in pairs if of.bytes_by_cause()[cause] == 1)


@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_each_byte_of_a_message_has_a_cause_of_its_own(tmp_path: Path, framing: Framing) -> None:
    asked, answered = request('Grüße "x" \\ 🎬', framing=framing), answer("schön", framing=framing)
    connection = Connection(handshake=False)
    connection.send(True, asked.wire, size=1)
    connection.send(False, answered.wire, size=1)
    frames = traced(tmp_path / "a.pcap", connection.frames)
    # Of an escape, the first byte stands for the character; what it takes beside is envelope.
    assert payload_of(frames, connection.frames, "prompt_bytes").decode() == "Grüße \\x\\ \\ 🎬"
    assert payload_of(frames, connection.frames, "answer_bytes").decode() == "schön"
    instrumentation = payload_of(frames, connection.frames, "instrumentation_bytes").decode()
    line, member = instrumentation.split('"recserve"')
    assert line == "\r\nx-request-ID: q1"
    assert (member[:2], member[-3:]) == (":{", "}]}")
    headers = payload_of(frames, connection.frames, "http_header_bytes")
    assert headers.startswith(b"POST /v1/chat/completions HTTP/1.1\r\n")
    assert b"HTTP/1.1 200 OK\r\n" in headers


def test_a_message_over_several_frames_gives_each_its_share(tmp_path: Path) -> None:
    asked = request("p" * 2000)
    connection = Connection()
    connection.send(True, asked.wire, size=1000)
    first, second, *rest, last = traced(tmp_path / "a.pcap", connection.frames)[3:]
    head = asked.wire.index(b"p" * 2000)
    assert first.bytes_by_cause()["prompt_bytes"] == 1000 - head
    assert second.causes == {("prompt_bytes", "q1"): 1000, ("packet_header_bytes", None): HEADERS}
    assert not rest
    assert last.bytes_by_cause()["prompt_bytes"] == head
    assert first.requests == second.requests == last.requests == {"q1"}


def test_numbers_are_relative_and_flags_are_as_sent(tmp_path: Path) -> None:
    asked = request("one")
    connection = Connection(isn_up=2**32 - 2, isn_down=77)
    connection.send(True, asked.wire)
    connection.close()
    frames = traced(tmp_path / "a.pcap", connection.frames)
    size = len(asked.wire)
    assert [(one.seq, one.ack) for one in frames] == [
        (0, None), (0, 1), (1, 1), (1, 1), (size + 1, 1), (1, size + 2), (size + 2, 2),
    ]  # fmt: skip
    assert [one.flags for one in frames] == [2, 18, 16, 24, 17, 17, 16]
    assert [one.number for one in frames] == [1, 2, 3, 4, 5, 6, 7]
    assert [one.direction for one in frames] == ["up", "down", "up", "up", "up", "down", "up"]


def test_a_frame_is_of_the_requests_that_it_brings_repeats_or_acknowledges(tmp_path: Path) -> None:
    asked, answered = request("first", "q1"), answer("yes", "q1")
    connection = Connection()
    connection.send(True, asked.wire)
    connection.frames.append(frame(False, connection.seq_down, ack=connection.seq_up))
    connection.send(False, answered.wire)
    lost = connection.frames[-1]
    connection.send(True, request("second", "q2").wire)
    connection.frames.append(lost)  # which had not arrived
    connection.frames.append(frame(True, connection.seq_up, ack=connection.seq_down))
    frames = traced(tmp_path / "a.pcap", connection.frames)
    assert [one.requests for one in frames] == [
        set(), set(), set(), {"q1"}, {"q1"}, {"q1"}, {"q2"}, {"q1"}, {"q1"},
    ]  # fmt: skip
    assert frames[7].causes == {("retransmitted_bytes", None): frames[7].length}


def test_frames_come_in_the_files_order_though_messages_end_later(tmp_path: Path) -> None:
    connections = [Connection(port=40000 + number) for number in range(3)]
    for number, connection in enumerate(connections):
        connection.send(True, request("x" * 5000, f"q{number}").wire)
    mixed = [one for same in zip(*(each.frames for each in connections), strict=True) for one in same]
    frames = traced(tmp_path / "a.pcap", mixed)
    assert [one.number for one in frames] == list(range(1, len(mixed) + 1))


def test_a_frame_of_two_requests_gives_each_its_own(tmp_path: Path) -> None:
    connection = Connection()
    connection.send(True, request("one", "q1").wire + request("three", "q2").wire)
    last = traced(tmp_path / "a.pcap", connection.frames)[-1]
    assert last.requests == {"q1", "q2"}
    assert last.bytes_by_cause("q1")["prompt_bytes"] == 3
    assert last.bytes_by_cause("q2")["prompt_bytes"] == 5
    assert last.bytes_by_cause("q2")["packet_header_bytes"] == HEADERS
