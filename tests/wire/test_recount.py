"""scapy's reading of a capture and the account agree wherever scapy reassembles; what it cannot is named."""

from __future__ import annotations

import bz2
import random
from pathlib import Path
from typing import Any

import pytest
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import ARP, Ether

from testbed.errors import TestbedError
from testbed.scenario.topology import DIRECTIONS, Direction
from testbed.wire.account import account
from testbed.wire.parts import CaptureAccount
from testbed.wire.recount import REASSEMBLED, Recount, recount
from tests import ROOT
from tests.wire.crafted import (
    CHILD_IP,
    CHILD_MAC,
    ENDS,
    PARENT_IP,
    PARENT_MAC,
    Connection,
    answer,
    frame,
    request,
    write,
)

STATIONS: dict[str, Direction] = {CHILD_MAC: "up", PARENT_MAC: "down"}
KEPT = sorted((ROOT / "tests" / "corpus" / "kept" / "pcap").glob("*/*"))
READ_OTHERWISE = {
    "http-target-not-ascii.pcap": "the account takes it for no request, as RFC 9112 has it",
    "http-head-of-100-kilobytes.pcap.bz2": "the account gives such a head up",
}
"""Captures that no tier makes, of which the two readers say different things, and why."""


def both(pcap: Path) -> tuple[CaptureAccount, Recount]:
    return account(pcap, ENDS), recount(pcap, STATIONS)


def differences(first: CaptureAccount, second: Recount) -> list[Any]:
    """Where a capture that scapy read as a whole differs."""
    return [
        (way, part, second.sums[way][part], getattr(first.parts(way), part))
        for way in DIRECTIONS
        for part in ("frames", "frame_bytes", *(REASSEMBLED if second.complete else ()))
        if second.sums[way][part] != getattr(first.parts(way), part)
    ]


@pytest.mark.parametrize("path", KEPT, ids=lambda path: path.name.partition(".")[0])
def test_it_is_the_account_or_says_why_not(path: Path, tmp_path: Path) -> None:
    if path.suffix == ".bz2":
        unpacked = tmp_path / path.stem
        unpacked.write_bytes(bz2.decompress(path.read_bytes()))
    else:
        unpacked = path
    try:
        first = account(unpacked, ENDS)
    except TestbedError:
        return  # such a capture is told by the account
    second = recount(unpacked, STATIONS)
    assert bool(differences(first, second)) == (path.name in READ_OTHERWISE)


def test_an_undisturbed_capture_is_read_as_a_whole(tmp_path: Path) -> None:
    texts = ["plain", 'she said "é 🎬"\n', "", "x" * 20_000]
    connections = [Connection(port=40000 + number) for number in range(2)]
    for number, text in enumerate(texts):
        connection = connections[number % 2]
        connection.send(True, request(text, f"q{number}").wire)
        connection.send(False, answer(text[::-1], body_id=f"q{number}").wire)
    connections[1].close()
    noise = [Ether(src=CHILD_MAC, dst=PARENT_MAC) / ARP()]
    first, second = both(write(tmp_path / "a.pcap", connections[0].frames + connections[1].frames + noise))
    assert second.complete
    assert differences(first, second) == []
    sizes = {f"q{number}": len(text.encode()) for number, text in enumerate(texts)}
    assert second.prompts == second.answers == sizes


