"""The Docker engine: a client to one that answers, started first where the host leaves that to us.

Where systemd runs, Docker is its service. Where it does not (containers, CI, lean virtual machines)
``dockerd`` is started here, without firewall rules and without a bridge of its own: the testbed makes
every network itself, and Docker's default FORWARD policy would swallow bridged traffic in silence.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import docker
from docker.errors import DockerException

from testbed.errors import TestbedError
from testbed.host.processes.locking import exclusive
from testbed.host.processes.run_lock import run_lock

_NO_RUN = "none"
_ENGINE_TIMEOUT_S = 30
READY_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 30.0
REQUEST_TIMEOUT_S = 120
PROBE_TIMEOUT_S = 10
DAEMON_FLAGS = ("--iptables=false", "--ip6tables=false", "--ip-forward=false", "--bridge=none")

Report = Callable[[str], None]


@dataclass(frozen=True)
class Paths:
    """Where a daemon of ours lives; the defaults are the host's one Docker engine."""

    state: Path = Path("/run/llm-testbed")
    data: Path = Path("/var/lib/docker")
    run: Path = Path("/run/docker")
    pidfile: Path = Path("/run/docker.pid")
    socket: Path = Path("/run/docker.sock")

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


@dataclass(frozen=True)
class _Process:
    """A process that cannot be mistaken for a later one with its number (proc(5), ``starttime``)."""

    pid: int
    starttime: int

    @classmethod
    def of(cls, pid: int) -> _Process | None:
        with contextlib.suppress(OSError, ValueError, IndexError):
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            if fields[0] != "Z":
                return cls(pid, int(fields[19]))
        return None

    @property
    def alive(self) -> bool:
        return self.of(self.pid) == self


def engine(report: Report | None = None, paths: Paths = HOST) -> docker.DockerClient:
    """A client of the host's Docker engine, which answers when this returns.

    ``report`` is told in one sentence when an engine is being started.

    Raises:
        TestbedError: none answers and none can be started here; the message has the mend.
    """
    client, reason = _connect(paths)
    if client is not None:
        return client
    _refuse_hopeless(reason, paths)
    report = report or _silent
    with exclusive(paths.state / "dockerd.lock", "starting Docker", 2 * READY_TIMEOUT_S, report):
        client, _ = _connect(paths)
        if client is not None:
            return client
        if paths == HOST and Path("/run/systemd/system").is_dir():
            report("starting Docker's service")
            _start_service()
            return _wait_ready(paths, None)
        report("starting dockerd")
        return _wait_ready(paths, _start_daemon(paths))


def stop_engine_if_ours(paths: Paths = HOST) -> bool:
    """End the ``dockerd`` that :func:`engine` started, and its containerd; leave any other alone.

    Returns whether one was ended. Its images and containers' data stay on disk.
    """
    try:
        ours = _Process(**json.loads(paths.record.read_text()))
    except (OSError, ValueError, TypeError):
        return False
    was_alive = ours.alive
    # Found now: dockerd removes the file that names it before it has ended.
    containerd = _alive_of(paths.containerd_pidfile, "containerd")
    for signal_number in (signal.SIGTERM, signal.SIGKILL):
        if ours.alive:
            os.kill(ours.pid, signal_number)
            _wait_until(lambda: not ours.alive, STOP_TIMEOUT_S)
    others = _alive_of(paths.pidfile, "dockerd")
    if containerd is not None and others is None:
        for signal_number in (signal.SIGTERM, signal.SIGKILL):  # dockerd was killed before it could end it
            if containerd.alive:
                os.kill(containerd.pid, signal_number)
                _wait_until(lambda: not containerd.alive, STOP_TIMEOUT_S)
    paths.record.unlink(missing_ok=True)
    return was_alive


def _connect(paths: Paths) -> tuple[docker.DockerClient | None, DockerException | None]:
    try:
        if paths == HOST:
            client = docker.from_env(timeout=PROBE_TIMEOUT_S)
        else:
            client = docker.DockerClient(base_url=paths.url, timeout=PROBE_TIMEOUT_S)
        client.ping()
    except DockerException as error:
        return None, error
    except OSError as error:  # requests' own errors are OSErrors
        return None, DockerException(str(error))
    client.api.timeout = REQUEST_TIMEOUT_S
    return client, None


