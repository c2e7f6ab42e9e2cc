"""Who runs now, and what a run that was killed has left in the kernel and in Docker.

A run holds a lock on its file in :data:`RUNS` as long as it lives. The file of a run that was killed stays,
unlocked: what carries that run's prefix or label is then a leftover, and nothing else is.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import signal
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal

import docker
from docker.errors import DockerException, NotFound

from testbed.engine import HOST, Paths, stop_engine_if_ours
from testbed.errors import TestbedError
from testbed.netns import HERE, NAMED, delete_namespaces, named, processes_in, run_in
from testbed.node import RUN_LABEL
from testbed.plan import KIND_LETTERS

RUNS = Path("/run/llm-testbed")
PREFIX = "tb"
_RUN_ID = re.compile(r"[a-z0-9]{4}")
_NO_RUN = "none"
_ENGINE_TIMEOUT_S = 30

Kind = Literal["process", "container", "namespace", "interface", "lock"]

_held: dict[str, IO[str]] = {}
_holding = threading.RLock()


@dataclass(frozen=True, slots=True)
class Leftover:
    """Something of a run that no longer lives; a process by its id, all else by name."""

    kind: Kind
    name: str
    run_id: str


class AnotherRun(TestbedError):
    """Another run lives, so that this one cannot begin; later it may."""


@contextlib.contextmanager
def run_lock(run_id: str, *, allow_others: bool = False) -> Iterator[None]:
    """Be the run ``run_id`` meanwhile; a run may enter more than once.

    Raises:
        AnotherRun: another run lives (its process id is named) and ``allow_others`` is false, or this one
            does already in another process.
        TestbedError: the user is not root.
    """
    if not _RUN_ID.fullmatch(run_id):
        raise TestbedError(f"run id {run_id!r} is not four letters or digits")
    with _holding:
        if run_id in _held:
            mine = None
        else:
            mine = _held[run_id] = _acquire(run_id, allow_others)
    try:
        yield
    finally:
        if mine is not None:
            with _holding:
                _lock_file(run_id).unlink(missing_ok=True)
                _held.pop(run_id).close()


def live_runs() -> dict[str, int]:
    """Process id of each run that lives, by its id."""
    return {run_id: pid for run_id, (alive, pid) in _runs().items() if alive}


def find_leftovers(run_id: str | None = None) -> list[Leftover]:
    """Everything left by runs that were killed (or by that one run), in the order in which to remove it.

    Raises:
        TestbedError: the user is not root.
    """
    client = _engine_if_up()
    containers = _containers(client)
    with _gate():
        runs = _runs()
    dead = {name for name, (alive, _) in runs.items() if not alive}
    dead |= {owner for owner, _ in containers} - runs.keys()
    if run_id is not None:
        dead = {run_id}  # asked by the run itself, which lives
    found = [Leftover("container", name, owner) for owner, name in containers if owner in dead]
    for one in sorted(dead):
        found += _in_kernel(one, client)
        if run_id is None and _lock_file(one).exists():
            found.append(Leftover("lock", _lock_file(one).name, one))
    order = ("process", "container", "interface", "namespace", "lock")
    return sorted(found, key=lambda leftover: order.index(leftover.kind))


def remove_leftovers(run_id: str | None = None) -> list[Leftover]:
    """Remove what :func:`find_leftovers` finds, and return it.

    Raises:
        TestbedError: the user is not root.
    """
    found = find_leftovers(run_id)
    for leftover in found:
        _remove(leftover)
    return found


def _acquire(run_id: str, allow_others: bool) -> IO[str]:
    with _gate():
        others = live_runs()
        if run_id in others or (others and not allow_others):
            other = run_id if run_id in others else next(iter(others))
            pid = others[other]
            raise AnotherRun(
                f"another run ({other}) is going on in process {pid}; wait for its end, or end it with "
                f"`kill {pid}`"
            )
        file = _lock_file(run_id).open("w")
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        file.write(f"{os.getpid()}\n")
        file.flush()
        return file


@contextlib.contextmanager
def _gate() -> Iterator[None]:
    """Be the only one who looks at lock files or makes one: held for that moment alone."""
    try:
        RUNS.mkdir(parents=True, exist_ok=True)
        gate = (RUNS / "gate").open("w")
    except PermissionError as error:
        raise TestbedError(f"a run needs root (cannot write to {RUNS}); run as root or with sudo") from error
    with gate:
        fcntl.flock(gate, fcntl.LOCK_EX)
        yield


def _runs() -> dict[str, tuple[bool, int]]:
    """Each run that has a lock file: whether it lives, and its process id."""
    runs = {}
    for path in sorted(RUNS.glob("*.lock")):
        if not _RUN_ID.fullmatch(path.stem):
            continue
        with contextlib.suppress(OSError, ValueError), path.open() as file:
            pid = int(file.readline() or 0)
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
                runs[path.stem] = (False, pid)
            except BlockingIOError:
                runs[path.stem] = (True, pid)
    return runs


def _lock_file(run_id: str) -> Path:
    return RUNS / f"{run_id}.lock"


def _engine_if_up() -> docker.DockerClient | None:
    """A client, if an engine answers; none is started to be asked what it has left."""
    try:
        client = docker.from_env(timeout=_ENGINE_TIMEOUT_S)
        client.ping()
    except (DockerException, OSError):
        return None
    return client


def _containers(client: docker.DockerClient | None) -> list[tuple[str, str]]:
    """Run id and name of every container that carries our label."""
    if client is None:
        return []
    listed = client.api.containers(all=True, filters={"label": RUN_LABEL})
    return [(one["Labels"][RUN_LABEL], one["Names"][0].lstrip("/")) for one in listed]


def _in_kernel(run_id: str, client: docker.DockerClient | None) -> list[Leftover]:
    prefix = f"{PREFIX}{run_id}"
    interface = re.compile(rf"{prefix}[{KIND_LETTERS}]\d+[cp]?")
    namespaces = [
        p.name for p in NAMED.glob(f"{prefix}*") if p.name == prefix or p.name.startswith(f"{prefix}-")
    ]
    found = [Leftover("namespace", name, run_id) for name in namespaces]
    present = sorted(path.name for path in Path("/sys/class/net").iterdir())
    found += [Leftover("interface", name, run_id) for name in present if interface.fullmatch(name)]
    pids = {*processes_in(*map(named, namespaces)), *_taps(interface), *_in_containers(run_id, client)}
    return found + [Leftover("process", str(pid), run_id) for pid in sorted(pids)]


def _taps(interface: re.Pattern[str]) -> set[int]:
    """Processes started to capture on one of the run's interfaces (its name is one of their arguments)."""
    found = set()
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            program, *arguments = path.read_text(errors="replace").split("\0")
            if Path(program).name in ("tcpdump", "dumpcap") and any(map(interface.fullmatch, arguments)):
                found.add(int(path.parent.name))
    return found


