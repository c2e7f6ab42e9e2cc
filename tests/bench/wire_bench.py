"""How fast a pcap becomes bytes by cause, beside tshark reading the same fields of the same file.

    python -m tests.bench.wire_bench [--frames N | --megabytes N] [--pcap FILE] [--no-tshark]

tshark runs twice: with the fields of packets alone, and with those of HTTP and JSON too, which bytes by cause
take. ``--megabytes 2000 --no-tshark`` shows that memory grows with the requests alone, and not with the file.

Without a file it makes one: kept-alive connections over which prompts of a sentence to a long page go up and
short answers come down, each data segment acknowledged, one in a hundred of them sent twice. Sizes, deadlines
and dates differ from message to message as in a run, so that no head is the same twice.
"""

from __future__ import annotations

import argparse
import random
import resource
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from testbed.wire.account import LinkEnds, account
from tests.wire.crafted import CHILD_MAC, ENDS, PARENT_MAC, answer, request

PACKETS = ("frame.len", "ip.len", "ip.src", "tcp.stream", "tcp.seq", "tcp.len", "tcp.analysis.retransmission")
MESSAGES = ("http.content_length", "http.request.line", "json.value.string")
_SEGMENT = 1448
_FRAMES_PER_MEGABYTE = 2125
_MACS = (
    bytes.fromhex((PARENT_MAC + CHILD_MAC).replace(":", "")),
    bytes.fromhex((CHILD_MAC + PARENT_MAC).replace(":", "")),
)
_IPS = (bytes([10, 77, 0, 2, 10, 77, 0, 3]), bytes([10, 77, 0, 3, 10, 77, 0, 2]))


class Writer:
    """Ethernet frames of TCP connections, written as they are made: scapy would take hours."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("wb", buffering=1 << 20)
        self._file.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 262144, 1))
        self._seq: dict[tuple[int, int], int] = {}
        self.frames = 0

    def frame(self, port: int, way: int, data: bytes, flags: int = 0x18, back_bytes: int = 0) -> None:
        seq = self._seq.get((port, way), 0) - back_bytes
        ack = self._seq.get((port, 1 - way), 0)
        ports = (port, 8000) if way == 0 else (8000, port)
        tcp = struct.pack("!HHIIBBHHH", *ports, seq & 0xFFFFFFFF, ack & 0xFFFFFFFF, 0x80, flags, 501, 0, 0)
        tcp += b"\x01\x01\x08\x0a" + bytes(8)
        ip = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(tcp) + len(data), 0, 0x4000, 64, 6, 0) + _IPS[way]
        frame = _MACS[way] + b"\x08\x00" + ip + tcp + data
        stamp = divmod(self.frames * 50, 1_000_000)
        self._file.write(struct.pack("<IIII", *stamp, len(frame), len(frame)) + frame)
        self.frames += 1
        self._seq[port, way] = seq + len(data) + bool(flags & 3)

    def message(self, port: int, way: int, wire: bytes) -> None:
        for start in range(0, len(wire), _SEGMENT):
            piece = wire[start : start + _SEGMENT]
            self.frame(port, way, piece)
            self.frame(port, 1 - way, b"", 0x10)
            if self.frames % 100 < 2:
                self.frame(port, way, piece, back_bytes=len(piece))

    def close(self) -> None:
        self._file.close()


def make(path: Path, frames: int) -> None:
    writer = Writer(path)
    ports = range(40000, 40016)
    for port in ports:
        writer.frame(port, 0, b"", 0x02)
        writer.frame(port, 1, b"", 0x12)
    drawn = random.Random(1)
    number = 0
    while writer.frames < frames:
        port, size = ports[number % len(ports)], int(drawn.lognormvariate(6, 1.2))
        request_id = f"q{number}"
        text = "A sentence of a review, é. " * (size // 27) + "x" * (size % 27)
        deadline = f"X-Deadline-Ms: {30_000 - drawn.randrange(300):07d}"
        date = f"Date: Wed, 25 Nov 2026 01:{number // 6000 % 60:02d}:{number // 100 % 60:02d} GMT"
        writer.message(port, 0, _with_line(request(text, request_id).wire, deadline))
        writer.message(port, 1, _with_line(answer("positive", request_id).wire, date))
        number += 1
    writer.close()


def _with_line(wire: bytes, line: str) -> bytes:
    return wire.replace(b"\r\n\r\n", f"\r\n{line}\r\n\r\n".encode(), 1)


def timed_account(path: Path, ends: LinkEnds) -> tuple[float, float, int]:
    """Wall and CPU seconds, frames."""
    wall, cpu = time.perf_counter(), time.process_time()
    result = account(path, ends)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    for parts in (result.up, result.down):
        assert parts.frame_bytes == parts.accounted_bytes
    return wall, cpu, result.up.frames + result.down.frames


def timed_tshark(path: Path, *fields: str) -> tuple[float, float]:
    """Wall and CPU seconds."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    wall = time.perf_counter()
    wanted = [argument for field in fields for argument in ("-e", field)]
    command = ["tshark", "-n", "-r", str(path), "-T", "fields", *wanted]
    subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True, timeout=3600)
    wall = time.perf_counter() - wall
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--frames", type=int, default=300_000)
    parser.add_argument("--megabytes", type=int, help="instead of --frames")
    parser.add_argument("--pcap", type=Path)
    parser.add_argument("--no-tshark", action="store_true")
    options = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        path = options.pcap or Path(folder) / "bench.pcap"
        if options.pcap is None:
            make(path, options.megabytes * _FRAMES_PER_MEGABYTE if options.megabytes else options.frames)
        wall, cpu, frames = timed_account(path, ENDS)
        peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(f"file      {path.stat().st_size / 1e6:10.1f} MB, {frames} frames")
        print(f"testbed   {frames / wall:10.0f} frames/s  ({frames / cpu:.0f} per CPU second)")
        print(f"memory    {peak_mb:10.0f} MB at its peak")
        for what, fields in (("tshark", PACKETS), ("with HTTP", PACKETS + MESSAGES)):
            if not options.no_tshark:
                its_wall, its_cpu = timed_tshark(path, *fields)
                print(f"{what:9} {frames / its_wall:10.0f} frames/s  ({frames / its_cpu:.0f} per CPU second)")
                print(f"ratio     {its_wall / wall:10.1f} ×         ({its_cpu / cpu:.1f} × by CPU)")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
