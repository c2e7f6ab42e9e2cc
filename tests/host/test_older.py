"""What earlier versions left is removed, and what belongs to a process that lives is not."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from testbed.host import older
from testbed.host.older import remove_older

NAME = "tbvm0123abcd"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TESTBED_CACHE", str(tmp_path))
    monkeypatch.setattr(older, "MANAGERS_FILES", {})
    return tmp_path


def machine(cache: Path, owner: int, owner_started: int) -> Path:
    """A machine's directory as earlier versions wrote it."""
    directory = cache / "machines" / NAME
    directory.mkdir(parents=True)
    state = {"name": NAME, "owner": owner, "owner_started": owner_started, "group": 0}
    (directory / "machine.json").write_text(json.dumps(state))
    return directory


def started(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])


@contextmanager
def kernel(home: Path, name: str = NAME) -> Iterator[subprocess.Popen[bytes]]:
    """A process that looks as one of the machine ``name`` does, for a minute at most."""
    arguments = ["mem=64M", f"umid={name}", f"uml_dir={home}/machines/{name}"]
    command = ["/usr/bin/linux.uml", "-c", "import time; time.sleep(60)", *arguments]
    process = subprocess.Popen(command, executable=sys.executable)
    try:
        yield process
    finally:
        process.kill()
        process.wait(10)


def test_a_host_without_anything_of_theirs_is_left_alone(cache: Path) -> None:
    (cache / "models").mkdir()
    assert remove_older() == []
    assert [path.name for path in cache.iterdir()] == ["models"]


def test_a_machine_whose_owner_is_gone_is_ended_and_the_disks_go_with_it(cache: Path) -> None:
    machine(cache, os.getpid(), started(os.getpid()) - 1)  # that process id has come round to us
    (cache / "disks").mkdir()
    (cache / "disks" / "0123456789ab.img").touch()
    with kernel(cache) as process, kernel(cache, "somebody-elses") as other:
        time.sleep(0.2)  # until they are what they will be
        assert remove_older() == [f"machine {NAME}", f"disks {cache}/disks"]
        assert process.wait(10) == -signal.SIGKILL
        assert other.poll() is None
    assert not (cache / "machines").exists()
    assert not (cache / "disks").exists()


def test_what_else_is_in_a_folder_of_that_name_stays(cache: Path) -> None:
    """The cache may be a directory that has other things than ours."""
    kept = [cache / "disks" / "holidays.img", cache / "machines" / "tbvm-notes" / "notes.txt"]
    for path in kept:
        path.parent.mkdir(parents=True)
        path.touch()
    assert remove_older() == []
    (cache / "disks" / "0123456789ab.img").touch()
    assert remove_older() == [f"disks {cache}/disks"]
    assert [path for path in kept if not path.exists()] == []


def test_a_machine_that_an_older_version_runs_now_is_left_with_its_disk(cache: Path) -> None:
    directory = machine(cache, os.getpid(), started(os.getpid()))
    (cache / "disks").mkdir()
    with kernel(cache) as process:
        time.sleep(0.2)
        assert remove_older() == []
        assert process.poll() is None
    assert directory.exists()
    assert (cache / "disks").exists()


def test_a_machine_of_another_cache_is_left_while_its_owner_lives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine(tmp_path, os.getpid(), started(os.getpid()))
    with kernel(tmp_path) as process:
        time.sleep(0.2)
        monkeypatch.setenv("TESTBED_CACHE", str(tmp_path / "other"))
        assert remove_older() == []
        assert process.poll() is None


def test_a_machine_without_a_directory_is_found_by_its_processes(cache: Path) -> None:
    with kernel(cache) as process:
        time.sleep(0.2)
        assert remove_older() == [f"machine {NAME}"]
        assert process.wait(10) == -signal.SIGKILL


@pytest.mark.root
def test_what_told_network_managers_to_leave_ports_alone_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told, reloaded = tmp_path / "00-llm-testbed.network", tmp_path / "reloaded"
    told.touch()
    monkeypatch.setattr(older, "MANAGERS_FILES", {told: ("touch", str(reloaded))})
    assert remove_older() == [f"file {told}"]
    assert reloaded.exists()
    assert not told.exists()


@pytest.mark.root
def test_bridges_of_open_vswitch_go_unless_their_run_lives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its daemon is not to be had everywhere: a script has the bridges' names instead."""
    asked = tmp_path / "asked"
    script = tmp_path / "ovs-vsctl"
    script.write_text(f'#!/bin/sh\necho "$@" >>{asked}\n[ "$2" != list-br ] || echo tbaaaas1 tbbbbbs2 br0\n')
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    assert remove_older({"bbbb"}) == ["bridge tbaaaas1"]
    assert asked.read_text().splitlines()[1:] == ["--timeout=5 --if-exists del-br tbaaaas1"]
