"""How long a container waited for a CPU that its quota allowed: never too much, and not what throttled it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from testbed.host.cgroup import ContainerGroup, Usage
from testbed.host.facts import usable_cpus
from testbed.host.run_delay import LONGEST_S, Look, RunDelay, Waits, kernel_tells, thread_waits
from testbed.orchestrator.watch.run_delay import run_delay_watch
from tests.host.control_groups import remove_group

SPIN = [sys.executable, "-I", "-S", "-c", "while True: pass"]


OFTEN = 1000
"""So often did a thread wait that what it waited is many short waits."""


def waited(*looks: tuple[dict[int, float], float], count: int = OFTEN) -> float:
    """By looks, a second apart, at threads' delays and at how long the container had been throttled.

    Between two looks, and before the first, each thread waited ``count`` times.
    """
    delay = RunDelay()
    for at_s, (delays_s, throttled_s) in enumerate(looks):
        waits = {thread: Waits(delay_s, count * (at_s + 1)) for thread, delay_s in delays_s.items()}
        delay.add(Look(at_s, waits, throttled_s, throttled_s))
    return delay.waited_s


def test_what_threads_waited_before_the_first_look_is_not_counted() -> None:
    assert waited(({7: 5.0}, 0.0)) == 0
    assert waited(({7: 5.0}, 0.0), ({7: 5.3, 8: 0.2}, 0.0)) == pytest.approx(0.5)


def test_throttling_is_no_waiting() -> None:
    assert waited(({7: 0.0, 8: 0.0}, 1.0), ({7: 0.6, 8: 0.6}, 1.6)) == 0
    assert waited(({7: 0.0}, 1.0), ({7: 0.9}, 1.6)) == 0


def test_a_delay_that_shows_long_after_the_throttling_is_no_waiting_either() -> None:
    slept = (({7: 0.0}, 0.0), ({7: 0.1}, 0.0), ({7: 0.1}, 0.2), ({7: 0.1}, 0.2), ({7: 1.0}, 0.2))
    assert waited(*slept) == pytest.approx(0.1)


def test_throttling_in_one_interval_hides_nothing_of_another() -> None:
    assert waited(({7: 0.0}, 0.0), ({7: 0.5}, 0.5), ({7: 0.8}, 0.5)) == pytest.approx(0.3)


def test_throttling_that_ended_while_threads_were_looked_at_is_in_both_intervals() -> None:
    delay = RunDelay()
    none, some = {7: Waits(0.0, 0)}, {7: Waits(0.09, OFTEN)}
    for look in (Look(0, none), Look(1, none, 0.0, 0.09), Look(2, some, 0.09, 0.09)):
        delay.add(look)
    assert delay.waited_s == 0


def test_an_ended_thread_keeps_what_was_seen_of_it() -> None:
    assert waited(({7: 1.0}, 0.0), ({7: 1.5}, 0.0), ({}, 0.0)) == pytest.approx(0.5)


def test_a_thread_that_was_overlooked_once_is_not_counted_anew() -> None:
    assert waited(({7: 9.0}, 0.0), ({}, 0.0), ({7: 9.2}, 0.0)) == pytest.approx(0.2)
    assert waited(({7: 9.0}, 0.0), ({}, 0.5), ({7: 9.5}, 0.5)) == 0


def test_a_sleep_that_the_kernel_took_for_a_wait_hardly_counts() -> None:
    slept = (({7: 0.1}, 0.0), ({7: 62.9}, 0.0), ({7: 62.91}, 0.0), ({7: 63.8}, 0.0))
    assert waited(*slept, count=2) == pytest.approx(0.01 + 2 * LONGEST_S)


def test_a_kernel_that_does_not_count_is_known_by_it(tmp_path: Path) -> None:
    assert not kernel_tells(tmp_path)
    (tmp_path / "self").mkdir()
    (tmp_path / "self" / "schedstat").write_text("0 0 0\n")
    assert not kernel_tells(tmp_path)
    (tmp_path / "self" / "schedstat").write_text("734155 0 1\n")
    assert kernel_tells(tmp_path)
    assert thread_waits([1, 2], tmp_path) == {}


def test_where_nothing_is_counted_nothing_is_said(tmp_path: Path) -> None:
    group = tmp_path / "docker" / ("4f0c" * 16)
    group.mkdir(parents=True)
    (tmp_path / "cgroup.controllers").write_text("cpu memory\n")
    mountinfo = tmp_path / "mountinfo"
    mountinfo.write_text(f"30 23 0:26 / {tmp_path} rw - cgroup2 cgroup2 rw\n")
    assert ContainerGroup(group.name, mountinfo).usage().waited_s is None
    (group / "cgroup.threads").write_text(f"{os.getpid()}\n")
    assert ContainerGroup(group.name, mountinfo).usage().waited_s == (0.0 if kernel_tells() else None)


@contextmanager
def limited(cpus: float) -> Iterator[Path]:
    """A group of this host's own kernel that bears a container's id, with that quota."""
    name = os.urandom(32).hex()
    version_1 = Path("/sys/fs/cgroup/cpu")
    group = (version_1 if version_1.is_dir() else Path("/sys/fs/cgroup")) / name
    group.mkdir()
    try:
        if version_1.is_dir():
            (group / "cpu.cfs_quota_us").write_text(f"{cpus * 100_000:.0f}")
        else:
            (group / "cpu.max").write_text(f"{cpus * 100_000:.0f} 100000")
        yield group
    finally:
        remove_group(group)


@contextmanager
def spinning(count: int, group: Path | None = None) -> Iterator[None]:
    processes = [subprocess.Popen(SPIN) for _ in range(count)]
    try:
        for process in processes if group else ():
            assert group is not None
            (group / "cgroup.procs").write_text(str(process.pid))
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait(timeout=10)


def used(group: Path, seconds: float = 2) -> Usage:
    container = ContainerGroup(group.name)
    before = container.usage()
    with run_delay_watch([container], interval_s=0.2):
        time.sleep(seconds)
    return container.usage().since(before)


@pytest.mark.root
@pytest.mark.skipif(not kernel_tells(), reason="this kernel does not count run delays")
def test_a_container_that_its_quota_throttles_waited_for_no_cpu_and_one_beside_busy_loops_did() -> None:
    with limited(0.3) as group, spinning(1, group):
        throttled = used(group)
    with limited(usable_cpus()) as group, spinning(usable_cpus(), group), spinning(2 * usable_cpus()):
        crowded = used(group)
    assert throttled.throttled_s is not None
    assert throttled.throttled_s > 0.7
    assert throttled.waited_s is not None
    assert crowded.waited_s is not None
    assert throttled.waited_s < crowded.waited_s / 3
    assert crowded.waited_s > 1
