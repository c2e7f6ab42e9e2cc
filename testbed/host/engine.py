"""The Docker engine: a client of one that answers, which is started first if need be.

Where systemd runs, Docker is its service. Where it does not (containers, CI, lean virtual machines)
``dockerd`` is started here, without firewall rules and without its own bridge: the testbed makes every
network itself, and Docker's default FORWARD policy would silently drop bridged traffic.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

import docker
from docker.errors import DockerException

from testbed.errors import TestbedError
from testbed.host.commands import command_path, search_path
from testbed.host.engine_place import SOCKET, engine_url, named_engine, require_here
from testbed.host.processes.locking import exclusive
from testbed.host.processes.proc import Process, command_line, command_name
from testbed.host.processes.program import program
from testbed.host.processes.reporting import Report, last_line, silent
from testbed.host.processes.run_lock import RUNS, run_lock
from testbed.host.processes.waiting import wait_until

_NO_RUN = "none"
_ENGINE_TIMEOUT_S = 30
_POLL_S = 0.1
READY_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 30.0
REQUEST_TIMEOUT_S = 120
PROBE_TIMEOUT_S = 10
DAEMON_FLAGS = ("--iptables=false", "--ip6tables=false", "--ip-forward=false", "--bridge=none")


@dataclass(frozen=True)
class Paths:
    """The files of a daemon; the defaults are those of the host's Docker engine."""

    state: Path = RUNS
    data: Path = Path("/var/lib/docker")
    run: Path = Path("/run/docker")
    pidfile: Path = Path("/run/docker.pid")
    socket: Path = SOCKET

    @property
    def log(self) -> Path:
        return self.state / "dockerd.log"

    @property
    def record(self) -> Path:
        return self.state / "dockerd.json"

    @property
    def containerd_pidfile(self) -> Path:
        return self.run / "containerd" / "containerd.pid"

    @property
    def url(self) -> str:
        return f"unix://{self.socket}"

    def command(self, dockerd: str) -> list[str]:
        if self == HOST:  # its defaults, which /etc/docker/daemon.json may change
            return [dockerd, *DAEMON_FLAGS]
        options = {
            "--data-root": self.data,
            "--exec-root": self.run,
            "--pidfile": self.pidfile,
            "--host": self.url,
        }
        return [dockerd, *DAEMON_FLAGS, *(f"{name}={value}" for name, value in options.items())]


HOST = Paths()


def engine(report: Report = silent, paths: Paths = HOST) -> docker.DockerClient:
    """A client of the host's Docker engine, which answers when this returns.

    ``report`` is called if an engine is being started.

    Raises:
        TestbedError: none answers and none can be started here, or it is not of this host
            (:mod:`testbed.host.engine_place`); the message says what to do.
    """
    client, reason = connect(paths)
    if client is not None:
        return client
    dockerd = _require_startable(reason, paths)
    with exclusive(paths.state / "dockerd.lock", "starting Docker", 2 * READY_TIMEOUT_S, report):
        client, _ = connect(paths)
        if client is not None:
            return client
        if paths == HOST and Path("/run/systemd/system").is_dir():
            report("starting Docker's service")
            _start_service()
            return _wait_ready(paths, None)
        report("starting dockerd")
        return _wait_ready(paths, _start_daemon(paths, dockerd))


def stop_engine_if_ours(paths: Paths = HOST) -> bool:
    """End the ``dockerd`` that :func:`engine` started, and its containerd; leave any other alone.

    Returns whether one was ended. Its images and containers' data stay on disk.
    """
    try:
        ours = Process(**json.loads(paths.record.read_text()))
    except (OSError, ValueError, TypeError):
        return False
    lived = ours.lives
    # Looked up now: dockerd removes the file that names it before it has ended.
    containerd = _containerd(paths)
    _end(ours)
    if containerd is not None and _named_in(paths.pidfile, "dockerd") is None:
        _end(containerd)  # dockerd was killed before it could end it
    paths.record.unlink(missing_ok=True)
    return lived


def connect(
    paths: Paths = HOST, timeout_s: int = PROBE_TIMEOUT_S
) -> tuple[docker.DockerClient | None, Exception | None]:
    """A client of an engine that answers, or why there is none; none is started.

    Args:
        timeout_s: for the first answer.

    Raises:
        TestbedError: the engine that answers, or that the environment names, is not of this host.
    """
    url = engine_url() if paths == HOST else paths.url
    try:
        client = docker.DockerClient(base_url=url, timeout=timeout_s)
        client.ping()
        require_here(client, url)
    except (DockerException, OSError) as error:  # requests' own errors are OSErrors
        return None, error
    client.api.timeout = REQUEST_TIMEOUT_S
    return client, None


def engine_if_up() -> docker.DockerClient | None:
    """A client of the host's Docker engine if it answers; none is started.

    Raises:
        TestbedError: one answers that is not of this host.
    """
    return connect()[0]


