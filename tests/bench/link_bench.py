"""What the link process carries, and at what cost: CPU and lateness by frames per second, rates, counts read.

    python -m tests.bench.link_bench [--seconds 3]

Frames cross one link of two idle sites; their sender is this process, on a CPU of its own. *Scattered*
frames come one by one at equal distances, *bursts* eight at once. *Late* is how long after its time in
virtual time a frame was put on the wire, by the process's own account.
"""

from __future__ import annotations

import argparse
import sys
import time

from testbed.host.processes.priority import promptly
from testbed.host.processes.proc import cpu_time_ns
from testbed.network.endpoint import Endpoint
from testbed.network.link_process.client import LinkProcess
from testbed.network.measure.traffic import Burst, Flood, UdpPath
from testbed.network.network import Network
from testbed.scenario.topology import FRAME_BYTES, Shape, Topology
from tests.bench.network_bench import tree as big_tree
from tests.network.lab import tree, up

FRAMES_PER_S = (1_000, 5_000, 10_000, 20_000, 40_000)
RATES_BPS = (1_000_000, 20_000_000, 100_000_000, 300_000_000, 500_000_000, 1_000_000_000)
PAYLOAD_BYTES = 200
LINK = "device1-edge1"


def cpu_s(process: LinkProcess) -> float:
    """CPU time that the process has used so far."""
    return (cpu_time_ns(process.pid) or 0) / 1e9


def ends(network: Network) -> tuple[Endpoint, Endpoint]:
    child, parent = (network.net[name] for name in ("device1", "edge1"))
    return child.endpoint, parent.endpoint


def carry(network: Network, frames_per_s: int, burst: int, seconds: float) -> str:
    """Send that many frames a second and say what it took."""
    process, link = network.link_process, network.link(LINK)
    process.begin(1, "bench")
    before, sent, missing_before = cpu_s(process), 0, link.counts()["up"].handed_on_frames
    with UdpPath(*ends(network), sink_buffer_bytes=64 << 20) as udp:
        frames = Burst([bytes(PAYLOAD_BYTES)] * burst)
        start_s = time.monotonic()
        while (elapsed_s := time.monotonic() - start_s) < seconds:
            if sent < elapsed_s * frames_per_s:
                sent += frames.send(udp.sender)
        used = (cpu_s(process) - before) / elapsed_s
        time.sleep(0.5)
        report = process.report()
    missing = sent - (link.counts()["up"].handed_on_frames - missing_before)
    late = report.put_on_wire
    each_us = used * elapsed_s / sent * 1e6
    return (
        f"{sent / elapsed_s:8,.0f} frames/s  {used:5.2f} CPU  {each_us:5.1f} µs a frame  "
        f"late p50 {late.p50_ms:.2f} p99 {late.p99_ms:.2f} max {late.max_ms:.2f} ms  {missing} missing"
    )


def rate(network: Network, rate_bps: int, seconds: float) -> str:
    """Keep a bottleneck full and count the wire."""
    link, process = network.link(LINK), network.link_process
    shape = Shape(rate_bps, delay_ms=10, queue_frames=max(100, rate_bps // 200_000))
    link.reshape(shape, Shape(None, delay_ms=10))
    process.begin(1, "bench")
    with UdpPath(*ends(network)) as udp, promptly():
        flood = Flood(udp, rate_bps, 1.2, shape.queue_frames)
        flood.keep_up(ahead=shape.queue_frames)
        before, start_s, used_before = link.counters()["up"].frames, time.monotonic(), cpu_s(process)
        while (elapsed_s := time.monotonic() - start_s) < seconds:
            flood.keep_up()
            time.sleep(flood.period_s)
        crossed, used = link.counters()["up"].frames - before, (cpu_s(process) - used_before) / elapsed_s
        time.sleep(1.0)
        report = process.report()
    measured = crossed * FRAME_BYTES * 8 / elapsed_s / 1e6
    return (
        f"{rate_bps / 1e6:8,.0f} Mbit/s asked  {measured:9.3f} measured  {used:5.2f} CPU  late p99 "
        f"{report.put_on_wire.p99_ms:.2f} ms  {report.socket_dropped_frames} dropped by its socket"
    )


def counts(topology: Topology) -> str:
    """Read the counts of all directions, from shared memory and from the kernel too."""
    with up(topology) as network:
        start_s = time.perf_counter()
        for link in network.links:
            link.counts()
        by_process_s, start_s = time.perf_counter() - start_s, time.perf_counter()
        for link in network.links:
            link.read()
        by_all_s = time.perf_counter() - start_s
        before, start_s = cpu_s(network.link_process), time.monotonic()
        time.sleep(3.0)
        idle = (cpu_s(network.link_process) - before) / (time.monotonic() - start_s)
    return (
        f"{2 * len(topology.links)} directions: counts {by_process_s * 1e3:.2f} ms, "
        f"with the kernel's counters {by_all_s * 1e3:.1f} ms; idle {idle:.4f} CPU"
    )


def main(argv: list[str]) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=3.0, help="for each figure")
    seconds = parser.parse_args(argv).seconds
    with up(tree(1, Shape(900_000_000, delay_ms=10, queue_frames=2000))) as network:
        for burst, name in ((1, "scattered"), (8, "bursts of 8")):
            for frames_per_s in FRAMES_PER_S:
                print(f"  {name:11} {carry(network, frames_per_s, burst, seconds)}", flush=True)
        for rate_bps in RATES_BPS:
            print(f"  {rate(network, rate_bps, seconds)}", flush=True)
    print(f"  {counts(big_tree(60))}")


if __name__ == "__main__":
    main(sys.argv[1:])
