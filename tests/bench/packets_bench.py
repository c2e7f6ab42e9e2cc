"""How quickly one request is found in a large capture, and how fast frames are traced and read by scapy.

    python -m tests.bench.packets_bench [--megabytes 1000 | --pcap FILE] [--frames 20000]

The captures are as :mod:`tests.bench.wire_bench` makes them. The requests are the large one's first, one in
the middle, and its last; the frames are a small one's.
"""

from __future__ import annotations

import argparse
import os
import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from testbed.wire.recount import recount
from testbed.wire.seek import trace_request
from testbed.wire.trace import trace
from tests.bench.wire_bench import make
from tests.wire.crafted import CHILD_MAC, ENDS, PARENT_MAC

_FRAMES_PER_MEGABYTE = 2500


@contextmanager
def timed(what: str, frames: int = 0) -> Iterator[None]:
    """Print the wall and CPU seconds of the block."""
    wall_s, cpu_s = time.perf_counter(), time.process_time()
    yield
    wall_s, cpu_s = time.perf_counter() - wall_s, time.process_time() - cpu_s
    speed = f"  {frames / wall_s:10,.0f} frames/s" if frames else ""
    print(f"{what:32} {wall_s:7.2f} s  ({cpu_s:.2f} s of CPU){speed}")


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--megabytes", type=int, default=1000)
    parser.add_argument("--pcap", type=Path, help="a file that wire_bench made, instead of a new one")
    parser.add_argument("--frames", type=int, default=20_000)
    options = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(prefix="testbed-bench-") as folder:
        pcap, small = options.pcap or Path(folder) / "bench.pcap", Path(folder) / "small.pcap"
        if options.pcap is None:
            make(pcap, options.megabytes * _FRAMES_PER_MEGABYTE)
        make(small, options.frames)
        load = os.getloadavg()[0]
        print(f"file of {pcap.stat().st_size / 1e6:.1f} MB; {os.cpu_count()} CPUs, load {load:.1f}")
        last = _last_request(pcap)
        for number in (0, last // 2, last):
            with timed(f"frames of request q{number}"):
                found = list(trace_request(pcap, ENDS, f"q{number}"))
            assert sum(frame.bytes_by_cause()["answer_bytes"] for frame in found) > 0
        with timed("every frame traced", options.frames):
            assert sum(1 for _ in trace(small, ENDS)) >= options.frames
        with timed("every frame read by scapy", options.frames):
            recount(small, {CHILD_MAC: "up", PARENT_MAC: "down"})
        print(f"memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB at its peak")
    sys.stdout.flush()


def _last_request(pcap: Path) -> int:
    """The number of the last request that is answered within the capture."""
    with pcap.open("rb") as file:
        file.seek(-100_000, os.SEEK_END)
        return int(file.read().rpartition(b"x-request-ID: q")[2].partition(b"\r\n")[0])


if __name__ == "__main__":
    main()
