"""A Ray cluster that is there already: its machines, and calls to them.

A machine takes part if its node has the resource ``testbed``. Ray starts the worker processes and carries the
bytes, no more.
"""

from __future__ import annotations

import logging
import os
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from testbed.errors import TestbedError, needs_extra, one_line
from testbed.host.processes.signals import undisturbed
from testbed.scenario.workload.datasets import Dataset
from testbed.study.sweep.alike import Alike
from testbed.study.sweep.machine import run_point, unfitness

RESOURCE = "testbed"
"""Of the nodes that run points; each has one of it."""
_CONNECT_S = 10.0
_CHECK_S = 120.0
_PIECES_AHEAD = 2
"""How many pieces of a run directory may be on their way at once, and take memory."""


@dataclass(frozen=True)
class Machine:
    """A node of the cluster that runs points."""

    node_id: str
    name: str


@dataclass(frozen=True)
class Cluster:
    """A Ray cluster to which this process is connected."""

    ray: ModuleType

    def machines(self) -> list[Machine]:
        """The nodes that live and have the resource, by name."""
        nodes = [
            node
            for node in self.ray.nodes()
            if node["Alive"] and node.get("Resources", {}).get(RESOURCE, 0) >= 1
        ]
        hosts = Counter(str(node["NodeManagerHostname"]) for node in nodes)
        found = []
        for node in nodes:
            host, node_id = str(node["NodeManagerHostname"]), str(node["NodeID"])
            found.append(Machine(node_id, host if hosts[host] == 1 else f"{host} (node {node_id[:6]})"))
        return sorted(found, key=lambda machine: machine.name)

    def call(self, function: Callable[..., Any], machine: Machine, *arguments: Any) -> Any:
        """Have a machine call a function of the testbed, by itself; return what Ray has for the answer."""
        strategy = self.ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy
        remote = self.ray.remote(function).options(
            num_cpus=0,
            resources={RESOURCE: 1},
            max_retries=0,
            scheduling_strategy=strategy(machine.node_id, soft=False),
            **({"_generator_backpressure_num_objects": _PIECES_AHEAD} if function is run_point else {}),
        )
        return remote.remote(*arguments)

    def require_alike(self, wanted: Alike, datasets: list[Dataset]) -> None:
        """Refuse a machine that would run something else. One that is busy is asked with its first point.

        Raises:
            TestbedError: there is one; the sentence names it.
        """
        asked = {self.call(unfitness, machine, wanted, datasets): machine for machine in self.machines()}
        ready, busy = self._answered(list(asked))
        for answer in busy:
            self.ray.cancel(answer)
        for answer in ready:
            try:
                why = self.ray.get(answer)
            except self.ray.exceptions.RayError as error:
                why = cannot_run(error)
            if why is not None:
                raise TestbedError(f"--on: the machine {asked[answer].name} {why}")

    def _answered(self, asked: list[Any]) -> tuple[list[Any], list[Any]]:
        """Which answers have come after a while at most, and which have not."""
        give_up_s = time.monotonic() + _CHECK_S
        while True:
            with undisturbed():  # a second at most
                ready, busy = self.ray.wait(asked, num_returns=len(asked), timeout=1)
            if not busy or time.monotonic() >= give_up_s:
                return ready, busy


@contextmanager
def connected(on: str) -> Iterator[Cluster]:
    """Connect to the cluster that ``--on`` names, for the block; none is ever started.

    Raises:
        TestbedError: there is none, or none of its machines is for points.
    """
    address = address_of(on)
    with needs_extra("ray"):
        import ray
        import ray.util.scheduling_strategies
    if address != "auto":
        _require_answer(address)
    try:
        with undisturbed():  # and after it SIGTERM is ours again; Ray's handler ends a process without a word
            ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    except Exception as error:  # of a dozen kinds
        raise TestbedError(
            f"--on {on}: no Ray cluster takes this machine ({told(error)}); start Ray here too, as the docs "
            "say under `On several machines`"
        ) from error
    try:
        cluster = Cluster(ray)
        if not cluster.machines():
            raise TestbedError(
                f"--on {on}: no machine of the cluster has the resource {RESOURCE}; start Ray on each with "
                f"`ray start --address=HOST:PORT --resources='{{\"{RESOURCE}\": 1}}'`"
            )
        yield cluster
    finally:
        ray.shutdown()


def address_of(on: str) -> str:
    """The address of the cluster, for Ray: ``auto`` or ``HOST:PORT``.

    Raises:
        TestbedError: it is neither ``ray`` nor ``ray://HOST:PORT``, or ``RAY_ADDRESS`` is no ``HOST:PORT``.
    """
    if on == "ray":
        address = os.environ.get("RAY_ADDRESS") or "auto"
        if address != "auto" and not _is_address(address):
            raise TestbedError(
                f"RAY_ADDRESS: {address!r} is no HOST:PORT of a cluster's head; mend or unset it"
            )
        return address
    address = on.removeprefix("ray://")
    if address == on or not _is_address(address):
        raise TestbedError(f"--on: {on!r} is no cluster; write ray, or ray://HOST:PORT with its head's port")
    return address


def _is_address(text: str) -> bool:
    host, _, port = text.rpartition(":")
    return bool(host) and "/" not in host and port.isdecimal() and 0 < int(port) < 65536


def _require_answer(address: str) -> None:
    """Refuse at once what Ray would wait for for minutes."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), _CONNECT_S).close()
    except OSError as error:
        raise TestbedError(
            f"--on: nothing answers at {address} ({error.strerror or error}); `ray start --head` said "
            "where it does"
        ) from error


def cannot_run(error: BaseException) -> str:
    """What a machine's worker lacks, by its error; without a subject, which is the machine."""
    return f"cannot run the testbed's code ({told(error)}); install the same testbed there"


def told(error: BaseException) -> str:
    """What an error of Ray's says, without its stack of the worker."""
    lines = str(getattr(error, "cause", None) or error).strip().splitlines()
    return one_line(lines[0] if lines else type(error).__name__, 300).rstrip(".")