def end_engine(paths: Paths = HOST) -> bool:
    """End the ``dockerd`` that a run started, if there is one; no run can begin meanwhile.

    Raises:
        TestbedError: the user is not root, a run lives, or a container runs in that engine.
    """
    with run_lock(_NO_RUN):
        try:
            running = docker.DockerClient(paths.url, timeout=_ENGINE_TIMEOUT_S).containers.list()
        except (DockerException, OSError):
            running = []
        if running:
            raise TestbedError(f"container {running[0].name} runs in the Docker engine; end it first")
        return stop_engine_if_ours(paths)


def _require_startable(reason: Exception | None, paths: Paths) -> str:
    """Where ``dockerd`` is, if it may be started here."""
    if paths == HOST and (named := named_engine()):
        raise TestbedError(f"no Docker engine answers at {named[0]}; start it or unset it")
    if os.geteuid() != 0:
        if "Permission denied" in str(reason):
            raise TestbedError("Docker's socket is closed to this user; run as root or with sudo")
        raise TestbedError("no Docker engine answers, and only root can start one; run as root or with sudo")
    dockerd = command_path("dockerd")
    if dockerd is None:
        raise TestbedError("Docker is not installed; testbed/provision.sh installs it")
    return dockerd


def _start_service() -> None:
    """Have systemd start Docker."""
    try:
        subprocess.run(
            ["systemctl", "start", "docker"],
            capture_output=True,
            text=True,
            timeout=READY_TIMEOUT_S,
            check=True,
        )
    except (OSError, subprocess.SubprocessError) as error:
        reason = getattr(error, "stderr", None) or str(error)
        raise TestbedError(
            f"systemd could not start Docker ({reason.strip().splitlines()[0]}); "
            "`journalctl -u docker` has the reason"
        ) from error


def _start_daemon(paths: Paths, dockerd: str) -> subprocess.Popen[bytes]:
    # A daemon that was killed leaves these; dockerd takes even a zombie's number for a daemon that runs.
    for pidfile, name in ((paths.pidfile, "dockerd"), (paths.containerd_pidfile, "containerd")):
        if _named_in(pidfile, name) is None:
            pidfile.unlink(missing_ok=True)
    with paths.log.open("wb") as log:
        daemon = subprocess.Popen(
            paths.command(dockerd),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd="/",
            env={**os.environ, "PATH": search_path()},
            start_new_session=True,  # Ctrl-C at a run must not end the engine under it
        )
    process = Process.of(daemon.pid)
    if process is not None:
        paths.record.write_text(json.dumps(asdict(process)))
    return daemon


def _wait_ready(paths: Paths, daemon: subprocess.Popen[bytes] | None) -> docker.DockerClient:
    client = wait_until(
        lambda: connect(paths)[0],
        READY_TIMEOUT_S,
        _POLL_S,
        possible=lambda: daemon is None or daemon.poll() is None,
    )
    if client is not None:
        return client
    if daemon is None:
        raise TestbedError(
            f"Docker's service gave no answer in {READY_TIMEOUT_S:.0f} s; see `journalctl -u docker`"
        )
    reason = last_line(paths.log.read_bytes())[-300:]
    daemon.terminate()
    stop_engine_if_ours(paths)
    raise TestbedError(f"dockerd did not start ({reason}); {paths.log} has the whole story")


def _end(process: Process) -> None:
    """End a process: asked first, then killed."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        if process.lives:
            process.signal(number)
            wait_until(lambda: not process.lives, STOP_TIMEOUT_S, _POLL_S)


def _containerd(paths: Paths) -> Process | None:
    """The live containerd that a dockerd with these files has started, and no other of the host's."""
    found = _named_in(paths.containerd_pidfile, "containerd")
    settings = (paths.run / "containerd" / "containerd.toml").resolve()
    arguments = command_line(found.pid) if found else []
    return found if any(Path(argument).resolve() == settings for argument in arguments) else None


def _named_in(pidfile: Path, name: str) -> Process | None:
    """The live process whose id is in ``pidfile``, if its command is ``name``: ids are used again."""
    with contextlib.suppress(OSError, ValueError):
        pid = int(pidfile.read_text())
        if command_name(pid) == name:
            return Process.of(pid)
    return None


def main(arguments: list[str]) -> int:
    """``python -m testbed.host.engine start|stop|status``, for scripts; ``status`` fails if none answers."""
    with program("engine"):
        match arguments:
            case ["start"]:
                engine(print)
                return 0
            case ["stop"]:
                print("dockerd ended" if stop_engine_if_ours() else "no dockerd of ours runs")
                return 0
            case ["status"]:
                client, reason = connect()
                print("a Docker engine answers" if client else f"no Docker engine answers: {reason}")
                return 0 if client else 1
    print("usage: python -m testbed.host.engine start|stop|status", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
