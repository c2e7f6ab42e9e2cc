"""Bytes by cause, on captures made frame by frame."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import ICMPv6ND_NS, IPv6
from scapy.layers.l2 import ARP, Dot1Q, Ether

from testbed.wire.account import LinkEnds
from tests.wire.crafted import (
    CHILD_IP,
    CHILD_MAC,
    HEADERS,
    PARENT_IP,
    PARENT_MAC,
    Connection,
    Framing,
    Made,
    accounted,
    answer,
    frame,
    request,
)
from tiers.chat import FinishReason, Step, Usage, write_answer

PROMPTS = [
    "a plain sentence",
    'she said "quite \\ good"\n\tand left\r\n',
    "Grüße – 日本語 🎬👩‍👩‍👧",
    "",
    "x" * 100_000,
    'HTTP/1.1 200 OK\r\n\r\nPOST / HTTP/1.1\r\n\r\n{"recserve":1}',
    "\x00\x1f\u2028\ufeff",
]


def _parts_of(asked: Made, answered: Made, result_up: object, result_down: object) -> None:
    for made, parts, text in ((asked, result_up, "prompt_bytes"), (answered, result_down, "answer_bytes")):
        assert getattr(parts, text) == made.text
        assert getattr(parts, "envelope_bytes") == made.envelope  # noqa: B009
        assert getattr(parts, "instrumentation_bytes") == made.instrumentation  # noqa: B009
        assert getattr(parts, "http_header_bytes") == made.headers  # noqa: B009


@pytest.mark.parametrize("text", PROMPTS, ids=range(len(PROMPTS)))
@pytest.mark.parametrize("framing", ["length", "chunked"])
@pytest.mark.parametrize("ascii_json", [False, True])
def test_a_text_counts_as_its_utf8_bytes_however_it_is_framed_and_escaped(
    tmp_path: Path, text: str, framing: Framing, ascii_json: bool
) -> None:
    asked = request(text, ascii_json=ascii_json, framing=framing)
    answered = answer(text[::-1], framing=framing, spaced=ascii_json)
    connection = Connection()
    connection.send(True, asked.wire)
    connection.send(False, answered.wire)
    connection.close()
    result = accounted(tmp_path / "a.pcap", connection.frames)
    _parts_of(asked, answered, result.up, result.down)
    assert result.up.packet_header_bytes == HEADERS * result.up.data_frames
    assert result.up.tcp_control_bytes == HEADERS * 4
    assert result.requests["q1"].prompt_bytes == asked.text
    assert result.requests["q1"].answer_bytes == answered.text
    assert result.requests["q1"].up_http_bytes == len(asked.wire)
    assert result.requests["q1"].down_http_bytes == len(answered.wire)
    assert not result.findings


def test_pipelined_requests_get_their_answers_in_order(tmp_path: Path) -> None:
    asked = [request("p" * n, f"q{n}") for n in range(1, 6)]
    answered = [answer("a" * n) for n in range(1, 6)]
    connection = Connection()
    connection.send(True, b"".join(one.wire for one in asked), size=100)
    connection.send(False, b"".join(one.wire for one in answered), size=77)
    result = accounted(tmp_path / "a.pcap", connection.frames)
    assert {key: (one.prompt_bytes, one.answer_bytes) for key, one in result.requests.items()} == {
        f"q{n}": (n, n) for n in range(1, 6)
    }


def test_connections_are_kept_apart_and_ports_may_be_used_again(tmp_path: Path) -> None:
    frames = []
    for number, (port, isn) in enumerate([(40000, 10), (40001, 10), (40000, 2**31 + 5)]):
        connection = Connection(port=port, isn_up=isn, isn_down=isn + 9)
        connection.send(True, request("é" * number, f"q{number}").wire)
        connection.send(False, answer("ok").wire)
        connection.close()
        frames += connection.frames
    result = accounted(tmp_path / "a.pcap", frames)
    assert [result.requests[f"q{n}"].prompt_bytes for n in range(3)] == [0, 2, 4]
    assert len(result.streams) == 6
    assert not result.findings


def test_sequence_numbers_wrap_around(tmp_path: Path) -> None:
    asked, answered = request("w" * 9000), answer("v" * 9000)
    connection = Connection(isn_up=2**32 - 4000, isn_down=2**32 - 1)
    up = connection.segments(True, asked.wire)
    connection.frames += [*up[:2], *up[3:], up[2], up[1]]  # reordered and repeated across the wrap
    connection.send(False, answered.wire)
    result = accounted(tmp_path / "a.pcap", connection.frames)
    _parts_of(asked, answered, result.up, result.down)
    assert result.up.retransmitted_frames == 1
    assert result.up.retransmitted_bytes == 1448 + HEADERS


def test_a_repeat_counts_with_its_headers_and_a_partial_repeat_without(tmp_path: Path) -> None:
    asked = request("r" * 5000)
    connection = Connection()
    start = connection.seq_up
    connection.send(True, asked.wire[:3000], size=1000)
    connection.frames.append(frame(True, start + 1000, asked.wire[1000:2000]))
    connection.frames.append(frame(True, start + 2500, asked.wire[2500:4500]))
    connection.seq_up = start + 4500
    connection.send(True, asked.wire[4500:])
    result = accounted(tmp_path / "a.pcap", connection.frames, LinkEnds(CHILD_MAC, PARENT_MAC, mtu=3000))
    assert result.up.prompt_bytes == 5000
    assert result.up.retransmitted_frames == 1
    assert result.up.partly_retransmitted_frames == 1
    assert result.up.retransmitted_bytes == 1000 + HEADERS + 500
    assert result.up.data_frames == 5


def test_repeated_syns_and_fins_are_control(tmp_path: Path) -> None:
    connection = Connection()
    connection.frames.insert(1, connection.frames[0])
    connection.close()
    connection.frames.append(connection.frames[-3])
    result = accounted(tmp_path / "a.pcap", connection.frames)
    assert result.up.repeated_control_frames == 2
    assert result.up.tcp_control_bytes == result.up.frame_bytes


def test_a_fin_may_carry_the_last_bytes(tmp_path: Path) -> None:
    asked = request("bye")
    connection = Connection()
    connection.frames.append(frame(True, connection.seq_up, asked.wire, "FPA", connection.seq_down))
    connection.frames.append(
        frame(False, connection.seq_down, b"", "A", connection.seq_up + len(asked.wire) + 1)
    )
    result = accounted(tmp_path / "a.pcap", connection.frames)
    assert result.up.prompt_bytes == 3
    assert not result.doubts


def test_an_answer_may_last_until_the_connection_closes(tmp_path: Path) -> None:
    body = b'{"choices":[{"message":{"content":"till the end"}}],"recserve":{"tier":"edge"}}'
    connection = Connection()
    connection.send(True, request("p").wire)
    connection.send(False, b"HTTP/1.0 200 OK\r\n\r\n" + body)
    connection.close()
    result = accounted(tmp_path / "a.pcap", connection.frames)
    assert result.down.answer_bytes == len("till the end")
    assert result.down.instrumentation_bytes == len('"recserve":{"tier":"edge"}')


def test_a_connection_open_before_the_capture_is_accounted_all_the_same(tmp_path: Path) -> None:
    asked, answered = request("early bird"), answer("worm")
    connection = Connection(handshake=False)
    connection.send(True, asked.wire, size=50)
    connection.send(False, answered.wire, size=50)
    result = accounted(tmp_path / "a.pcap", connection.frames)
    _parts_of(asked, answered, result.up, result.down)
    assert not result.findings


def test_a_capture_that_starts_inside_a_message_finds_the_next_one(tmp_path: Path) -> None:
    cut, asked, answered = request("lost", "q0"), request("found", "q1"), answer("yes", "q1")
    connection = Connection(handshake=False)
    connection.send(False, answer("to q0", "q0").wire[70:])
    connection.send(True, cut.wire[-20:] + asked.wire)
    connection.send(False, answered.wire)
    result = accounted(tmp_path / "a.pcap", connection.frames)
    assert result.up.prompt_bytes == 5
    assert result.down.answer_bytes == 3
    assert result.up.other_bytes == 20
    assert any("no HTTP" in finding for finding in result.findings)


def test_prompts_that_the_application_repeats_are_counted_once(tmp_path: Path) -> None:
    asked = request("again and again", "q7")
    frames = []
    for port in (40000, 40001):
        connection = Connection(port=port)
        connection.send(True, asked.wire)
        frames += connection.frames
    connection.send(False, answer("ok").wire)
    result = accounted(tmp_path / "a.pcap", [*frames, *connection.frames[-1:]])
    assert result.up.prompt_bytes == result.up.retried_prompt_bytes == asked.text
    assert result.up.other_bytes == asked.text
    assert result.requests["q7"].prompts == 2
    assert result.requests["q7"].answer_bytes == 2


def test_of_a_prompt_cut_off_and_sent_again_the_whole_one_counts(tmp_path: Path) -> None:
    text = 'one "two"\nthree é four'
    asked = request(text, "q7")
    body = asked.wire.index(b"\r\n\r\n") + 4
    seen = []
    for cut in range(body, len(asked.wire)):
        first = Connection(port=40000)
        first.send(True, asked.wire[:cut])
        first.frames.append(frame(True, first.seq_up, flags="RA", ack=first.seq_down))
        second = Connection(port=40001)
        second.send(True, asked.wire)
        result = accounted(tmp_path / "a.pcap", first.frames + second.frames)
        assert result.up.prompt_bytes == asked.text
        seen.append(result.up.retried_prompt_bytes)
    assert seen == sorted(seen)
    assert set(range(len(text.encode()))) - set(seen) <= {21, 17, 18}  # inside é, behind cut escapes
    assert seen[-1] == asked.text


def test_noise_is_other_and_named(tmp_path: Path) -> None:
    up = Ether(src=CHILD_MAC, dst=PARENT_MAC)
    down = Ether(src=PARENT_MAC, dst=CHILD_MAC)
    noise = [
        up / ARP(),
        down / IPv6(src="fe80::1", dst="fe80::2") / ICMPv6ND_NS(tgt="fe80::2"),
        up / IP(src=CHILD_IP, dst=PARENT_IP) / ICMP() / (b"x" * 30),
        down / IP(src=PARENT_IP, dst=CHILD_IP) / UDP() / b"x",
        up / Dot1Q(vlan=3) / IP() / TCP(),
        up / IP(src=CHILD_IP, dst=PARENT_IP, flags="MF") / TCP() / b"12345678",
        up / b"",
        Ether(src=CHILD_MAC, dst=PARENT_MAC, type=0x0800) / b"\x45\x00",
        Ether(src=CHILD_MAC, dst=PARENT_MAC, type=0x0800) / (b"\xff" * 60),
    ]
    result = accounted(tmp_path / "a.pcap", noise)
    assert result.up.other_frames == 7
    assert result.down.other_frames == 2
    assert result.down.ip_bytes == result.down.frame_bytes - 28
    for name in ("ARP", "IPv6", "ICMP", "UDP", "VLAN", "fragmented", "malformed"):
        assert any(name in finding for finding in result.findings), name
    assert not result.doubts


def test_ip_options_and_padding_are_headers(tmp_path: Path) -> None:
    asked = request("opt")
    tcp = TCP(sport=40000, dport=8000, seq=1, flags="PA", options=[("Timestamp", (1, 2)), ("NOP", None)])
    ether = Ether(src=CHILD_MAC, dst=PARENT_MAC)
    ip = IP(src=CHILD_IP, dst=PARENT_IP, options=[b"\x01\x01\x01\x00"])
    padded = Ether(bytes(frame(True, 1 + len(asked.wire))) + b"\0" * 6)
    result = accounted(tmp_path / "a.pcap", [ether / ip / tcp / asked.wire, padded])
    assert result.up.prompt_bytes == 3
    assert result.up.packet_header_bytes == 14 + 24 + 32
    assert result.up.tcp_control_bytes == 60


def test_payload_that_is_no_http_is_other(tmp_path: Path) -> None:
    connection = Connection()
    connection.send(True, bytes(range(256)) * 200)
    connection.send(False, b"\x16\x03\x01" + b"\x00" * 500)
    result = accounted(tmp_path / "a.pcap", connection.frames)
    assert result.up.other_bytes == 256 * 200
    assert result.down.other_bytes == 503


def test_other_requests_are_found_and_named(tmp_path: Path) -> None:
    connection = Connection()
    connection.send(
        True, b"GET /health HTTP/1.1\r\nHost: x\r\n\r\nHEAD /m HTTP/1.1\r\n\r\n" + request("p").wire
    )
    connection.send(False, b'HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n"ok"')
    connection.send(False, b"HTTP/1.1 200 OK\r\nContent-Length: 400\r\n\r\n" + answer("a").wire)
    result = accounted(tmp_path / "a.pcap", connection.frames)
    assert result.up.prompt_bytes == result.down.answer_bytes == 1
    assert result.requests["q1"].answer_bytes == 1
    assert any("GET /health" in finding for finding in result.findings)


@pytest.mark.parametrize(
    ("body", "prompt"),
    [
        (b'{"messages":[{"content":[{"type":"text","text":"a\\u00e9"},{"type":"image_url"}]}]}', 3),
        (b'{"messages":[{"role":"user","content":"one"},{"role":"assistant","content":"no"},'
         b'{"role":"user","content":"two"}]}', 6),
        (b'{"messages":[{"role":"user","content":"\\ud83c\\udfac\\ud83c"}]}', 7),
        (b'\xef\xbb\xbf{"messages":[{"role":"user","content":"four"}]}', 4),
        (b'{"messages":"none"}', 0),
        (b"[1]", 0),
        (b"no json", 0),
        (b"\xff\xfe", 0),
        (b"[" * 100_000, 0),
    ],
)  # fmt: skip
def test_bodies_of_other_shapes_are_envelope_but_for_the_users_text(
    tmp_path: Path, body: bytes, prompt: int
) -> None:
    connection = Connection()
    head = b"POST /v1/chat/completions HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % len(body)
    connection.send(True, head + body)
    result = accounted(tmp_path / "a.pcap", connection.frames)
    assert result.up.prompt_bytes == prompt
    assert result.up.envelope_bytes == len(body) - prompt
    assert any("without a request id" in finding for finding in result.findings)


@pytest.mark.parametrize("up", [True, False])
@pytest.mark.parametrize("body", [b"}", b"]}", b"{]}", b'{"a":]', b'{"a":1}}', b"[]]", b'"', b"\\", b"\xff"])
def test_an_odd_body_that_was_cut_off_is_envelope(tmp_path: Path, body: bytes, up: bool) -> None:
    head = b"POST /v1/chat/completions HTTP/1.1\r\n" if up else b"HTTP/1.1 200 OK\r\n"
    connection = Connection()
    connection.send(up, head + b"Content-Length: 5000\r\n\r\n" + body)
    result = accounted(tmp_path / "a.pcap", connection.frames)
    assert (result.up if up else result.down).envelope_bytes == len(body)
    assert any("no JSON object" in finding for finding in result.findings)


LENGTHS = ["", "-5", "+5", "5,5", "0x5", "1_0", "9" * 19, "9" * 5000]
SIZES = ["", "-5", "+5", "0x5", "1_0", " 5", "g", "f" * 16, "5 5"]


@pytest.mark.parametrize(
    "framing",
    [
        *(f"Content-Length: {length}\r\n\r\n" for length in LENGTHS),
        *(f"Transfer-Encoding: chunked\r\n\r\n{size}\r\n" for size in SIZES),
        "Transfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n",
        "Transfer-Encoding: chunked\r\n\r\n" + "1" * 200_000,
        "Transfer-Encoding: chunked\r\n\r\n0\r\n" + "a" * 200_000,
    ],
)
def test_a_message_whose_end_cannot_be_known_is_cut_and_the_next_one_found(
    tmp_path: Path, framing: str
) -> None:
    asked = request("found")
    connection = Connection()
    connection.send(True, b"POST /v1/chat/completions HTTP/1.1\r\n" + framing.encode() + b"0123456789abcdef")
    connection.send(True, asked.wire)
    result = accounted(tmp_path / "a.pcap", connection.frames)
    assert result.requests["q1"].prompt_bytes == result.up.prompt_bytes == len("found")
    assert result.up.other_bytes >= 16
    assert any("cut off" in finding for finding in result.findings)


@pytest.mark.parametrize("size", ["5", "05", "5 ", "5;a=b", "5\t;a"])
def test_chunk_sizes_may_have_zeros_before_and_extensions_behind(tmp_path: Path, size: str) -> None:
    connection = Connection()
    framed = f"Transfer-Encoding: chunked\r\n\r\n{size}\r\nno it\r\n0\r\n\r\n"
    connection.send(True, f"POST /v1/chat/completions HTTP/1.1\r\n{framed}".encode())
    result = accounted(tmp_path / "a.pcap", connection.frames)
    assert result.up.envelope_bytes == 5
    assert result.up.other_bytes == 0


def test_what_the_receiver_acknowledged_and_the_capture_lacks_is_a_doubt(tmp_path: Path) -> None:
    asked = request("d" * 6000)
    connection = Connection()
    segments = connection.segments(True, asked.wire)
    connection.frames += segments[:2] + segments[3:]
    connection.frames.append(frame(False, connection.seq_down, ack=connection.seq_up))
    result = accounted(tmp_path / "a.pcap", connection.frames)
    assert any("acknowledged" in doubt for doubt in result.doubts)
    assert any("1448 bytes" in finding for finding in result.findings)


def test_frames_that_no_wan_link_carries_are_doubts(tmp_path: Path) -> None:
    connection = Connection()
    connection.send(True, request("o" * 9000).wire, size=8000)
    stranger = Ether(src="02:00:00:00:00:09", dst="02:00:00:00:00:08") / IP() / UDP()
    result = accounted(tmp_path / "a.pcap", [*connection.frames, stranger])
    assert result.up.prompt_bytes == 9000
    assert any("MTU" in doubt for doubt in result.doubts)
    assert any("neither" in doubt for doubt in result.doubts)


def test_stations_behind_the_ends_have_their_directions(tmp_path: Path) -> None:
    far = "02:77:00:00:00:0a"
    frames = [Ether(src=far, dst=PARENT_MAC) / IP() / UDP(), Ether(src=PARENT_MAC, dst=far) / IP() / UDP()]
    ends = LinkEnds(CHILD_MAC, PARENT_MAC, below=frozenset({far}))
    result = accounted(tmp_path / "a.pcap", frames, ends)
    assert (result.up.frames, result.down.frames) == (1, 1)


@pytest.mark.parametrize("finish", ["stop", "length"])
def test_an_answer_as_tiers_write_it_is_text_instrumentation_and_envelope(
    tmp_path: Path, finish: FinishReason
) -> None:
    step = Step("cloud1", 0.75, None, kept=True)
    body = write_answer("~VFEwLdv3Oez", "embedded/cloud", "schön", Usage(1234, 5), finish, "cloud", step)
    usage = b'"usage":{"prompt_tokens":1234,"completion_tokens":5,"total_tokens":1239},'
    assert usage in body
    connection = Connection()
    connection.send(True, request("p", "~VFEwLdv3Oez").wire)
    connection.send(False, b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
    result = accounted(tmp_path / "a.pcap", connection.frames)
    instrumentation = len(body) - body.index(b'"recserve"') - 1
    assert result.up.instrumentation_bytes == len(b"\r\nX-Request-Id: ~VFEwLdv3Oez")
    assert result.down.instrumentation_bytes == instrumentation
    assert result.down.answer_bytes == len("schön".encode())
    assert result.down.envelope_bytes == len(body) - instrumentation - len("schön".encode())
    assert set(result.requests) == {"~VFEwLdv3Oez"}


def test_instrumentation_is_the_span_in_the_body_whatever_the_serialiser(tmp_path: Path) -> None:
    member = '"recserve"  :\n\t{"tier" : "édge", "path": [{}, "}"]}'
    body = (
        '{ "recserved": {"recserve": 1},' + member + ' , "choices": [{"message": {"content": "x"}}] }'
    ).encode()
    json.loads(body)
    connection = Connection()
    connection.send(True, request("p").wire)
    connection.send(False, b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
    result = accounted(tmp_path / "a.pcap", connection.frames)
    assert result.down.instrumentation_bytes == len(member.encode())
    assert result.down.answer_bytes == 1


@pytest.mark.parametrize(
    ("body", "answer_bytes", "instrumentation_bytes"),
    [
        (b'{"choices":[{"message":{"content":"one"}}],"choices":[{"message":{"content":"four"}}]}', 7, 0),
        (b'{"recserve":1,"choices":[{"message":{"content":"one"}}],"recserve":{}}', 3, 12 + 13),
        (b'{"\\u0072ecserve":1,"choices":[{"message":{"content":"one"}}]}', 3, 17),
        (b'{"id":"\\"recserve","choices":[{"message":{"content":"one"}}],"recserve":{}}', 3, 13),
        (b'{"id":{"recserve":1},"choices":[{"message":{"content":"one"}}]}', 3, 0),
        (b'{"id":"recserve","choices":[{"message":{"content":"\\"choices\\""}}]}', 9, 0),
        (b'[{"recserve":1}]', 0, 0),
    ],
)
def test_keys_that_stand_twice_or_elsewhere_count_where_they_are_members(
    tmp_path: Path, body: bytes, answer_bytes: int, instrumentation_bytes: int
) -> None:
    connection = Connection()
    connection.send(True, request("p").wire)
    connection.send(False, b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
    result = accounted(tmp_path / "a.pcap", connection.frames)
    assert result.down.answer_bytes == answer_bytes
    assert result.down.instrumentation_bytes == instrumentation_bytes
    assert result.down.envelope_bytes == len(body) - answer_bytes - instrumentation_bytes
