"""An engine of which no container's namespace can be entered here is refused before a container starts."""

from __future__ import annotations

import http.server
import json
import os
import platform
import re
import socketserver
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import docker
import pytest
from docker.context.config import get_context_id

from testbed.errors import TestbedError
from testbed.host.engine import engine, engine_if_up
from testbed.host.engine_place import engine_url, require_here
from testbed.network.containers import labelled_containers
from tests import ROOT, SCENARIOS


@pytest.mark.parametrize(
    "address",
    ["tcp://192.0.2.1:2375", "ssh://user@192.0.2.1", "https://192.0.2.1", "npipe:////./pipe/docker"],
)
@pytest.mark.parametrize("ask", [engine, engine_if_up])
def test_an_engine_that_is_reached_over_a_network_is_refused_before_it_is_asked(
    monkeypatch: pytest.MonkeyPatch, address: str, ask: Any
) -> None:
    monkeypatch.setenv("DOCKER_HOST", address)
    said = re.escape(f"DOCKER_HOST={address} is no socket of this host, and a run enters")
    with pytest.raises(TestbedError, match=rf"^{said}.*; unset DOCKER_HOST, or name the socket"):
        ask()


@pytest.mark.parametrize("address", ["unix:///a/b.sock", "unix://a/b.sock", "http+unix:///a/b.sock"])
def test_a_socket_is_named_in_every_way_that_docker_takes(
    monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    monkeypatch.setenv("DOCKER_HOST", address)
    assert engine_url() == "unix:///a/b.sock"


def context(home: Path, host: str) -> None:
    """Docker's context ``mine``, as ``docker context create`` writes it."""
    directory = home / "contexts" / "meta" / get_context_id("mine")
    directory.mkdir(parents=True)
    endpoints = {"docker": {"Host": host, "SkipTLSVerify": False}}
    meta = {"Name": "mine", "Metadata": {}, "Endpoints": endpoints}
    (directory / "meta.json").write_text(json.dumps(meta))
    (home / "config.json").write_text("{}")


def test_a_context_is_followed_as_docker_does_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    monkeypatch.setenv("DOCKER_HOST", "unix:///second.sock")
    context(tmp_path, "unix:///first.sock")
    assert engine_url() == "unix:///second.sock"
    monkeypatch.setenv("DOCKER_CONTEXT", "default")
    assert engine_url() == "unix:///second.sock"
    monkeypatch.setenv("DOCKER_CONTEXT", "mine")
    assert engine_url() == "unix:///first.sock"
    with pytest.raises(
        TestbedError, match=r"no Docker engine answers at DOCKER_CONTEXT=mine \(unix:///first"
    ):
        engine()


def test_a_context_that_leads_elsewhere_or_nowhere_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    context(tmp_path, "ssh://user@192.0.2.1")
    monkeypatch.setenv("DOCKER_CONTEXT", "mine")
    with pytest.raises(
        TestbedError, match=r"DOCKER_CONTEXT=mine \(ssh://user@192.0.2.1\) is no socket of this"
    ):
        engine()
    monkeypatch.setenv("DOCKER_CONTEXT", "other")
    with pytest.raises(TestbedError, match="DOCKER_CONTEXT=other is no context of this user; unset"):
        engine()
    (damaged,) = tmp_path.rglob("meta.json")
    damaged.write_text("{")
    monkeypatch.setenv("DOCKER_CONTEXT", "mine")
    with pytest.raises(
        TestbedError, match=r"^DOCKER_CONTEXT=mine cannot be read \(.*; unset DOCKER_CONTEXT$"
    ):
        engine()


class UnixServer(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True


@contextmanager
def telling(socket: Path, version: dict[str, Any]) -> Iterator[str]:
    """A socket at which something answers as engines do, such as one that is forwarded from another host."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps(version).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_HEAD = do_GET

        def log_message(self, *_: object) -> None:
            pass

        def address_string(self) -> str:
            return "client"

    with UnixServer(str(socket), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"unix://{socket}"
        server.shutdown()


HERE = {"ApiVersion": "1.41", "KernelVersion": platform.release(), "Platform": {"Name": ""}}


@pytest.mark.parametrize(
    ("version", "said"),
    [
        (
            {"KernelVersion": "6.6.31-linuxkit"},
            r"another machine .* \(kernel 6.6.31-linuxkit, here",
        ),
        ({"Platform": {"Name": "Docker Desktop 4.38.0 (181591)"}}, "runs in another machine than this shell"),
        ({"Components": [{"Name": "Podman Engine"}]}, "is Podman, .*; use Docker's engine"),
    ],
)
def test_an_engine_of_another_machine_or_make_is_refused_behind_a_socket_of_this_host(
    tmp_path: Path, version: dict[str, Any], said: str
) -> None:
    with telling(tmp_path / "sock", {**HERE, **version}) as url:
        client = docker.DockerClient(url, version="1.41")
        with pytest.raises(TestbedError, match=said):
            require_here(client, url)


def test_an_engine_of_this_host_is_accepted(tmp_path: Path) -> None:
    with telling(tmp_path / "sock", {**HERE, "Components": [{"Name": "Engine"}]}) as url:
        require_here(docker.DockerClient(url, version="1.41"), url)


@pytest.mark.root
def test_an_engine_in_a_pid_namespace_below_ours_is_refused(tmp_path: Path) -> None:
    """As one in a container whose socket the host has: the ids that it tells are other processes' here."""
    path = tmp_path / "sock"
    code = (
        "import socket, time\n"
        "listener = socket.socket(socket.AF_UNIX)\n"
        f"listener.bind({str(path)!r})\n"
        "listener.listen()\n"
        "time.sleep(60)\n"
    )
    command = ["unshare", "--pid", "--fork", "--kill-child", sys.executable, "-I", "-S", "-c", code]
    with subprocess.Popen(command) as process:
        try:
            while not path.exists():
                assert process.poll() is None
                time.sleep(0.01)
            time.sleep(0.2)  # until it listens
            url = f"unix://{path}"
            with pytest.raises(TestbedError, match="is in another pid namespace than this shell"):
                require_here(docker.DockerClient(url, version="1.41"), url)
        finally:
            process.kill()


@pytest.mark.root
@pytest.mark.docker
@pytest.mark.parametrize("command", ["run", "clean", "doctor"])
def test_in_a_pid_namespace_of_its_own_a_command_says_so_and_starts_nothing(
    tmp_path: Path, command: str
) -> None:
    before = labelled_containers(engine())
    arguments = ["run", str(SCENARIOS / "smoke.yaml"), "--out", str(tmp_path / "run")]
    done = subprocess.run(
        ["unshare", "--pid", "--fork", "--mount-proc", sys.executable, "-m", "testbed.cli",
         *(arguments if command == "run" else [command])],
        cwd=ROOT, env={**os.environ, "COLUMNS": "500"},
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    said = "is in another pid namespace than this shell"
    if command == "doctor":
        assert said in done.stdout
        assert "for lack of: Docker engine." in done.stdout
    else:
        assert said in done.stderr.splitlines()[-1]
    assert not (tmp_path / "run").exists()
    assert labelled_containers(engine()) == before