@pytest.mark.parametrize("seed", range(20))
def test_under_repeats_and_reordering_what_it_reads_is_right_and_the_rest_named(
    tmp_path: Path, seed: int
) -> None:
    drawn = random.Random(seed)
    connection = Connection(isn_up=drawn.getrandbits(32), isn_down=drawn.getrandbits(32))
    disturbed = set()
    for number in range(30):
        for up, made in (
            (True, request("p" * drawn.randrange(3000), f"q{number}")),
            (False, answer("a" * number, body_id=f"q{number}")),
        ):
            segments = connection.segments(up, made.wire)
            what = drawn.randrange(12)
            if what == 0:
                segments.append(drawn.choice(segments))
            elif what == 1 and len(segments) > 1:
                segments.append(segments.pop(drawn.randrange(len(segments) - 1)))
            if what == 0 or (what == 1 and len(segments) > 1):
                disturbed.add(f"q{number}")
            connection.frames += segments
    first, second = both(write(tmp_path / "a.pcap", connection.frames))
    assert differences(first, second) == []
    assert bool(second.lacks) == bool(disturbed)
    for name, found in first.requests.items():
        if name in second.prompts:
            assert second.prompts[name] == found.prompt_bytes
        if name in second.answers:
            assert second.answers[name] == found.answer_bytes
    assert {f"q{number}" for number in range(30)} - second.prompts.keys() <= disturbed
    assert len(second.answers) >= 30 - 2 * len(disturbed)


@pytest.mark.parametrize(
    ("what", "order", "lack"),
    [
        ("repeat", [0, 1, 1, 2], "retransmitted segments"),
        ("gap", [0, 2], "segments behind a gap or out of order"),
        ("overtaken", [1, 0, 2], "segments behind a gap or out of order"),
    ],
)
def test_what_scapy_cannot_put_together_is_named(
    tmp_path: Path, what: str, order: list[int], lack: str
) -> None:
    connection = Connection()
    segments = connection.segments(True, request("x" * 3500).wire)
    connection.frames += [segments[number] for number in order]
    connection.send(True, request("after it", "q2").wire)
    found = recount(write(tmp_path / "a.pcap", connection.frames), STATIONS)
    assert found.lacks[lack] == 1
    assert found.prompts["q2"] == len("after it")
    assert found.prompts.get("q1") in (None, 3500), what


def test_numbers_that_wrap_around_within_a_message_are_named(tmp_path: Path) -> None:
    connection = Connection(isn_up=2**32 - 1000)
    connection.send(True, request("x" * 3000).wire)
    connection.send(True, request("after it", "q2").wire)
    found = recount(write(tmp_path / "a.pcap", connection.frames), STATIONS)
    assert found.lacks["segments whose numbers wrap around"] == 1
    assert found.prompts == {"q2": len("after it")}


def test_a_connection_that_began_before_is_read_from_its_next_message_on(tmp_path: Path) -> None:
    connection = Connection(handshake=False)
    connection.send(True, request("lost").wire[80:])
    connection.send(True, request("found", "q2").wire)
    found = recount(write(tmp_path / "a.pcap", connection.frames), STATIONS)
    assert found.lacks == {"segments inside a message that was given up": 1}
    assert found.prompts == {"q2": len("found")}


def test_of_background_flows_it_reads_frames_alone(tmp_path: Path) -> None:
    ether, ip = Ether(src=CHILD_MAC, dst=PARENT_MAC), IP(src=CHILD_IP, dst=PARENT_IP)
    flow = [ether / ip / UDP(sport=1, dport=20000) / b"x", frame(True, 7, b"POST no http", port=20001)]
    found = recount(write(tmp_path / "a.pcap", flow), STATIONS, [20000, 20001])
    assert found.complete
    assert found.sums["up"] == {"frames": 2, "frame_bytes": sum(len(one) for one in flow)}


def test_a_prompt_that_was_sent_again_counts_once(tmp_path: Path) -> None:
    frames = []
    for port in (40000, 40001):
        connection = Connection(port=port)
        connection.send(True, request("again").wire)
        frames += connection.frames
    first, second = both(write(tmp_path / "a.pcap", frames))
    assert differences(first, second) == []
    assert second.prompts == {"q1": 5}


def test_what_is_no_capture_is_refused_in_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "a.pcap"
    path.write_bytes(b"no capture at all, and long enough for a header")
    with pytest.raises(TestbedError, match=r"a\.pcap: cannot be read by scapy"):
        recount(path, STATIONS)
