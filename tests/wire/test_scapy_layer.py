"""scapy shows the tiers' messages as fields, of single frames and of streams."""

from __future__ import annotations

from pathlib import Path

import pytest
from scapy.layers.http import HTTPResponse
from scapy.sendrecv import sniff
from scapy.sessions import TCPSession
from scapy.utils import rdpcap

from testbed.wire.scapy_layer import TierAnswer, TierRequest
from tests.wire.crafted import Connection, answer, request, write
from tiers.chat import Step, Usage, write_answer

TEXT = 'she said "é 🎬"\nand left'


def capture(path: Path, size: int = 1448) -> Path:
    connection = Connection()
    connection.send(True, request(TEXT, "q1").wire, size=size)
    connection.send(False, answer("schön").wire, size=size)
    connection.close()
    return write(path, connection.frames)


def test_rdpcap_shows_what_is_whole_in_a_frame(tmp_path: Path) -> None:
    packets = rdpcap(str(capture(tmp_path / "a.pcap")))
    (asked,) = [packet[TierRequest] for packet in packets if TierRequest in packet]
    (answered,) = [packet[TierAnswer] for packet in packets if TierAnswer in packet]
    assert (asked.request_id, asked.model, asked.prompt) == ("q1", "device", TEXT)
    assert answered.answer == "schön"
    assert answered.recserve["tier"] == "edge"
    assert [packet.summary().rpartition(" / ")[2] for packet in (packets[3], packets[4])] == [
        f"q1: {TEXT!r}",
        "None: 'schön'",
    ]


def test_a_session_shows_what_is_spread_over_frames(tmp_path: Path) -> None:
    pcap = str(capture(tmp_path / "a.pcap", size=100))
    assert not [packet for packet in rdpcap(pcap) if TierRequest in packet and packet[TierRequest].prompt]
    packets = sniff(offline=pcap, session=TCPSession)
    assert [packet[TierRequest].prompt for packet in packets if TierRequest in packet] == [TEXT]
    assert [packet[TierAnswer].answer for packet in packets if TierAnswer in packet] == ["schön"]


def test_packets_are_built_again_as_they_were(tmp_path: Path) -> None:
    for packet in rdpcap(str(capture(tmp_path / "a.pcap"))):
        assert bytes(packet) == packet.original


def test_an_answer_as_tiers_write_it_shows_who_decided() -> None:
    body = write_answer(
        "q7", "cloud", "yes", Usage(3, 1), "stop", "cloud", Step("cloud1", 0.75, None, kept=True)
    )
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body)
    found = HTTPResponse(head + body)[TierAnswer]
    assert (found.request_id, found.answer, found.recserve["path"][0]["node"]) == ("q7", "yes", "cloud1")


def test_an_answer_in_chunks_is_read_when_scapy_has_undone_them(tmp_path: Path) -> None:
    connection = Connection()
    connection.send(True, request("x").wire)
    head, body = answer("in pieces").wire.split(b"\r\n\r\n")
    head = head.partition(b"\r\nContent-Length")[0] + b"\r\nTransfer-Encoding: chunked\r\n\r\n"
    chunks = [body[at : at + 50] for at in range(0, len(body), 50)]
    framed = b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n\r\n"
    connection.send(False, head + framed, size=60)
    pcap = write(tmp_path / "a.pcap", connection.frames)
    packets = sniff(offline=str(pcap), session=TCPSession)
    assert [packet[TierAnswer].answer for packet in packets if TierAnswer in packet] == ["in pieces"]


@pytest.mark.parametrize(
    "body", [b"no json", b"[1]", b"\xff", b"[" * 100_000, b'{"choices":[1,{"message":2}]}']
)
def test_a_body_of_another_shape_has_no_text(body: bytes) -> None:
    found = TierAnswer(body)
    assert not found.answer
    assert found.load == body
    assert bytes(found) == body
    found.show2(dump=True)