def _refuse_hopeless(reason: DockerException | None, paths: Paths) -> None:
    if address := os.environ.get("DOCKER_HOST") if paths == HOST else None:
        raise TestbedError(f"no Docker engine answers at DOCKER_HOST={address}; start it or unset it")
    if os.geteuid() != 0:
        if "Permission denied" in str(reason):
            raise TestbedError("Docker's socket is closed to this user; run as root or with sudo")
        raise TestbedError("no Docker engine answers, and only root can start one; run as root or with sudo")
    if shutil.which("dockerd", path=_path()) is None:
        raise TestbedError("Docker is not installed; testbed/provision.sh installs it")


def _path() -> str:
    return os.environ.get("PATH", "") + ":/usr/sbin:/sbin:/usr/local/sbin:/usr/local/bin:/usr/bin:/bin"


def _start_service() -> None:
    try:
        subprocess.run(
            ["systemctl", "start", "docker"],
            capture_output=True,
            text=True,
            timeout=READY_TIMEOUT_S,
            check=True,
        )
    except (OSError, subprocess.SubprocessError) as error:
        said = getattr(error, "stderr", None) or str(error)
        raise TestbedError(
            f"systemd could not start Docker ({said.strip().splitlines()[0]}); "
            "`journalctl -u docker` has the reason"
        ) from error


def _start_daemon(paths: Paths) -> subprocess.Popen[bytes]:
    dockerd = shutil.which("dockerd", path=_path())
    if dockerd is None:
        raise TestbedError("Docker is not installed; testbed/provision.sh installs it")
    # A daemon that was killed leaves these; dockerd takes even a zombie's number for a daemon that runs.
    for pidfile, name in ((paths.pidfile, "dockerd"), (paths.containerd_pidfile, "containerd")):
        if _alive_of(pidfile, name) is None:
            pidfile.unlink(missing_ok=True)
    with paths.log.open("wb") as log:
        daemon = subprocess.Popen(
            paths.command(dockerd),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd="/",
            env={**os.environ, "PATH": _path()},
            start_new_session=True,  # Ctrl-C at a run must not end the engine under it
        )
    process = _Process.of(daemon.pid)
    if process is not None:
        paths.record.write_text(json.dumps(asdict(process)))
    return daemon


def _wait_ready(paths: Paths, daemon: subprocess.Popen[bytes] | None) -> docker.DockerClient:
    found: list[docker.DockerClient] = []

    def answers_or_ended() -> bool:
        client, _ = _connect(paths)
        if client is not None:
            found.append(client)
        return bool(found) or (daemon is not None and daemon.poll() is not None)

    _wait_until(answers_or_ended, READY_TIMEOUT_S)
    if found:
        return found[0]
    if daemon is None:
        raise TestbedError(
            f"Docker's service gave no answer in {READY_TIMEOUT_S:.0f} s; see `journalctl -u docker`"
        )
    said = _last_line(paths.log)
    daemon.terminate()
    stop_engine_if_ours(paths)
    raise TestbedError(f"dockerd did not start ({said}); {paths.log} has the whole story")


def _last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines() or ["it said nothing"]
    return lines[-1][-300:]


def _alive_of(pidfile: Path, name: str) -> _Process | None:
    """The live process that ``pidfile`` speaks of, if it is a ``name``: numbers come round again."""
    with contextlib.suppress(OSError, ValueError):
        pid = int(pidfile.read_text())
        if Path(f"/proc/{pid}/comm").read_text().strip() == name:
            return _Process.of(pid)
    return None


def _wait_until(done: Callable[[], bool], timeout_s: float) -> None:
    deadline = time.monotonic() + timeout_s
    while not done() and time.monotonic() < deadline:
        time.sleep(0.1)


def _silent(_: str) -> None:
    pass


def main(arguments: list[str]) -> int:
    """``python -m testbed.host.engine start|stop|status``, for scripts; ``status`` fails if none answers."""
    try:
        match arguments:
            case ["start"]:
                engine(print)
                return 0
            case ["stop"]:
                print("dockerd ended" if stop_engine_if_ours() else "no dockerd of ours runs")
                return 0
            case ["status"]:
                client, reason = _connect(HOST)
                print("a Docker engine answers" if client else f"no Docker engine answers: {reason}")
                return 0 if client else 1
    except TestbedError as error:
        print(f"engine: {error}", file=sys.stderr)
        return 1
    print("usage: python -m testbed.host.engine start|stop|status", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))


def engine_if_up() -> docker.DockerClient | None:
    """A client, if an engine answers; none is started to be asked what it has left."""
    try:
        client = docker.from_env(timeout=_ENGINE_TIMEOUT_S)
        client.ping()
    except (DockerException, OSError):
        return None
    return client


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
