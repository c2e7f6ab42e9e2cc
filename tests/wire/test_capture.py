"""A capture holds all that crossed, or says that it does not."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from testbed.errors import TestbedError
from testbed.wire.capture import Capture, capturing, stop_all
from testbed.wire.pcap import read_frames
from tests.wire.veth import Veth, run, veth

pytestmark = pytest.mark.root


@pytest.fixture(scope="module")
def pair() -> Iterator[Veth]:
    with veth() as made:
        yield made


def capture(pair: Veth, pcap: Path, rate_bps: int | None = 100_000_000) -> Capture:
    return Capture(pair.interface, pair.netns_path, pcap, rate_bps)


def wait_for_end(tap: Capture) -> None:
    deadline = time.monotonic() + 10
    while tap.alive and time.monotonic() < deadline:
        time.sleep(0.05)


def test_a_burst_is_all_there_though_the_capture_is_stopped_at_once(pair: Veth, tmp_path: Path) -> None:
    tap = capture(pair, tmp_path / "burst.pcap").start()
    before = pair.counters()["up"]
    pair.burst(3000)
    after = pair.counters()["up"]
    report = tap.stop(after[0] - before[0])
    assert after[0] - before[0] == 3000
    assert report.faults == ()
    assert report.frames >= 3000
    frames = [length for _, _, length in read_frames(tmp_path / "burst.pcap") if length == 1042]
    assert len(frames) == 3000


def test_the_tap_is_live_when_start_returns(pair: Veth, tmp_path: Path) -> None:
    for _ in range(10):
        tap = capture(pair, tmp_path / "live.pcap").start()
        pair.burst(1)
        report = tap.stop(1)
        assert report.faults == ()


def test_captures_that_start_and_stop_together_have_what_each_alone_has(pair: Veth, tmp_path: Path) -> None:
    taps = {name: capture(pair, tmp_path / f"{name}.pcap") for name in "abcdefghijkl"}
    with capturing(taps.values()):
        pair.burst(500)
        reports = stop_all(taps, dict.fromkeys(taps, 500))
    assert [(report.frames >= 500, report.faults) for report in reports.values()] == [(True, ())] * 12


def test_of_captures_that_start_together_none_is_left_where_one_cannot(pair: Veth, tmp_path: Path) -> None:
    good = capture(pair, tmp_path / "good.pcap")
    bad = Capture("nothere", pair.netns_path, tmp_path / "bad.pcap")
    with pytest.raises(TestbedError, match="capture on nothere"), capturing([good, bad]):
        raise AssertionError("it is not entered")
    assert not good.alive


def test_frames_that_never_come_are_a_fault(pair: Veth, tmp_path: Path) -> None:
    tap = capture(pair, tmp_path / "few.pcap").start()
    pair.burst(3)
    report = tap.stop(1000, timeout_s=1)
    assert report.faults
    assert any("of the 1000 frames" in fault for fault in report.faults)


def test_a_capture_that_is_killed_is_noticed(pair: Veth, tmp_path: Path) -> None:
    tap = capture(pair, tmp_path / "killed.pcap").start()
    assert tap.alive
    assert tap.pid is not None
    pair.burst(100)
    os.kill(tap.pid, signal.SIGKILL)
    wait_for_end(tap)
    report = tap.stop(100)
    assert report.faults
    assert any("SIGKILL" in fault for fault in report.faults)


def test_a_capture_that_hangs_is_noticed_and_ended(pair: Veth, tmp_path: Path) -> None:
    tap = capture(pair, tmp_path / "hung.pcap").start()
    assert tap.pid is not None
    os.kill(tap.pid, signal.SIGSTOP)
    pair.burst(10)
    thawed = threading.Timer(2, os.kill, (tap.pid, signal.SIGCONT))
    thawed.start()
    report = tap.stop(10, timeout_s=0.5)
    thawed.join()
    assert report.faults
    assert not tap.alive


def test_an_interface_that_vanishes_is_noticed(tmp_path: Path) -> None:
    with veth() as pair:
        tap = capture(pair, tmp_path / "gone.pcap").start()
        run("ip", "-n", pair.child, "link", "delete", pair.interface)
        wait_for_end(tap)
        report = tap.stop()
    assert report.faults
    assert any("disappeared" in fault or "down" in fault for fault in report.faults), report.faults


def test_a_full_disk_is_noticed(pair: Veth, tmp_path: Path) -> None:
    disk = tmp_path / "small"
    disk.mkdir()
    run("mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk))
    try:
        tap = capture(pair, disk / "full.pcap").start()
        pair.burst(3000)
        report = tap.stop(3000)
    finally:
        run("umount", str(disk))
    assert report.faults
    assert any("disk" in fault or "cut off" in fault for fault in report.faults), report.faults


def test_what_cannot_start_says_why(pair: Veth, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(TestbedError, match="no-such"):
        Capture("no-such", pair.netns_path, tmp_path / "a.pcap").start()
    with pytest.raises(TestbedError, match="gone"):
        Capture("wa", "/run/netns/gone", tmp_path / "a.pcap").start()
    with pytest.raises(TestbedError, match="nowhere"):
        capture(pair, tmp_path / "nowhere" / "a.pcap").start()
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(TestbedError, match="install the package tcpdump"):
        capture(pair, tmp_path / "a.pcap").start()


def test_one_that_never_begins_is_given_up(
    pair: Veth, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stub = tmp_path / "nsenter"
    stub.write_text("#!/bin/sh\nexec sleep 60\n")
    stub.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr("testbed.wire.capture.START_TIMEOUT_S", 0.5)
    tap = capture(pair, tmp_path / "never.pcap")
    with pytest.raises(TestbedError, match="it said nothing"):
        tap.start()
    assert not tap.alive


def test_left_by_an_error_it_leaves_no_process(pair: Veth, tmp_path: Path) -> None:
    tap = capture(pair, tmp_path / "left.pcap")
    with pytest.raises(KeyboardInterrupt), tap:
        raise KeyboardInterrupt
    assert not tap.alive
    tap.abort()


def test_it_runs_as_nobody_and_dies_with_its_parent_though_started_by_a_thread(
    pair: Veth, tmp_path: Path
) -> None:
    program = f"""
import os, threading, time
from pathlib import Path
from testbed.wire.capture import Capture, capturing, stop_all
tap = Capture({pair.interface!r}, {pair.netns_path!r}, Path({str(tmp_path / "orphan.pcap")!r}))
thread = threading.Thread(target=tap.start)
thread.start()
thread.join()
time.sleep(0.5)
assert tap.alive
print(tap.pid, flush=True)
time.sleep(60)
"""
    parent = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    status = Path(f"/proc/{pid}/status").read_text()
    assert "Uid:\t65534" in status
    assert f"CapEff:\t{1 << 13:016x}" in status
    parent.kill()
    parent.wait(10)
    parent.stdout.close()
    deadline = time.monotonic() + 10
    while Path(f"/proc/{pid}").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not Path(f"/proc/{pid}").exists()