def _in_containers(run_id: str, client: docker.DockerClient | None) -> list[int]:
    """Processes in the network namespaces of the run's containers, those of the host among them."""
    if client is None:
        return []
    running = client.containers.list(filters={"label": f"{RUN_LABEL}={run_id}"}, ignore_removed=True)
    return processes_in(*(f"/proc/{one.attrs['State']['Pid']}/ns/net" for one in running))


def _remove(leftover: Leftover) -> None:
    if leftover.kind == "process":
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(leftover.name), signal.SIGKILL)
    elif leftover.kind == "container":
        remove_containers(_engine_if_up(), leftover.run_id, leftover.name)
    elif leftover.kind == "interface":
        with contextlib.suppress(TestbedError):  # gone with the other end of its pair
            run_in(HERE, ["ip", "link", "delete", "dev", leftover.name])
    elif leftover.kind == "namespace":
        delete_namespaces([leftover.name])
    else:
        _lock_file(leftover.run_id).unlink(missing_ok=True)


def remove_containers(client: docker.DockerClient | None, run_id: str, name: str | None = None) -> None:
    """Remove the containers of a run that are still there (or only ``name``), running or not."""
    for owner, one in _containers(client):
        if client is not None and owner == run_id and name in (None, one):
            with contextlib.suppress(NotFound):
                client.api.remove_container(one, force=True, v=True)


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
