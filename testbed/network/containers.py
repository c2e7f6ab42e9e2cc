"""What all containers of a run share: engine, image, the threads that start them, and the end of them all."""

from __future__ import annotations

import contextlib
import itertools
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Self

import docker
from docker.errors import APIError, DockerException, NotFound
from docker.models.containers import Container

from testbed.errors import TestbedError
from testbed.host.processes.proc import HeldProcess

RUN_LABEL = "llm-testbed.run"
"""A label of every container; its value is the id of the container's run."""
OWN_NETWORK = "none"
"""Docker's name for a network namespace that the container has for itself, with nothing in it."""
STARTS_AT_A_TIME = 8
ENGINE_ERRORS = (DockerException, OSError)
"""What calls of Docker's SDK raise; where the engine does not answer, that is requests' own, an OSError."""


class Containers:
    """The containers of a run. It is a context manager: left, none of them exists any more.

    Args:
        client: of the engine in which they are made.
        logs: a directory for the ends of what they print; without one, that goes with them.
        started: called with the number of containers that run by now, from several threads.

    Attributes:
        ending: set when the run ends; no further container is started then.
        pool: the threads in which containers are started and removed.
    """

    def __init__(
        self,
        client: docker.DockerClient,
        image: str,
        run_id: str,
        started: Callable[[int], None],
        logs: Path | None = None,
    ) -> None:
        self.client, self.image, self.run_id, self.logs = client, image, run_id, logs
        self.ending = threading.Event()
        self.pool = ThreadPoolExecutor(STARTS_AT_A_TIME, thread_name_prefix="container")
        self._started, self._numbers = started, itertools.count(1)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.ending.set()
        try:
            self.pool.shutdown(wait=True, cancel_futures=True)
        finally:
            self._remove_all()  # some were made while an interrupt was on its way

    def _remove_all(self) -> None:
        try:
            remove_containers(self.client, self.run_id)
        except ENGINE_ERRORS as error:
            raise TestbedError(
                f"containers of this run ({self.run_id}) may be left, their processes ended: "
                f"{explained(error)}; start it, as a run does, and `testbed clean` removes them"
            ) from error

    def start(self, bring_up: Callable[[], Container]) -> Future[Container]:
        """Have a container brought up in a thread of the pool."""
        future = self.pool.submit(bring_up)
        future.add_done_callback(self._count)
        return future

    def _count(self, future: Future[Container]) -> None:
        if not future.cancelled() and future.exception() is None:
            self._started(next(self._numbers))


def explained(error: Exception) -> str:
    """One of :data:`ENGINE_ERRORS` in one line."""
    if not isinstance(error, DockerException):
        return "the Docker engine does not answer any more"
    reason = error.explanation if isinstance(error, APIError) and error.explanation else str(error)
    return " ".join(str(reason).split())[:300]


def labelled_containers(client: docker.DockerClient | None) -> list[tuple[str, str]]:
    """Run id and name of each container, running or not, that carries :data:`RUN_LABEL`."""
    if client is None:
        return []
    listed = client.api.containers(all=True, filters={"label": RUN_LABEL})
    return [(entry["Labels"][RUN_LABEL], entry["Names"][0].lstrip("/")) for entry in listed]


def held_process(container: Container) -> HeldProcess | None:
    """The first process of a container that runs, which the caller closes.

    ``None`` where no process here is shown to be it: it must be in a control group that bears the container's
    id, and in a network namespace of its own, which a run's container has: neither ours, nor the host's, nor
    another container's. The engine's process ids alone show nothing: they are another namespace's if the
    engine is, and used again when a container has ended.
    """
    if container.attrs["HostConfig"]["NetworkMode"] != OWN_NETWORK:
        return None
    try:
        process = HeldProcess(container.attrs["State"]["Pid"])  # 0 if it has ended
    except ProcessLookupError:
        return None
    if process.is_in_control_group(str(container.id)) and process.has_own_network:
        return process
    process.close()
    return None


def remove_containers(client: docker.DockerClient | None, run_id: str, name: str | None = None) -> None:
    """Remove the containers of a run that still exist (or only ``name``), running or not."""
    for owner, container in labelled_containers(client):
        if client is not None and owner == run_id and name in (None, container):
            with contextlib.suppress(NotFound):
                client.api.remove_container(container, force=True, v=True)
