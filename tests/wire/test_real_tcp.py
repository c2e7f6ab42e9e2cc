"""Known messages over the kernel's own TCP, captured: their bytes are found, and all sum to its counters."""

from __future__ import annotations

import contextlib
import socket
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from testbed.wire.account import account
from testbed.wire.capture import Capture
from testbed.wire.parts import CaptureAccount
from tests.wire import wireshark
from tests.wire.crafted import ENDS, Framing, Made, answer, assert_exact, request
from tests.wire.veth import Veth, at_rest, receive, transfer, veth

pytestmark = pytest.mark.root

PROMPTS = [
    "plain",
    'quotes " and \\ backslashes \\" \n\r\t',
    "Grüße aus Köln – 東京 🎬👨‍👩‍👧 \u2028",
    "",
    "L" * 100_000,
    "é" * 50_000,
]


@pytest.fixture
def pair() -> Iterator[Veth]:
    with veth() as made:
        yield made


@contextlib.contextmanager
def captured(pair: Veth, pcap: Path) -> Iterator[None]:
    """Capture meanwhile; afterwards the account must be the kernel's counters to the byte."""
    tap = Capture(pair.interface, pair.netns_path, pcap, None).start()
    before = pair.counters()
    yield
    at_rest(pair)
    after = pair.counters()
    report = tap.stop(sum(after[way][0] - before[way][0] for way in ("up", "down")))
    assert report.faults == ()
    result = account(pcap, ENDS)
    assert_exact(result)
    assert not result.doubts
    for parts, way in ((result.up, "up"), (result.down, "down")):
        assert parts.frames == after[way][0] - before[way][0]
        assert parts.frame_bytes == parts.accounted_bytes == after[way][1] - before[way][1]


def check_sums(result: CaptureAccount, asked: list[Made], answered: list[Made]) -> None:
    assert result.up.prompt_bytes == sum(one.text for one in asked)
    assert result.down.answer_bytes == sum(one.text for one in answered)
    for made, parts in ((asked, result.up), (answered, result.down)):
        assert parts.envelope_bytes == sum(one.envelope for one in made)
        assert parts.instrumentation_bytes == sum(one.instrumentation for one in made)
        assert parts.http_header_bytes == sum(one.headers for one in made)


def check_against_tshark(pcap: Path, result: CaptureAccount, *, in_order: bool = True) -> None:
    """Where nothing overtakes anything, each repeat is one for tshark too, by whatever name; else it guesses
    by time, and both are printed.
    """
    found = wireshark.check(pcap, result)
    print(found)
    if in_order:
        assert found.ours == found.retransmissions + found.out_of_order


@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_prompts_and_answers_are_found_to_the_byte(pair: Veth, tmp_path: Path, framing: Framing) -> None:
    asked = [request(text, f"q{number}", framing=framing) for number, text in enumerate(PROMPTS)]
    answered = [answer(text[::-1], f"q{number}", framing=framing) for number, text in enumerate(PROMPTS)]
    pcap = tmp_path / "a.pcap"
    with captured(pair, pcap):
        for start in (0, 3):  # two connections, kept alive
            with pair.connected() as (client, server):
                for question, reply in list(zip(asked, answered, strict=True))[start : start + 3]:
                    transfer(client, server, question.wire)
                    transfer(server, client, reply.wire)
    result = account(pcap, ENDS)
    check_sums(result, asked, answered)
    check_against_tshark(pcap, result)
    assert not result.findings
    for number, text in enumerate(PROMPTS):
        found = result.requests[f"q{number}"]
        assert found.prompt_bytes == found.answer_bytes == len(text.encode())


def test_pipelined_requests_and_a_connection_from_before_the_capture(pair: Veth, tmp_path: Path) -> None:
    asked = [request("p" * 700 * number, f"q{number}") for number in range(8)]
    answered = [answer("a" * 900 * number) for number in range(8)]
    pcap = tmp_path / "a.pcap"
    with pair.connected() as (client, server):
        transfer(client, server, request("not captured").wire)
        transfer(server, client, answer("not captured").wire)
        at_rest(pair)
        with captured(pair, pcap):
            transfer(client, server, b"".join(one.wire for one in asked))
            transfer(server, client, b"".join(one.wire for one in answered))
    result = account(pcap, ENDS)
    check_sums(result, asked, answered)
    check_against_tshark(pcap, result)
    assert {f"q{n}": (700 * n, 900 * n) for n in range(8)} == {
        key: (one.prompt_bytes, one.answer_bytes) for key, one in result.requests.items()
    }


def retransmissions(connection: socket.socket) -> int:
    """tcpi_total_retrans of tcp(7)'s TCP_INFO."""
    info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104)
    return int(struct.unpack_from("I", info, 100)[0])


def sent_again(pair: Veth, client: socket.socket, server: socket.socket) -> tuple[int, int]:
    """Both senders' counts once they have said all that they ever will: a FIN may be lost too."""
    for end in (client, server):
        end.shutdown(socket.SHUT_WR)
    at_rest(pair)
    return retransmissions(client), retransmissions(server)


@pytest.mark.parametrize("one_in", [50, 7])
def test_what_the_way_loses_is_sent_again_and_counted_so(pair: Veth, tmp_path: Path, one_in: int) -> None:
    asked = [request("R" * 60_000, f"q{number}") for number in range(5)]
    answered = [answer("S" * 60_000, f"q{number}") for number in range(5)]
    pcap = tmp_path / "a.pcap"
    with captured(pair, pcap), pair.connected() as (client, server):
        pair.lose(one_in)
        for question, reply in zip(asked, answered, strict=True):
            transfer(client, server, question.wire)
            transfer(server, client, reply.wire)
        pair.keep()
        by_sender = sent_again(pair, client, server)
    result = account(pcap, ENDS)
    check_sums(result, asked, answered)
    for parts, times in zip((result.up, result.down), by_sender, strict=True):
        assert times > 0
        assert parts.retransmitted_frames + parts.repeated_control_frames == times
    check_against_tshark(pcap, result)


def test_a_connection_reset_inside_a_message_leaves_no_byte_unaccounted(pair: Veth, tmp_path: Path) -> None:
    asked = request("cut" * 30_000, "q1")
    pcap = tmp_path / "a.pcap"
    with captured(pair, pcap), pair.connected() as (client, server):
        client.sendall(asked.wire[:50_000])
        receive(server, 40_000)
        linger = struct.pack("ii", 1, 0)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        at_rest(pair)
        client.close()
    result = account(pcap, ENDS)
    head = asked.headers + asked.instrumentation
    assert result.up.http_header_bytes + result.up.instrumentation_bytes == head
    assert result.up.prompt_bytes + result.up.envelope_bytes == 50_000 - head
    assert result.up.prompt_bytes > 49_000
    assert any("cut off" in finding for finding in result.findings)
