"""What Wireshark's tools say of a capture, beside what we say of it."""

from __future__ import annotations

import subprocess
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from testbed.wire.parts import CaptureAccount

TIMEOUT_S = 120.0
_REPEATS = (
    "tcp.analysis.retransmission",
    "tcp.analysis.fast_retransmission",
    "tcp.analysis.spurious_retransmission",
    "tcp.analysis.out_of_order",
)
_STREAM = ("ip.src", "tcp.srcport", "tcp.dstport")
_FIELDS = ("frame.len", "ip.len", "ipv6.plen", "tcp.stream", *_STREAM, "tcp.len", *_REPEATS)
_NO_COMPLAINT = ("Running as user",)  # tshark says so to root, on any file


@dataclass(frozen=True)
class Repeats:
    """Segments that repeat something: as we count them, and as tshark takes them to be by order and time."""

    ours: int
    retransmissions: int
    out_of_order: int


def run(*argv: str) -> str:
    """Run one of the tools; it must succeed without complaint."""
    done = subprocess.run(argv, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    said = [line for line in done.stderr.splitlines() if line and not line.startswith(_NO_COMPLAINT)]
    assert (done.returncode, said) == (0, []), argv
    return done.stdout


def tshark(pcap: Path, *fields: str) -> list[list[str]]:
    """The fields of each frame, as Wireshark's dissectors see them; empty where a frame lacks one."""
    wanted = [argument for field in fields for argument in ("-e", field)]
    lines = run("tshark", "-n", "-r", str(pcap), "-T", "fields", *wanted).splitlines()
    rows = [line.split("\t") for line in lines]
    return [row + [""] * (len(fields) - len(row)) for row in rows]


def capinfos(pcap: Path) -> tuple[int, int]:
    """Frames and bytes of them, of a file that opens without complaint."""
    header, figures, *_ = run("capinfos", "-T", "-M", "-c", "-d", str(pcap)).splitlines()
    found = dict(zip(header.split("\t"), figures.split("\t"), strict=True))
    return int(found["Number of packets"]), int(found["Data size (bytes)"])


def check(pcap: Path, result: CaptureAccount) -> Repeats:
    """Totals, and frames and TCP payload of each connection and direction, are the same for both."""
    ups_and_downs = (result.up, result.down)
    frames = sum(parts.frames for parts in ups_and_downs)
    frame_bytes = sum(parts.frame_bytes for parts in ups_and_downs)
    assert capinfos(pcap) == (frames, frame_bytes)
    rows = [dict(zip(_FIELDS, row, strict=True)) for row in tshark(pcap, *_FIELDS)]
    assert len(rows) == frames
    assert sum(int(row["frame.len"]) for row in rows) == frame_bytes
    ip_bytes = sum(
        int(row["ip.len"] or 0) + (40 + int(row["ipv6.plen"]) if row["ipv6.plen"] else 0) for row in rows
    )
    assert ip_bytes == sum(parts.ip_bytes for parts in ups_and_downs)
    theirs = [row for row in rows if row["tcp.stream"] and row["ip.src"]]
    streams: Counter[tuple[str, ...]] = Counter()
    payload: Counter[tuple[str, ...]] = Counter()
    for row in theirs:
        key = tuple(row[name] for name in _STREAM)
        streams[key] += 1
        payload[key] += int(row["tcp.len"])
    our_streams: Counter[tuple[str, ...]] = Counter()
    our_payload: Counter[tuple[str, ...]] = Counter()
    for one in result.streams:
        key = (one.source[0], str(one.source[1]), str(one.destination[1]))
        our_streams[key] += one.frames
        our_payload[key] += one.payload_bytes
    assert our_streams == streams
    assert our_payload == payload
    *again, late = _REPEATS
    return Repeats(
        ours=sum(
            parts.retransmitted_frames + parts.partly_retransmitted_frames + parts.repeated_control_frames
            for parts in ups_and_downs
        ),
        retransmissions=sum(any(row[name] for name in again) for row in rows),
        out_of_order=sum(bool(row[late]) and not any(row[name] for name in again) for row in rows),
    )
