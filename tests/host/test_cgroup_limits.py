"""Limits of control groups: the least of a group and those above it, of both versions, and of this kernel."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from testbed.host.cgroup_limits import Bound, Limits, container_limits, own_limits
from tests import ROOT, SCENARIOS

MIB = 1 << 20


def write(directory: Path, **files: str) -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (directory / name.replace("__", ".")).write_text(f"{text}\n")
    return directory


@pytest.fixture
def version_2(tmp_path: Path) -> tuple[Path, Path]:
    """Version 2, whose limits are on a slice above the shell's scope; and a scope that allows more."""
    root = write(tmp_path / "root", cgroup__controllers="cpuset cpu io memory pids")
    write(root / "user.slice", memory__max="max", memory__high="max", cpu__max="max 100000", pids__max="max")
    stat = "anon 1\ninactive_file 31457280"
    write(root / "user.slice/user-0.slice", memory__max=f"{512 * MIB}", memory__high=f"{400 * MIB}",
          memory__current=f"{130 * MIB}", memory__stat=stat, cpu__max="50000 100000", pids__max="100",
          pids__current="58")  # fmt: skip
    write(root / "user.slice/user-0.slice/session-1.scope", memory__max=f"{2048 * MIB}", memory__high="max",
          memory__current=f"{90 * MIB}", memory__stat=stat, cpu__max="150000 100000", pids__max="max",
          pids__current="3")  # fmt: skip
    mountinfo = tmp_path / "mountinfo"
    mountinfo.write_text(f"30 23 0:26 / {root} rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n")
    groups = tmp_path / "cgroup"
    groups.write_text("0::/user.slice/user-0.slice/session-1.scope\n")
    return mountinfo, groups


def test_of_version_2_the_least_limit_of_all_groups_above_counts(version_2: tuple[Path, Path]) -> None:
    mountinfo, groups = version_2
    group = mountinfo.parent / "root/user.slice/user-0.slice"
    assert own_limits(mountinfo, groups) == Limits(
        memory=Bound(
            400 * MIB, 300 * MIB, group
        ),  # 130 MiB are used, of which 30 are files that nobody reads
        cpus=Bound(0.5, 0.5, group),
        processes=Bound(100, 42, group),
    )


def test_containers_have_the_limits_of_the_group_where_the_engine_puts_them(
    version_2: tuple[Path, Path],
) -> None:
    mountinfo, _ = version_2
    root, none = mountinfo.parent / "root", mountinfo.parent / "none"
    assert container_limits(mountinfo, none) == Limits()
    system = write(root / "system.slice", memory__max="1000", memory__current="400", cpu__max="300000 100000")
    assert container_limits(mountinfo, none).memory == Bound(1000, 600, system)
    assert container_limits(mountinfo, none).cpus == Bound(3, 3, system)
    docker = write(root / "docker", memory__max="700", memory__current="100")
    assert container_limits(mountinfo, none).memory == Bound(700, 600, docker)
    settings = mountinfo.parent / "daemon.json"
    for parent, directory in (("lab-tiers.slice", "lab.slice/lab-tiers.slice"), ("/a/b", "a/b")):
        settings.write_text(json.dumps({"cgroup-parent": parent}))
        group = write(root / directory, pids__max="9", pids__current="4")
        assert container_limits(mountinfo, settings) == Limits(processes=Bound(9, 5, group))
    settings.write_text("{")
    assert container_limits(mountinfo, settings).memory == Bound(700, 600, docker)


def test_within_a_container_the_limit_of_the_container_counts(tmp_path: Path) -> None:
    """Version 1 shows the container's own group at the mount; a group namespace shows it as the root."""
    root = write(tmp_path / "memory", memory__limit_in_bytes="1000", memory__usage_in_bytes="300",
                 memory__stat="total_inactive_file 50", memory__use_hierarchy="1")  # fmt: skip
    mountinfo, groups = tmp_path / "mountinfo", tmp_path / "cgroup"
    mountinfo.write_text(f"30 23 0:30 /docker/4f0c {root} rw - cgroup memory rw,memory\n")
    for shown in ("/docker/4f0c", "/", "/../../elsewhere"):
        groups.write_text(f"5:memory:{shown}\n")
        assert own_limits(mountinfo, groups).memory == Bound(1000, 750, root)
    inner = write(root / "docker", memory__limit_in_bytes="9223372036854771712", memory__usage_in_bytes="10")
    assert container_limits(mountinfo, tmp_path / "none").memory == Bound(1000, 750, root)
    write(inner, memory__limit_in_bytes="200")
    assert container_limits(mountinfo, tmp_path / "none").memory == Bound(200, 190, inner)
    write(root, memory__use_hierarchy="0", memory__limit_in_bytes="100")
    assert container_limits(mountinfo, tmp_path / "none").memory == Bound(200, 190, inner)


