"""Bytes add up on ways that lose, duplicate, delay and reorder, and behind queues that refuse frames."""

from __future__ import annotations

from pathlib import Path

import pytest

from testbed.wire import account
from tests.wire.crafted import answer, request
from tests.wire.test_real_tcp import captured, check_against_tshark, check_sums, retransmissions
from tests.wire.veth import Veth, quiet, transfer, veth

pytestmark = [pytest.mark.netem, pytest.mark.root]

ASKED = [request("R" * 40_000 + "é🎬", f"q{number}") for number in range(6)]
ANSWERED = [answer("S" * 40_000, f"q{number}") for number in range(6)]


def exchange(pair: Veth, pcap: Path) -> tuple[int, int]:
    """The messages over one connection, captured; the retransmissions that each sender counted."""
    with captured(pair, pcap), pair.connected() as (client, server):
        for question, reply in zip(ASKED, ANSWERED, strict=True):
            transfer(client, server, question.wire)
            transfer(server, client, reply.wire)
        quiet(pair.counters)
        return retransmissions(client), retransmissions(server)


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
        sent_again = exchange(pair, pcap)
    result = account(pcap, pair.ends)
    check_sums(result, ASKED, ANSWERED)
    for parts, by_sender in zip((result.up, result.down), sent_again, strict=True):
        assert parts.retransmitted_frames + parts.repeated_control_frames == by_sender
    check_against_tshark(pcap, result, in_order=not reorders)


def test_a_frame_that_the_queue_refuses_has_not_crossed(tmp_path: Path) -> None:
    pcap = tmp_path / "a.pcap"
    with veth() as pair:
        pair.way("delay 10ms")
        pair.bottleneck("rate 4mbit limit 8")
        sent_again = exchange(pair, pcap)
        dropped = pair.refused()
    result = account(pcap, pair.ends)
    check_sums(result, ASKED, ANSWERED)
    assert dropped["up"] > 0
    for parts, by_sender, refused in zip((result.up, result.down), sent_again, dropped.values(), strict=True):
        repeated = parts.retransmitted_frames + parts.repeated_control_frames
        assert by_sender - refused <= repeated <= by_sender
    check_against_tshark(pcap, result, in_order=False)
