"""Control groups of both versions, read as a kernel writes them."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from testbed.errors import TestbedError
from testbed.host.cgroup import ContainerGroup, Usage
from tests.host.control_groups import remove_group

ID = "4f0c" * 16


def write(directory: Path, **files: str) -> None:
    directory.mkdir(parents=True)
    for name, text in files.items():
        (directory / name.replace("_", ".", 1)).write_text(text)


def test_version_2_is_read_where_systemd_puts_it(tmp_path: Path) -> None:
    write(tmp_path / "system.slice" / f"docker-{ID}.scope",
          memory_stat="anon 284000000\nfile 90\n",
          cpu_stat="usage_usec 2500000\nuser_usec 1\nnr_periods 40\nnr_throttled 10\nthrottled_usec 750000\n",
          )  # fmt: skip
    (tmp_path / "cgroup.controllers").write_text("cpuset cpu io memory pids\n")
    mountinfo = tmp_path / "mountinfo"
    mountinfo.write_text(f"30 23 0:26 / {tmp_path} rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n")
    assert ContainerGroup(ID, mountinfo).usage() == Usage(284_000_000, 2.5, 40, 10, 0.75)


def test_version_1_is_read_from_a_mount_for_each_controller(tmp_path: Path) -> None:
    write(tmp_path / "memory" / "docker" / ID, memory_stat="rss 5\ntotal_rss 42000000\n")
    throttling = "nr_periods 8\nnr_throttled 3\nthrottled_time 500000000\n"
    write(tmp_path / "cpu" / "docker" / ID, cpu_stat=throttling)
    write(tmp_path / "cpuacct" / "docker" / ID, cpuacct_usage="1500000000\n")
    (tmp_path / "unified").mkdir()
    mountinfo = tmp_path / "mountinfo"
    mountinfo.write_text(
        "".join(
            f"{number} 23 0:{number} / {tmp_path / name} rw - cgroup {name} rw,{name}\n"
            for number, name in enumerate(("memory", "cpu", "cpuacct"), start=30)
        )
        + f"40 23 0:40 / {tmp_path / 'unified'} rw - cgroup2 cgroup2 rw\n"
    )
    assert ContainerGroup(ID, mountinfo).usage() == Usage(42_000_000, 1.5, 8, 3, 0.5)


def test_a_group_is_found_within_another_containers(tmp_path: Path) -> None:
    write(tmp_path / "docker" / "outer" / "docker" / ID, memory_stat="anon 7\n")
    (tmp_path / "cgroup.controllers").write_text("memory\n")
    mountinfo = tmp_path / "mountinfo"
    mountinfo.write_text(f"30 23 0:26 / {tmp_path} rw - cgroup2 cgroup2 rw\n")
    usage = ContainerGroup(ID, mountinfo).usage()
    assert (usage.anon_bytes, usage.cpu_s, usage.throttled_periods) == (7, None, None)


def test_a_container_that_is_not_there_is_said_to_be(tmp_path: Path) -> None:
    with pytest.raises(TestbedError, match="no control group of container 4f0c4f0c4f0c"):
        ContainerGroup(ID)


def test_differences_leave_memory_as_it_is() -> None:
    before, after = Usage(100, 1.0, 10, 2, 0.1), Usage(120, 3.5, 35, 12, 0.6)
    assert after.since(before) == Usage(120, 2.5, 25, 10, 0.5)
    assert after.since(Usage(None, None, None, None, None)).cpu_s is None


def test_two_containers_together_are_their_sum_as_far_as_both_are_known() -> None:
    server, engine = Usage(100, 1.0, 10, 2, 0.5, 0.25), Usage(20, 2.5, 30, 1, 0.25, None)
    assert server + engine == Usage(120, 3.5, 40, 3, 0.75, None)


@pytest.fixture
def groups() -> Iterator[list[Path]]:
    """Groups of this host's own kernel that bear a container's id, with a quarter of a CPU."""
    made = []
    name = os.urandom(32).hex()
    for controller in ("memory", "cpu", "cpuacct"):
        root = Path("/sys/fs/cgroup") / controller
        parent = root if root.is_dir() else Path("/sys/fs/cgroup")
        directory = parent / name
        if not directory.exists():
            directory.mkdir()
            made.append(directory)
    yield made
    for directory in made:
        remove_group(directory)


@pytest.mark.root
def test_a_process_limited_to_a_quarter_of_a_cpu_is_seen_to_be_throttled(groups: list[Path]) -> None:
    for directory in groups:
        if (directory / "cpu.cfs_quota_us").exists():
            (directory / "cpu.cfs_quota_us").write_text("25000")
        elif (directory / "cpu.max").exists():
            (directory / "cpu.max").write_text("25000 100000")
    work = "input()\nheld = bytearray(30_000_000)\nprint(flush=True)\nwhile True: pass"
    process = subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", work], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        for directory in groups:
            (directory / "cgroup.procs").write_text(str(process.pid))
        group = ContainerGroup(groups[0].name)
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(b"\n")
        process.stdin.flush()
        process.stdout.readline()
        before = group.usage()
        time.sleep(2)
        used = group.usage().since(before)
    finally:
        process.kill()
        process.wait(timeout=10)
    assert used.anon_bytes is not None
    assert used.anon_bytes > 25_000_000
    assert used.cpu_s == pytest.approx(0.5, abs=0.25)
    assert used.throttled_periods is not None
    assert used.throttled_periods >= 5
