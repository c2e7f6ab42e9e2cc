"""Bytes add up on ways that lose, duplicate, delay and reorder, and behind queues that refuse frames."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from scapy.layers.inet import UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import ARP, Ether

from testbed.netns import socket_in
from testbed.wire import account
from tests.wire import wireshark
from tests.wire.crafted import CHILD_IP, CHILD_MAC, PARENT_IP, PARENT_MAC, Framing, Made, answer, request
from tests.wire.test_real_tcp import captured, check_against_tshark, check_sums, sent_again
from tests.wire.veth import Veth, at_rest, receive, transfer, veth

pytestmark = [pytest.mark.netem, pytest.mark.root]

ASKED = [request("R" * 40_000 + "é🎬", f"q{number}") for number in range(6)]
ANSWERED = [answer("S" * 40_000, f"q{number}") for number in range(6)]
Pair = tuple[socket.socket, socket.socket]


def exchange(pair: Veth, pcap: Path) -> tuple[int, int]:
    """The messages over one connection, captured; the retransmissions that each sender counted."""
    with captured(pair, pcap), pair.connected() as (client, server):
        for question, reply in zip(ASKED, ANSWERED, strict=True):
            transfer(client, server, question.wire)
            transfer(server, client, reply.wire)
        return sent_again(pair, client, server)


@pytest.mark.parametrize(
    ("way", "reorders"),
    [
        ("delay 10ms loss 3%", False),
        ("delay 10ms duplicate 5%", False),
        ("delay 10ms loss 2% duplicate 2%", False),
        ("delay 20ms reorder 10% 50%", True),
        ("delay 10ms 5ms loss 2% duplicate 3%", True),
    ],
)
def test_each_byte_has_a_cause_whatever_the_way_does(tmp_path: Path, way: str, reorders: bool) -> None:
    pcap = tmp_path / "a.pcap"
    with veth() as pair:
        pair.way(way)
        by_sender = exchange(pair, pcap)
    result = account(pcap, pair.ends)
    check_sums(result, ASKED, ANSWERED)
    for parts, times in zip((result.up, result.down), by_sender, strict=True):
        assert parts.retransmitted_frames + parts.repeated_control_frames == times
    check_against_tshark(pcap, result, in_order=not reorders)


def test_a_frame_that_the_queue_refuses_has_not_crossed(tmp_path: Path) -> None:
    pcap = tmp_path / "a.pcap"
    with veth() as pair:
        pair.way("delay 10ms")
        pair.bottleneck("rate 4mbit limit 8")
        by_sender = exchange(pair, pcap)
        dropped = pair.refused()
    result = account(pcap, pair.ends)
    check_sums(result, ASKED, ANSWERED)
    assert dropped["up"] > 0
    for parts, times, refused in zip((result.up, result.down), by_sender, dropped.values(), strict=True):
        repeated = parts.retransmitted_frames + parts.repeated_control_frames
        assert times - refused <= repeated <= times
    check_against_tshark(pcap, result, in_order=False)


def messages(name: str, framing: Framing = "length") -> list[tuple[Made, Made]]:
    """Requests and answers of one connection, with ids of its own."""
    ids = [f"{name}{number}" for number in range(4)]
    return [
        (
            request("R" * 9_000 + "é🎬" * number, request_id, framing=framing, ascii_json=number == 3),
            answer("S" * 7_000 * number, request_id, framing=framing),
        )
        for number, request_id in enumerate(ids)
    ]


def kept_alive(connection: Pair, exchanged: Sequence[tuple[Made, Made]]) -> None:
    client, server = connection
    for asked, answered in exchanged:
        transfer(client, server, asked.wire)
        transfer(server, client, answered.wire)


def pipelined(connection: Pair, exchanged: Sequence[tuple[Made, Made]]) -> None:
    client, server = connection
    transfer(client, server, b"".join(asked.wire for asked, _ in exchanged))
    transfer(server, client, b"".join(answered.wire for _, answered in exchanged))


def in_small_writes(connection: Pair, exchanged: Sequence[tuple[Made, Made]]) -> None:
    """Segments of 200 bytes, which TCP joins into other ones when it sends them again."""
    for sender, receiver, wire in (
        (*connection, exchanged[0][0].wire),
        (*connection[::-1], exchanged[0][1].wire),
    ):
        with ThreadPoolExecutor(1) as pool:
            received = pool.submit(receive, receiver, len(wire))
            for start in range(0, len(wire), 200):
                sender.sendall(wire[start : start + 200])
            assert received.result(60) == wire


def add_noise(pair: Veth) -> None:
    """ARP, which the parent answers, and IPv6, which nobody does; often, for some are lost."""
    asked = Ether(src=CHILD_MAC, dst="ff:ff:ff:ff:ff:ff") / ARP(
        hwsrc=CHILD_MAC, psrc=CHILD_IP, pdst=PARENT_IP
    )
    shouted = Ether(src=CHILD_MAC, dst=PARENT_MAC) / IPv6(src="fe80::1", dst="fe80::2") / UDP() / b"noise"
    with socket_in(pair.netns_path, socket.AF_PACKET, socket.SOCK_RAW) as out:
        out.bind((pair.interface, 0))
        for frame in (asked, shouted) * 10:
            out.send(bytes(frame))


@pytest.mark.parametrize(
    ("way", "before_the_wire"),
    [
        ("delay 10ms loss 5%", None),
        # Here the wire itself, and so the capture, sees frames out of order, twice, or not at all.
        (
            "delay 10ms 5ms loss 2% duplicate 3%",
            "delay 10ms 5ms reorder 25% 50% loss 2% duplicate 5%",
        ),
    ],
)
def test_all_that_http_and_a_network_do_at_once(
    tmp_path: Path, way: str, before_the_wire: str | None
) -> None:
    """Connections at the same time, kept alive, chunked, pipelined, in small writes and from before."""
    pcap = tmp_path / "a.pcap"
    kinds = [
        (kept_alive, messages("k")),
        (kept_alive, messages("c", "chunked")),
        (pipelined, messages("p")),
        (in_small_writes, messages("s")[2:3]),
        (kept_alive, messages("o")),
    ]
    with veth() as pair:
        pair.way(way)
        if before_the_wire:
            pair.bottleneck(f"{before_the_wire} limit 10000")
        with pair.listening() as connect:
            old = connect()
            kept_alive(old, messages("x"))
            at_rest(pair)
            with captured(pair, pcap), ThreadPoolExecutor(len(kinds)) as pool:
                connections = [*(connect() for _ in kinds[:-1]), old]
                running = [
                    pool.submit(act, connection, exchanged)
                    for connection, (act, exchanged) in zip(connections, kinds, strict=True)
                ]
                add_noise(pair)
                for one in running:
                    one.result(90)
                for end in connections[0]:
                    end.close()
    result = account(pcap, pair.ends)
    exchanged = [one for _, some in kinds for one in some]
    check_sums(result, [asked for asked, _ in exchanged], [answered for _, answered in exchanged])
    for asked, answered in exchanged:
        name = asked.wire.partition(b"x-request-ID: ")[2].partition(b"\r\n")[0].decode()
        found = result.requests[name]
        assert (found.prompt_bytes, found.answer_bytes) == (asked.text, answered.text)
    assert len({one.source for one in result.streams if one.direction == "up"}) == len(kinds)
    assert result.up.other_frames >= 2
    assert result.down.other_frames >= 1
    assert {finding.split()[0] for finding in result.findings} == {"ARP", "IPv6"}
    repeats = wireshark.check(pcap, result)
    print(way, before_the_wire, repeats)
    assert repeats.ours > 0
