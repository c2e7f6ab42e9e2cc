"""A fast link for a while: the capture holds every frame that the kernel counted."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from testbed.network.kernel.netns import Popen_in, run_in
from testbed.scenario.topology import Shape
from testbed.wire.account import LinkEnds, account
from testbed.wire.capture import Capture
from tests.network.lab import settle, tree, up

RATE_BPS = 300_000_000
SECONDS = 20
PORT = "5201"


@pytest.mark.root
@pytest.mark.slow
@pytest.mark.alone
@pytest.mark.timeout(240)
def test_300_megabits_a_second_for_20_s_lose_no_frame(tmp_path: Path) -> None:
    pcap = tmp_path / "fast.pcap"
    with up(tree(devices=1, up=Shape(RATE_BPS, queue_frames=1000))) as network:
        link = network.link("device1-edge1")
        child, parent = network.net["device1"], network.net["edge1"]
        listening = Popen_in(parent.netns_path, ["iperf3", "-s", "-1", "-p", PORT], stdout=subprocess.DEVNULL)
        try:
            settle(lambda: PORT in run_in(parent.netns_path, ["ss", "-ltn"]))
            tap = Capture(link.capture_interface, link.netns_path, pcap, RATE_BPS).start()
            before, dropped = link.counters(), link.read()
            run_in(child.netns_path, ["iperf3", "-c", parent.IP(), "-p", PORT, "-t", str(SECONDS)])
            settle(link.counters)
            after = link.counters()
        finally:
            listening.kill()
            listening.wait(10)
        report = tap.stop(sum(after[way].frames - before[way].frames for way in ("up", "down")))
        for way, reading in link.read().items():
            assert reading.dropped_frames == dropped[way].dropped_frames
        topology = network.topology
    assert report.faults == ()
    assert report.dropped_by_kernel == 0
    found = account(pcap, LinkEnds(topology.node("device1").mac, topology.node("edge1").mac))
    pcap.unlink()  # most of a gigabyte
    for way in ("up", "down"):
        parts = found.parts(way)
        assert parts.frames == parts.accounted_frames == after[way].frames - before[way].frames
        assert parts.frame_bytes == parts.accounted_bytes == after[way].bytes - before[way].bytes
    sent_bps = found.up.frame_bytes * 8 / SECONDS
    print(
        f"{sent_bps / 1e6:.0f} Mbit/s, {report.frames} frames, none lost"
    )  # idle: 95 % of the rate and more
    assert sent_bps > 20_000_000  # or it has shown nothing