@contextmanager
def group(controller: str, name: str, **limits: str) -> Iterator[Path]:
    """A control group of this kernel, below which another without limits is yielded."""
    root = Path("/sys/fs/cgroup") / controller
    outer = (root if root.is_dir() else Path("/sys/fs/cgroup")) / name
    inner = outer / "inner"
    inner.mkdir(parents=True)
    try:
        for file, limit in limits.items():
            (outer / file.replace("__", ".")).write_text(limit)
        yield inner
    finally:
        for directory in (inner, outer):
            deadline_s = time.monotonic() + 10
            while directory.exists():
                try:
                    directory.rmdir()
                except OSError:  # its processes are not reaped yet
                    assert time.monotonic() < deadline_s
                    time.sleep(0.05)


def run_in(inner: Path, *arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    """A program of Python's, started by a shell in the group."""
    shell = ["sh", "-c", 'echo $$ >"$0"/cgroup.procs && exec "$@"', str(inner), sys.executable, *arguments]
    return subprocess.run(shell, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False, **options)


NAME = f"tblimits{os.getpid()}"
VERSION_1 = Path("/sys/fs/cgroup/memory").is_dir()
MEMORY = "memory__limit_in_bytes" if VERSION_1 else "memory__max"
QUOTA = {"cpu__cfs_quota_us": "30000"} if VERSION_1 else {"cpu__max": "30000 100000"}
RUN = ("-m", "testbed.cli", "run", str(SCENARIOS / "smoke.yaml"), "--out")


@pytest.mark.root
def test_a_run_that_the_shells_memory_limit_would_kill_is_refused_in_one_sentence(tmp_path: Path) -> None:
    with group("memory", NAME, **{MEMORY: "120000000"}) as inner:
        done = run_in(inner, *RUN, str(tmp_path / "run"))
    assert done.returncode == 1, done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert "a run of this scenario needs about" in done.stderr
    assert f"the control group {inner.parent} leaves" in done.stderr
    assert "MiB to this shell; raise that group's limit, or start it from a shell outside" in done.stderr
    assert not (tmp_path / "run").exists()


@pytest.mark.root
def test_a_validation_that_the_shells_memory_limit_would_kill_is_refused_too(tmp_path: Path) -> None:
    with group("memory", NAME, **{MEMORY: "120000000"}) as inner:
        done = run_in(inner, "-m", "testbed.cli", "validate", "--short", "--out", str(tmp_path / "run"))
    assert done.returncode == 1, done.stderr
    assert "a validation needs about" in done.stderr
    assert not (tmp_path / "run").exists()


@pytest.mark.root
def test_models_that_the_shells_memory_limit_would_not_let_be_assembled_are_refused(tmp_path: Path) -> None:
    environment = {**os.environ, "TESTBED_CACHE": str(tmp_path)}
    with group("memory", NAME, **{MEMORY: str(900 * MIB)}) as inner:
        done = run_in(inner, "-m", "testbed.cli", "models", "prepare", env=environment)
    assert done.returncode == 1, done.stderr
    assert "assembling the embedded models needs about 1,400 MiB" in done.stderr.splitlines()[-1]
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == [".lock"]


@pytest.mark.root
def test_a_run_of_more_processes_than_the_shell_may_have_is_refused_in_one_sentence(tmp_path: Path) -> None:
    with group("pids", NAME, pids__max="20") as inner:
        done = run_in(inner, *RUN, str(tmp_path / "run"))
    assert done.returncode == 1, done.stderr
    assert "processes and threads beside its tiers, and the control group" in done.stderr.splitlines()[-1]
    assert not (tmp_path / "run").exists()


@pytest.mark.root
def test_the_doctor_tells_the_shells_limits(tmp_path: Path) -> None:
    doctor = ("-m", "testbed.cli", "doctor", "--json")

    def told(inner: Path) -> dict[str, Any]:
        listed = json.loads(run_in(inner, *doctor).stdout)["capabilities"]
        return next(need for need in listed if need["name"] == "limits of this shell")

    with group("memory", NAME, **{MEMORY: str(512 * MIB)}) as inner:
        need = told(inner)
        assert not need["ok"]
        assert f"GiB of memory free in {inner.parent}" in need["detail"]
        assert need["mend"].startswith("raise the limits of these control groups")
    with group("cpu", NAME, **QUOTA) as inner:
        assert told(inner)["detail"] == f"0.3 CPUs by {inner.parent}"
    with group("memory", NAME, **{MEMORY: str(8192 * MIB)}) as inner:
        assert told(inner)["ok"]


@pytest.mark.root
def test_a_group_that_has_used_what_it_may_has_nothing_free() -> None:
    code = (
        "from testbed.host.cgroup_limits import own_limits\n"
        "before = own_limits().memory\n"
        "held = bytearray(80_000_000)\n"
        "after = own_limits().memory\n"
        "print(before.limit, before.free - after.free)\n"
    )
    with group("memory", NAME, **{MEMORY: str(256 * MIB)}) as inner:
        limit, taken = map(float, run_in(inner, "-c", code).stdout.split())
    assert limit == 256 * MIB
    assert taken == pytest.approx(80_000_000, rel=0.05)
