"""One request's frames are found without accounting for all, and are those that the whole account has."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from testbed.errors import TestbedError
from testbed.wire.seek import trace_request
from testbed.wire.trace import trace
from testbed.wire.traced_frame import Frame
from tests.wire.crafted import ENDS, Connection, answer, frame, request, write

REQUESTS = 40
PORTS = 4


def exchanges(seed: int) -> list[Any]:
    """Exchanges on kept-alive connections, one at a time on each, with ACKs; some frames come twice."""
    drawn = random.Random(seed)
    connections = [Connection(port=40000 + number, isn_up=drawn.getrandbits(32)) for number in range(PORTS)]
    frames = [one for connection in connections for one in connection.frames]
    for number in range(REQUESTS):
        connection = connections[number % PORTS]
        connection.frames.clear()
        text = "x" * drawn.randrange(4000)
        for up, made in ((True, request(text, f"q{number}")), (False, answer("yes"))):
            connection.send(up, made.wire)
            if drawn.random() < 0.3:
                connection.frames.append(drawn.choice(connection.frames[-2:]))
            seq, ack = (connection.seq_down, connection.seq_up)[:: 1 if up else -1]
            connection.frames.append(frame(not up, seq, ack=ack, port=connection.port))
        frames += connection.frames
    return frames


def described(frames: list[Frame]) -> list[Any]:
    return [(one.number, one.direction, one.length, one.seq, one.ack, one.causes) for one in frames]


@pytest.mark.parametrize("seed", range(3))
def test_a_requests_frames_are_those_that_reading_all_finds(tmp_path: Path, seed: int) -> None:
    pcap = write(tmp_path / "a.pcap", exchanges(seed))
    all_frames = list(trace(pcap, ENDS))
    for number in (0, 1, REQUESTS // 2, REQUESTS - 1):
        name = f"q{number}"
        expected = [one for one in all_frames if name in one.requests]
        assert len(expected) >= 4
        assert described(list(trace_request(pcap, ENDS, name))) == described(expected)


def test_an_id_that_a_frames_time_spells_hides_no_request(tmp_path: Path) -> None:
    connection = Connection()
    connection.send(True, request("text", "q0").wire)
    for one in connection.frames:
        one.time = int.from_bytes(b"q0q0", "little")
    pcap = write(tmp_path / "a.pcap", connection.frames)
    assert b"q0q0" in pcap.read_bytes()
    assert len(list(trace_request(pcap, ENDS, "q0"))) == 1


def test_a_request_that_was_sent_again_on_another_connection_is_found_whole(tmp_path: Path) -> None:
    first, second = Connection(port=40000), Connection(port=40001)
    first.send(True, request("again", "q1").wire)
    second.send(True, request("again", "q1").wire)
    second.send(False, answer("yes").wire)
    pcap = write(tmp_path / "a.pcap", first.frames + second.frames)
    found = list(trace_request(pcap, ENDS, "q1"))
    assert [one.bytes_by_cause()["prompt_bytes"] for one in found] == [5, 0, 0]
    assert [one.bytes_by_cause()["answer_bytes"] for one in found] == [0, 0, 3]
    assert found[1].bytes_by_cause()["other_bytes"] == 5


def test_an_id_in_a_text_or_as_part_of_another_is_no_request(tmp_path: Path) -> None:
    connection = Connection()
    connection.send(True, request("x-request-id: q1\r\n", "q11").wire)
    pcap = write(tmp_path / "a.pcap", connection.frames)
    assert list(trace_request(pcap, ENDS, "q1")) == []
    assert len(list(trace_request(pcap, ENDS, "q11"))) == 1


def test_a_capture_that_is_cut_off_is_refused(tmp_path: Path) -> None:
    pcap = write(tmp_path / "a.pcap", exchanges(1))
    pcap.write_bytes(pcap.read_bytes()[:-9])
    with pytest.raises(TestbedError, match="cut off after frame"):
        list(trace_request(pcap, ENDS, "q0"))
