"""Containers that stand still, as both versions of control groups show them, and as this kernel does."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from testbed.host.cgroup import ContainerGroup, NodeGroup
from testbed.host.standstill import any_is_stopped, is_frozen
from testbed.orchestrator.watch import standstill
from testbed.orchestrator.watch.standstill import MOST_TOLD, Seen, StandstillWatch
from tests.host.control_groups import remove_group
from tests.host.test_cgroup import ID, write


@pytest.mark.parametrize(
    ("state", "frozen"), [("THAWED\n", False), ("FREEZING\n", True), ("FROZEN\n", True), ("", False)]
)
def test_version_1s_freezer_is_read(tmp_path: Path, state: str, frozen: bool) -> None:
    (tmp_path / "freezer.state").write_text(state)
    assert is_frozen(str(tmp_path), unified=False) is frozen
    assert not is_frozen(str(tmp_path / "absent"), unified=False)


@pytest.mark.parametrize(
    ("events", "asked", "frozen"),
    [("0", "0", False), ("1", "1", True), ("0", "1", True), ("1", "0", True)],  # the last: by a group above
)
def test_version_2s_freezer_is_read(tmp_path: Path, events: str, asked: str, frozen: bool) -> None:
    (tmp_path / "cgroup.events").write_text(f"populated 1\nfrozen {events}\n")
    (tmp_path / "cgroup.freeze").write_text(f"{asked}\n")
    assert is_frozen(str(tmp_path), unified=True) is frozen


def test_on_a_hybrid_host_either_version_may_freeze_and_version_1_counts(tmp_path: Path) -> None:
    lines = []
    for number, name in enumerate(("freezer", "cpu", "cpuacct"), start=30):
        write(tmp_path / name / "docker" / ID, cgroup_procs="", freezer_state="THAWED\n",
              cpuacct_usage="1500000000", cpu_cfs_quota_us="25000\n", cpu_cfs_period_us="100000\n",
              cpu_stat="nr_periods 8\nnr_throttled 3\nthrottled_time 500000000\n")  # fmt: skip
        lines.append(f"{number} 23 0:{number} / {tmp_path / name} rw - cgroup {name} rw,{name}\n")
    unified = tmp_path / "unified" / "docker" / ID
    write(unified, cgroup_events="populated 1\nfrozen 0\n", cpu_stat="usage_usec 1\n")
    (tmp_path / "unified" / "cgroup.controllers").write_text("hugetlb\n")
    lines.append(f"40 23 0:40 / {tmp_path / 'unified'} rw - cgroup2 cgroup2 rw\n")
    (tmp_path / "mountinfo").write_text("".join(lines))
    group = ContainerGroup(ID, tmp_path / "mountinfo")
    glance = group.glance()
    assert glance is not None
    assert (glance.how, glance.ran_s, glance.throttled_s, glance.cpus) == (None, 1.5, 0.5, 0.25)
    (tmp_path / "freezer" / "docker" / ID / "freezer.state").write_text("FROZEN\n")
    assert how(group) == "frozen"
    (tmp_path / "freezer" / "docker" / ID / "freezer.state").write_text("THAWED\n")
    (unified / "cgroup.freeze").write_text("1\n")
    assert how(group) == "frozen"
    for name in ("freezer", "cpu", "cpuacct"):
        shutil.rmtree(tmp_path / name / "docker" / ID)
    assert group.glance() is None  # and not one whose limit of CPUs was taken away


def how(group: ContainerGroup) -> str | None:
    """How a container that has not ended stands still."""
    glance = group.glance()
    assert glance is not None
    return glance.how


@contextmanager
def sleeping() -> Iterator[int]:
    process = subprocess.Popen([sys.executable, "-I", "-S", "-c", "print(flush=True); input()"],
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE)  # fmt: skip
    try:
        assert process.stdout is not None
        process.stdout.readline()
        yield process.pid
    finally:
        process.kill()
        process.wait(10)


def becomes(look: object, wanted: object) -> bool:
    """Whether a look finds what is wanted before long: the kernel stops a process when it next runs."""
    end = time.monotonic() + 10
    while (found := look()) != wanted and time.monotonic() < end:  # type: ignore[operator]
        time.sleep(0.01)
    return bool(found == wanted)


def test_a_process_that_a_signal_stopped_is_known_until_it_goes_on() -> None:
    with sleeping() as pid:
        pids = [str(os.getpid()), str(pid)]
        assert not any_is_stopped(pids)
        os.kill(pid, signal.SIGSTOP)
        assert becomes(lambda: any_is_stopped(pids), True)
        os.kill(pid, signal.SIGCONT)
        assert becomes(lambda: any_is_stopped(pids), False)
    assert not any_is_stopped(pids)


def test_a_relay_that_was_stopped_is_seen_and_what_was_seen_has_its_name() -> None:
    with sleeping() as pid, StandstillWatch({}, {"edge1": pid}, interval_s=0.01) as watch:
        os.kill(pid, signal.SIGSTOP)
        assert becomes(lambda: bool(watch.behind["edge1's relay"].still), True)
        os.kill(pid, signal.SIGCONT)
    assert [stretch.how for stretch in watch.behind["edge1's relay"].still] == ["stopped"]


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ((), ["edge1's relay has stood still for 0.05 s by now, stopped by a signal"]),
        (("edge1's relay",), []),
    ],
)
def test_what_stands_still_unasked_is_said_once(
    asked: tuple[str, ...], said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(standstill, "TOLD_S", 0.05)
    told: list[str] = []
    with sleeping() as pid:
        os.kill(pid, signal.SIGSTOP)
        with StandstillWatch({}, {"edge1": pid}, interval_s=0.01, tell=told.append, asked=asked) as watch:
            assert becomes(
                lambda: (
                    [one.until_s - one.since_s > 0.3 for one in watch.behind["edge1's relay"].still] == [True]
                ),
                True,
            )
        os.kill(pid, signal.SIGCONT)
    assert told == said


@pytest.mark.parametrize(("count", "rest"), [(1, 0), (MOST_TOLD, 0), (MOST_TOLD + 3, 1)])
def test_a_container_that_ends_is_told_of_once_while_it_happens_with_why(
    tmp_path: Path, count: int, rest: int
) -> None:
    ids = [f"{number:064x}" for number in range(count + 1)]
    (tmp_path / "cgroup.controllers").write_text("cpu\n")
    (tmp_path / "mountinfo").write_text(f"30 23 0:26 / {tmp_path} rw - cgroup2 cgroup2 rw\n")
    groups = {}
    for number, each in enumerate(ids):
        write(tmp_path / "docker" / each, cpu_stat="usage_usec 1\n", cgroup_procs="")
        groups[f"edge{number}"] = NodeGroup(ContainerGroup(each, tmp_path / "mountinfo"))
    told: list[str] = []

    def why(container_id: str) -> str:
        return f"exit status {int(container_id, 16)}"

    asked = [*groups]  # a pause, or a tier's end: its container stays
    with StandstillWatch(groups, {}, interval_s=0.01, tell=told.append, asked=asked, why=why) as watch:
        for each in ids[1:]:
            shutil.rmtree(tmp_path / "docker" / each)
        assert becomes(lambda: len(told), min(count, MOST_TOLD) + rest)
        told_meanwhile = list(told)
        time.sleep(0.1)
    assert told == told_meanwhile
    said = r"edge(\d+) has ended at \d\d:\d\d:\d\d UTC, and requests to it fail from now on: exit status \1"
    assert all(re.fullmatch(said, one) for one in told[: len(told) - rest])
    assert told[len(told) - rest :] == ["more containers have ended, and are not named one by one"] * rest
    assert watch.seen["edge0"].cpus


@contextmanager
def frozen_at_will() -> Iterator[tuple[str, Path, str, str]]:
    """A control group of this host's own kernel: its name, the file that freezes it, and what to write."""
    name = os.urandom(32).hex()
    version_1 = Path("/sys/fs/cgroup/freezer")
    group = (version_1 if version_1.is_dir() else Path("/sys/fs/cgroup")) / name
    group.mkdir()
    try:
        if version_1.is_dir():
            yield name, group / "freezer.state", "FROZEN", "THAWED"
        else:
            yield name, group / "cgroup.freeze", "1", "0"
    finally:
        remove_group(group)


@pytest.mark.root
def test_a_group_that_this_kernel_freezes_is_seen_to_stand_still_and_to_go_on() -> None:
    with frozen_at_will() as (name, file, freeze, thaw), sleeping() as pid:
        (file.parent / "cgroup.procs").write_text(str(pid))
        group, seen = ContainerGroup(name), Seen()
        assert how(group) is None
        try:
            file.write_text(freeze)
            assert becomes(lambda: how(group), "frozen")
            seen.add(group.glance())
        finally:
            file.write_text(thaw)
        assert becomes(lambda: how(group), None)
        seen.add(group.glance())
        (stretch,) = seen.still
        assert stretch.how == "frozen"
        assert stretch.until_s > stretch.since_s
