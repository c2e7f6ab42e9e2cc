"""What runs that were killed have left in the kernel and in Docker: found by their prefix and label, removed.

A run holds a lock on its file as long as it lives (:mod:`testbed.host.processes.run_lock`). The file of a run
that was killed stays, unlocked: what carries that run's prefix or label is then a leftover, and nothing else.
"""

from __future__ import annotations

import contextlib
import re
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import docker

from testbed.errors import TestbedError
from testbed.host.engine import engine_if_up
from testbed.host.processes.proc import Process, in_network_namespaces
from testbed.host.processes.run_lock import gate, is_run_id, known_runs, lock_file
from testbed.network.containers import RUN_LABEL, held_process, labelled_containers, remove_containers
from testbed.network.kernel.netns import HERE, NAMED, delete_namespaces, named, run_in
from testbed.network.wiring import KIND_LETTERS, kernel_name

Kind = Literal["process", "container", "namespace", "interface", "lock"]


@dataclass(frozen=True, slots=True)
class Leftover:
    """Something that a run which has ended left: a process, by its id, or another thing, by its name.

    ``process``: that process, and no later one with its id.
    """

    kind: Kind
    name: str
    run_id: str
    process: Process | None = None


def find_leftovers(run_id: str | None = None) -> list[Leftover]:
    """Everything left by runs that were killed (or by the given run), in the order in which to remove it.

    Raises:
        TestbedError: the user is not root.
    """
    client = engine_if_up()
    # Others' labels may say anything, and names and paths are made of an id.
    containers = [found for found in labelled_containers(client) if is_run_id(found[0])]
    with gate():
        runs = known_runs()
    dead = {name for name, (alive, _) in runs.items() if not alive}
    dead |= {owner for owner, _ in containers} - runs.keys()
    if run_id is not None:
        dead = {run_id}  # asked by the run itself, which lives
    leftovers = [Leftover("container", name, owner) for owner, name in containers if owner in dead]
    for dead_id in sorted(dead):
        leftovers += _in_kernel(dead_id, client)
        if run_id is None and lock_file(dead_id).exists():
            leftovers.append(Leftover("lock", lock_file(dead_id).name, dead_id))
    order = ("process", "container", "interface", "namespace", "lock")
    return sorted(leftovers, key=lambda leftover: order.index(leftover.kind))


def remove_leftovers(run_id: str | None = None) -> list[Leftover]:
    """Remove what :func:`find_leftovers` finds, and return it.

    Raises:
        TestbedError: the user is not root.
    """
    leftovers = find_leftovers(run_id)
    for leftover in leftovers:
        _remove(leftover)
    return leftovers


def _in_kernel(run_id: str, client: docker.DockerClient | None) -> list[Leftover]:
    """Namespaces and interfaces of a run, and the processes in its namespaces."""
    prefix = kernel_name(run_id)
    interface = re.compile(rf"{prefix}[{KIND_LETTERS}]\d+[cp]?")
    namespaces = [path.name for path in NAMED.glob(f"{prefix}*") if re.match(rf"{prefix}(-|$)", path.name)]
    interfaces = [path.name for path in Path("/sys/class/net").iterdir() if interface.fullmatch(path.name)]
    with _container_namespaces(run_id, client) as entered:
        processes = in_network_namespaces([*map(named, namespaces), *entered])
    return [
        *(Leftover("namespace", name, run_id) for name in namespaces),
        *(Leftover("interface", name, run_id) for name in sorted(interfaces)),
        *(Leftover("process", str(process.pid), run_id, process) for process in processes),
    ]


@contextlib.contextmanager
def _container_namespaces(run_id: str, client: docker.DockerClient | None) -> Iterator[list[str]]:
    """The network namespaces of the run's containers, in which processes of the host may be as well."""
    with contextlib.ExitStack() as stack:
        paths = []
        labelled: dict[str, Any] = {"label": f"{RUN_LABEL}={run_id}"}
        for container in client.containers.list(filters=labelled, ignore_removed=True) if client else ():
            if (process := held_process(container)) is not None:
                stack.callback(process.close)
                paths.append(process.network_namespace)
        yield paths


def _remove(leftover: Leftover) -> None:
    if leftover.process is not None:
        leftover.process.signal(signal.SIGKILL)
    elif leftover.kind == "container":
        remove_containers(engine_if_up(), leftover.run_id, leftover.name)
    elif leftover.kind == "interface":
        with contextlib.suppress(TestbedError):  # gone with the other end of its pair
            run_in(HERE, ["ip", "link", "delete", "dev", leftover.name])
    elif leftover.kind == "namespace":
        delete_namespaces([leftover.name])
    else:
        with gate():
            alive, _ = known_runs().get(leftover.run_id, (False, 0))
            if not alive:  # a new run may have taken the id, and the file, meanwhile
                lock_file(leftover.run_id).unlink(missing_ok=True)
