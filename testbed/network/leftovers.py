"""Who runs now, and what a run that was killed has left in the kernel and in Docker.

A run holds a lock on its file in :data:`RUNS` as long as it lives. The file of a run that was killed stays,
unlocked: what carries that run's prefix or label is then a leftover, and nothing else is.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import docker
from docker.errors import NotFound

from testbed.errors import TestbedError
from testbed.host.engine import engine_if_up
from testbed.host.processes.run_lock import gate, known_runs, lock_file
from testbed.network.container import RUN_LABEL
from testbed.network.kernel.netns import HERE, NAMED, delete_namespaces, named, processes_in, run_in
from testbed.network.wiring import KIND_LETTERS

PREFIX = "tb"

Kind = Literal["process", "container", "namespace", "interface", "lock"]


@dataclass(frozen=True, slots=True)
class Leftover:
    """Something of a run that no longer lives; a process by its id, all else by name."""

    kind: Kind
    name: str
    run_id: str


def find_leftovers(run_id: str | None = None) -> list[Leftover]:
    """Everything left by runs that were killed (or by that one run), in the order in which to remove it.

    Raises:
        TestbedError: the user is not root.
    """
    client = engine_if_up()
    containers = _containers(client)
    with gate():
        runs = known_runs()
    dead = {name for name, (alive, _) in runs.items() if not alive}
    dead |= {owner for owner, _ in containers} - runs.keys()
    if run_id is not None:
        dead = {run_id}  # asked by the run itself, which lives
    found = [Leftover("container", name, owner) for owner, name in containers if owner in dead]
    for one in sorted(dead):
        found += _in_kernel(one, client)
        if run_id is None and lock_file(one).exists():
            found.append(Leftover("lock", lock_file(one).name, one))
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
        remove_containers(engine_if_up(), leftover.run_id, leftover.name)
    elif leftover.kind == "interface":
        with contextlib.suppress(TestbedError):  # gone with the other end of its pair
            run_in(HERE, ["ip", "link", "delete", "dev", leftover.name])
    elif leftover.kind == "namespace":
        delete_namespaces([leftover.name])
    else:
        lock_file(leftover.run_id).unlink(missing_ok=True)


def remove_containers(client: docker.DockerClient | None, run_id: str, name: str | None = None) -> None:
    """Remove the containers of a run that are still there (or only ``name``), running or not."""
    for owner, one in _containers(client):
        if client is not None and owner == run_id and name in (None, one):
            with contextlib.suppress(NotFound):
                client.api.remove_container(one, force=True, v=True)
