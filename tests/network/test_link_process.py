"""The link process on the host: what it takes, what it does without, and what is said when it ends."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from testbed.errors import TestbedError
from testbed.network.kernel.netns import socket_in
from testbed.network.link_process import client
from testbed.network.link_process.client import LinkProcess
from testbed.scenario.topology import Shape
from tests import ROOT
from tests.network.lab import FULL_PAYLOAD, path, run_id, settle, tree, up
from tests.network.test_leftovers import traces, victim, wait_up

pytestmark = pytest.mark.root
LINK = "device1-edge1"
HERE = "/proc/self/ns/net"


def gone(pid: int, within_s: float = 5.0) -> bool:
    deadline = time.monotonic() + within_s
    while Path(f"/proc/{pid}").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    return not Path(f"/proc/{pid}").exists()


def children(pid: int) -> list[int]:
    tasks = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(word) for task in tasks for word in task.read_text().split()]


def test_it_takes_precedence_and_keeps_its_memory() -> None:
    with up(tree(devices=1)) as network:
        process = network.link_process
        status = Path(f"/proc/{process.pid}/status").read_text()
        if "priority" not in process.refused:
            policy = os.sched_getscheduler(process.pid)
            assert policy & ~os.SCHED_RESET_ON_FORK == os.SCHED_FIFO
            assert policy & os.SCHED_RESET_ON_FORK
        if "lock" not in process.refused:
            assert int(status.split("VmLck:")[1].split()[0]) > 10_000
        if "oom" not in process.refused:
            assert Path(f"/proc/{process.pid}/oom_score_adj").read_text().strip() == "-1000"


def test_its_memory_does_not_grow_with_what_it_carries() -> None:
    def memory_kb() -> int:
        status = Path(f"/proc/{network.link_process.pid}/status").read_text()
        return int(status.split("VmRSS:")[1].split()[0])

    with (
        up(tree(devices=1, up=Shape(None, delay_ms=1, jitter_ms=0.1, queue_frames=5000))) as network,
        path(network, "device1", "edge1") as way,
    ):
        used = []
        for _ in range(4):
            way.burst(5000, payload_bytes=500, gap_s=0.0001)
            settle(lambda: len(way.receiver.arrivals), quiet_s=0.2)
            used.append(memory_kb())
        assert network.link(LINK).counts()["up"].handed_on_frames == 20_000
        assert used[-1] - used[1] < 512


def test_without_priority_and_lock_it_carries_frames_and_says_what_it_lacks() -> None:
    script = (
        "from tests.network.lab import *\n"
        "with up(tree(devices=1)) as network, path(network, 'device1', 'edge1') as way:\n"
        "    way.burst(10)\n"
        "    settle(lambda: len(way.receiver.arrivals))\n"
        "    network.link_process.begin(1, 'm')\n"
        "    report = network.link_process.report()\n"
        "    refused = sorted(network.link_process.refused)\n"
        "    print(len(way.receiver.arrivals), refused, report.real_time, report.locked)\n"
    )
    done = subprocess.run(
        ["prlimit", "--rtprio=0", "--memlock=0",
         "setpriv", "--bounding-set=-sys_nice,-ipc_lock,-sys_resource", "--inh-caps=-all",
         sys.executable, "-c", script],
        cwd=ROOT, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.stdout.strip() == "10 ['lock', 'oom', 'priority'] False False", done.stderr


def test_refused_packet_sockets_are_one_sentence() -> None:
    script = (
        "from testbed.network.link_process.client import LinkProcess\n"
        f"with LinkProcess({HERE!r}):\n    pass\n"
    )
    done = subprocess.run(
        ["setpriv", "--bounding-set=-net_raw", "--inh-caps=-all", sys.executable, "-c", script],
        cwd=ROOT, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    sentence = "the link process cannot work here: packet sockets are refused: Operation not permitted"
    assert done.stderr.strip().splitlines()[-1] == f"testbed.errors.TestbedError: {sentence}"


def test_killed_it_is_told_at_once_and_by_all_that_ask_it_and_nothing_is_left() -> None:
    told = threading.Event()
    with up(tree(devices=1)) as network:
        process, link = network.link_process, network.link(LINK)
        process.ended = told.set
        process.require_alive()
        os.kill(process.pid, signal.SIGKILL)
        assert told.wait(2)
        assert process.has_ended
        for ask in (
            process.require_alive,
            lambda: link.reshape(Shape(10**6), Shape(10**6)),
            link.cut,
            process.report,
        ):
            with pytest.raises(TestbedError) as caught:
                ask()
            assert str(caught.value) == "the link process has ended, and all links with it: SIGKILL"
        assert link.counts()["up"].crossed_frames == 0  # what it had counted can be read still
    assert traces(network.run_id) == []


def test_how_it_ended_is_known_though_a_signal_interrupts_who_asks() -> None:
    """A run's end is told by SIGINT, which may come between the kernel's word and its being kept."""
    main = threading.main_thread()
    for _ in range(40):
        with LinkProcess(HERE) as process:
            process.ended = lambda: signal.pthread_kill(int(main.ident or 0), signal.SIGINT)
            with pytest.raises(KeyboardInterrupt):  # noqa: PT012 - it comes at any of these lines
                os.kill(process.pid, signal.SIGKILL)
                while True:
                    _ = process.has_ended
            with pytest.raises(TestbedError, match="SIGKILL"):
                process.require_alive()


def test_an_end_that_was_asked_for_is_told_to_nobody() -> None:
    told = threading.Event()
    with up(tree(devices=1)) as network:
        network.link_process.ended = told.set
        pid = network.link_process.pid
    assert gone(pid)
    assert not told.is_set()


def test_standing_still_it_answers_nobody_can_be_read_and_goes_with_its_network(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(client, "ANSWER_TIMEOUT_S", 0.5)
    monkeypatch.setattr(client, "END_TIMEOUT_S", 0.5)
    with up(tree(devices=1)) as network:
        pid = network.link_process.pid
        os.kill(pid, signal.SIGSTOP)
        with pytest.raises(TestbedError, match="does not answer within"):
            network.link(LINK).cut()
        assert network.link(LINK).counts()["up"].came_in_frames == 0
    assert gone(pid)
    assert traces(network.run_id) == []


def test_having_stood_still_it_goes_on_where_it_was_and_says_how_late_it_is() -> None:
    shape = Shape(10**6, delay_ms=10, queue_frames=10)
    with up(tree(devices=1, up=shape)) as network, path(network, "device1", "edge1") as way:
        process = network.link_process
        process.begin(1, "method")
        os.kill(process.pid, signal.SIGSTOP)
        way.burst(12)
        time.sleep(0.5)
        os.kill(process.pid, signal.SIGCONT)
        settle(lambda: len(way.receiver.arrivals))
        assert [arrival.number for arrival in way.receiver.arrivals] == list(range(10))
        assert network.link(LINK).counts()["up"].refused_frames == 2  # as if it had been there
        assert process.report().put_on_wire.max_ms > 300


def test_it_ends_with_a_run_that_is_killed() -> None:
    with victim(run_id()) as run:
        wait_up(run)
        words = {pid: Path(f"/proc/{pid}/cmdline").read_bytes() for pid in children(run.pid)}
        (pid,) = (pid for pid, said in words.items() if b"link_process" in said)
        run.kill()
        run.wait(10)
        assert gone(pid)


def test_a_frame_that_it_cannot_carry_is_counted_and_never_crosses() -> None:
    with up(tree(devices=1)) as network:
        device, edge = network.net["device1"], network.net["edge1"]
        ends = bytes.fromhex((edge.MAC() + device.MAC()).replace(":", ""))
        with socket_in(device.netns_path, socket.AF_PACKET, socket.SOCK_RAW) as out:
            out.bind(("eth0", 0))
            out.send(ends + b"\x81\x00\x00\x07\x08\x00" + bytes(60))  # tagged: of a VLAN
            out.send(ends + b"\x88\xb5" + bytes(60))
        link = network.link(LINK)
        settle(lambda: link.counts())
        reading = link.read()["up"]
        assert reading.process.dropped_frames == 1
        assert (reading.process.came_in_frames, reading.process.crossed_frames) == (1, 1)
        assert reading.port_in.frames == 2


def test_a_flood_over_what_its_ring_holds_is_counted_and_told() -> None:
    """Stopped, it takes nothing; what then finds no room is the kernel's drop at its socket, and is read."""
    with up(tree(devices=1, up=Shape(None, queue_frames=100))) as network:
        process, link = network.link_process, network.link(LINK)
        process.begin(1, "method")
        with path(network, "device1", "edge1") as way:
            os.kill(process.pid, signal.SIGSTOP)
            way.burst(20_000, payload_bytes=100)
            os.kill(process.pid, signal.SIGCONT)
            settle(lambda: link.counts(), timeout_s=60)
        dropped = process.report().socket_dropped_frames
        reading = link.read()["up"]
        counts = reading.process
        assert dropped > 3000
        assert reading.port_in.frames == counts.refused_frames + counts.crossed_frames + dropped


def test_links_of_one_process_do_not_touch_one_another() -> None:
    with up(tree(devices=2, up=Shape(None, delay_ms=5))) as network:
        one, other = network.link("device1-edge1"), network.link("device2-edge1")
        one.cut()
        other.reshape(Shape(10**6), Shape(10**6))
        with path(network, "device2", "edge1") as way:
            way.burst(3, payload_bytes=FULL_PAYLOAD)
            settle(lambda: len(way.receiver.arrivals))
            assert len(way.receiver.arrivals) == 3
        assert one.counts()["up"].came_in_frames == 0
        assert network.link("edge1-cloud1").shapes["up"] == Shape(None, delay_ms=5)


def test_two_processes_may_be_there_at_a_time() -> None:
    with LinkProcess(HERE) as one, LinkProcess(HERE) as other:
        assert one.pid != other.pid
        one.require_alive()
        other.require_alive()
