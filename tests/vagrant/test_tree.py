"""Where systems come from, what root does in them, and that nothing of it lives on."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.vagrant.chroot import provision
from tests.vagrant.tree import CGROUPS, Tree, _run, remove_cgroup, sources
from tests.vagrant.vagrantfile import read_vagrantfile


def test_ubuntu_has_the_archive_that_docker_and_mininet_are_in_and_its_updates() -> None:
    assert sources("noble", "http://mirror.example/ubuntu") == [
        "deb http://mirror.example/ubuntu noble main universe",
        "deb http://mirror.example/ubuntu noble-updates main universe",
        "deb http://mirror.example/ubuntu noble-security main universe",
    ]
    assert sources("trixie", None) == []
    assert sources("trixie", "http://mirror.example/debian") == ["http://mirror.example/debian"]


def test_what_the_host_says_of_torch_reaches_the_provisioning(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = read_vagrantfile()
    for name in asked.passed_on:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TORCH_INDEX_URL", "https://index.example/a b")
    monkeypatch.setenv("TORCH_CUDA", "yes")
    command = provision(asked).replace(asked.provision, 'exec sh -c "echo \\$TORCH_INDEX_URL \\$TORCH_CUDA"')
    first, _, _ = command.partition(" && ")
    told = subprocess.run(["bash", "-c", first], capture_output=True, text=True, check=True).stdout
    assert told == "https://index.example/a b yes\n"


def test_each_directory_has_a_control_group_of_its_own() -> None:
    assert Tree(Path("/a/tree")).cgroup == Tree(Path("/a/tree")).cgroup != Tree(Path("/b/tree")).cgroup


@pytest.mark.root
def test_what_was_started_has_ended_when_a_call_is_stopped(tmp_path: Path) -> None:
    """A process that left its session, and one that started it."""
    own = tmp_path / "sleep"
    own.symlink_to("/bin/sleep")
    apart = [
        "unshare",
        "--pid",
        "--fork",
        "--kill-child",
        "bash",
        "-c",
        f"setsid {own} 600 & {own} 601; true",
    ]
    with pytest.raises(subprocess.TimeoutExpired):
        _run(apart, 1.0)
    assert [line for line in _command_lines() if str(own) in line] == []


@pytest.mark.root
def test_a_control_group_goes_with_all_in_it() -> None:
    group = f"tree-test-{os.getpid()}"
    places = [place for place in (CGROUPS, *CGROUPS.glob("*/")) if (place / "cgroup.procs").exists()]
    for place in places:
        (place / group / "container").mkdir(parents=True)
    remove_cgroup(group)
    assert [str(place / group) for place in places if (place / group).exists()] == []


def _command_lines() -> list[str]:
    return subprocess.run(
        ["ps", "-eo", "args"], capture_output=True, text=True, check=True
    ).stdout.splitlines()
