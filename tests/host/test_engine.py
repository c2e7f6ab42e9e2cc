"""The Docker engine is found or started, and only what we started is ended."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest

from testbed.errors import TestbedError
from testbed.host.engine import HOST, Paths, end_engine, engine, stop_engine_if_ours
from testbed.host.processes.proc import command_name
from testbed.host.processes.run_lock import AnotherRun, run_lock
from testbed.host.processes.waiting import wait_until
from tests.host.engines import own_engine


def test_a_record_of_a_process_that_is_another_one_now_ends_nobody(tmp_path: Path) -> None:
    paths = Paths(state=tmp_path)
    with subprocess.Popen(["sleep", "60"]) as innocent:
        paths.record.write_text(json.dumps({"pid": innocent.pid, "starttime": 1}))
        assert not stop_engine_if_ours(paths)
        assert innocent.poll() is None
        innocent.kill()


def test_another_containerd_that_has_the_id_of_ours_by_now_is_left_alone(tmp_path: Path) -> None:
    paths = Paths(state=tmp_path, run=tmp_path / "run", pidfile=tmp_path / "docker.pid")
    paths.containerd_pidfile.parent.mkdir(parents=True)
    program = tmp_path / "containerd"
    program.symlink_to("/usr/bin/sleep")
    with subprocess.Popen([program, "600"]) as innocent:
        wait_until(lambda: command_name(innocent.pid) == "containerd", 10, 0.01, or_raise="it is another")
        paths.containerd_pidfile.write_text(str(innocent.pid))
        paths.record.write_text(json.dumps({"pid": innocent.pid, "starttime": 1}))
        assert not stop_engine_if_ours(paths)
        with pytest.raises(subprocess.TimeoutExpired):
            innocent.wait(0.2)
        innocent.kill()


def test_without_a_record_nothing_is_ended(tmp_path: Path) -> None:
    assert not stop_engine_if_ours(Paths(state=tmp_path))


def test_an_engine_elsewhere_that_does_not_answer_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    address = f"unix://{tmp_path}/nobody.sock"
    monkeypatch.setenv("DOCKER_HOST", address)
    with pytest.raises(TestbedError, match=f"DOCKER_HOST={address}"):
        engine()


@pytest.fixture
def own_paths() -> Iterator[Paths]:
    with own_engine() as paths:
        yield paths


@pytest.mark.root
@pytest.mark.docker
def test_an_engine_is_started_once_used_again_and_ended_with_all_its_processes(own_paths: Paths) -> None:
    said: list[str] = []
    clients: list[docker.DockerClient] = []
    callers = [threading.Thread(target=lambda: clients.append(engine(said.append, own_paths))) for _ in "ab"]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join(timeout=90)

    assert [client.info()["DockerRootDir"] for client in clients] == [str(own_paths.data)] * 2
    assert said.count("starting dockerd") == 1
    started = _processes_naming(own_paths.data.parent)
    assert {"dockerd", "containerd"} <= set(started.values())

    assert stop_engine_if_ours(own_paths)
    assert _processes_naming(own_paths.data.parent) == {}
    assert not stop_engine_if_ours(own_paths)
    engine(paths=HOST)  # the host's own was left alone


@pytest.mark.root
@pytest.mark.docker
def test_what_dockerd_left_when_it_was_killed_is_ended_too(own_paths: Paths) -> None:
    engine(paths=own_paths)
    os.kill(json.loads(own_paths.record.read_text())["pid"], signal.SIGKILL)
    stop_engine_if_ours(own_paths)
    assert "containerd" not in _processes_naming(own_paths.data.parent).values()
    assert engine(paths=own_paths).ping()  # a killed one's stale pid files do not hinder the next


@pytest.mark.root
@pytest.mark.docker
def test_an_engine_that_cannot_start_says_why_in_one_sentence(own_paths: Paths) -> None:
    own_paths.data.parent.mkdir(exist_ok=True)
    own_paths.data.write_text("a file where the data directory should be")
    with pytest.raises(TestbedError, match="dockerd did not start") as caught:
        engine(paths=own_paths)
    assert "\n" not in str(caught.value)
    assert _processes_naming(own_paths.data.parent) == {}


@pytest.mark.root
@pytest.mark.docker
def test_a_user_who_is_not_root_is_told_to_be(own_paths: Paths) -> None:
    if os.environ.get("DOCKER_HOST"):
        pytest.fail("unset DOCKER_HOST to run this test")
    own_paths.data.parent.chmod(0o755)
    code = (
        "import os, pathlib, sys\n"
        "from testbed.host.engine import Paths, engine\n"
        "os.setuid(65534)\n"
        "home = pathlib.Path(sys.argv[1])\n"
        "engine(paths=Paths(home, home, home, home / 'pid', home / 'socket'))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(own_paths.data.parent)], capture_output=True, text=True, timeout=60
    )
    assert "TestbedError: no Docker engine answers, and only root can start one" in done.stderr


def _processes_naming(directory: Path) -> dict[int, str]:
    """Name by number of each process whose command line has ``directory`` in it, ourselves left out."""
    found = {}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_text().replace("\0", " ")
            if str(directory) in command and int(process.name) != os.getpid():
                found[int(process.name)] = (process / "comm").read_text().strip()
        except OSError:
            continue
    return found


@pytest.mark.root
@pytest.mark.docker
def test_clean_ends_an_engine_of_ours_in_which_nothing_runs(own_paths: Paths) -> None:
    client = engine(paths=own_paths)
    client.api.import_image_from_data(_host_links(), repository="host", tag="links")
    client.containers.run(
        "host:links",
        ["/bin/sleep", "600"],
        network_mode="none",
        volumes={"/usr": {"bind": "/usr", "mode": "ro"}},
        detach=True,
        name="still-here",
    )
    with pytest.raises(TestbedError, match="container still-here runs"):
        end_engine(own_paths)
    client.containers.get("still-here").remove(force=True)
    assert end_engine(own_paths)
    assert not end_engine(own_paths)


@pytest.mark.root
def test_no_engine_is_ended_under_a_run(tmp_path: Path) -> None:
    with run_lock("live", allow_others=True), pytest.raises(AnotherRun):
        end_engine(Paths(state=tmp_path))


def _host_links() -> bytes:
    """An image in which the host's /usr is enough to run a program."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for name in ("bin", "lib", "lib64"):
            entry = tarfile.TarInfo(name)
            entry.type, entry.linkname = tarfile.SYMTYPE, f"usr/{name}"
            archive.addfile(entry)
    return packed.getvalue()
