"""A node that is a container, as a Mininet host."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from docker.errors import ImageNotFound, NotFound
from docker.models.containers import Container
from docker.types import LogConfig
from docker.types import Mount as DockerMount

from testbed.errors import TestbedError
from testbed.host.cgroup import ContainerGroup
from testbed.host.cgroup_limits import container_limits
from testbed.host.files import write_whole
from testbed.host.processes.proc import HeldProcess, network_namespace
from testbed.host.processes.reporting import end_of, last_line
from testbed.host.processes.waiting import wait_until
from testbed.host.standstill import How
from testbed.network.containers import (
    ENGINE_ERRORS,
    OWN_NETWORK,
    RUN_LABEL,
    Containers,
    explained,
    held_process,
)
from testbed.network.kernel.settings import configure_namespace
from testbed.network.node import SiteHost
from testbed.network.wiring import kernel_name

NODE_LABEL = "llm-testbed.node"
USER_ID = 65532
"""User and group of a container's processes, which have a name neither inside nor on the host."""
CPU_PERIOD_US = 100_000
_ENGINE_NOTICES_S = 10.0
_LAST_LINES = 100
"""Among which is the one that says why a process ended."""
_LONGEST_WORDS = 300


@dataclass(frozen=True)
class ContainerSpec:
    """What the container of a node may use.

    ``cpus`` is the quota that :meth:`TierHost.limit_cpus` sets; a container starts without one, since quotas
    begin after warm-up. ``mounts`` maps paths of the host to paths in the container, read-only.
    """

    node: str
    cpus: float | None = None
    memory_bytes: int | None = None
    env: Mapping[str, str] = field(default_factory=dict)
    mounts: Mapping[str, str] = field(default_factory=dict)
    pids_limit: int | None = None
    command: Sequence[str] | None = None


class Cancelled(Exception):
    """Raised in a thread that is about to start a container of a run that is ending."""


class TierHost(SiteHost):
    """The container of a tier's node as a Mininet host: network mode none, no rights, read-only.

    It begins to start as soon as it is made; :meth:`wait_ready` returns when it runs.

    Attributes:
        container: Docker SDK's object.
        process: the container's first process; ``None`` until the container has run.
        netns_path: of that process. It leads nowhere once the process has ended.
    """

    def __init__(
        self,
        name: str,
        *,
        containers: Containers,
        spec: ContainerSpec,
        **params: Any,
    ) -> None:
        self.spec = spec
        self._containers = containers
        self._container: Container | None = None
        self.process: HeldProcess | None = None
        self._removal: Future[None] | None = None
        super().__init__(name, **params)
        options = container_options(containers.run_id, name, containers.image, spec)
        self._start = containers.start(lambda: self._bring_up(options))

    @property
    def called(self) -> str:
        """What an error calls it."""
        return f"the container of {self.name}"

    @property
    def log_name(self) -> str:
        """The name of the file that keeps the end of its log."""
        return f"{self.name}.log"

    @property
    def container(self) -> Container:
        return self._start.result()

    @property
    def started(self) -> bool:
        """Whether the container has run at all."""
        return self.process is not None

    @property
    def lives(self) -> bool:
        """Whether the container's first process has not ended."""
        return self.process is not None and self.process.lives

    def stands_still(self) -> How | None:
        """Why the container's processes do nothing at this moment; ``None`` if they may, or have ended."""
        try:
            glance = ContainerGroup(str(self.container.id)).glance()
        except TestbedError:  # it has ended
            return None
        return None if glance is None else glance.how

    @property
    def pid(self) -> int | None:
        """Of the container's first process; ``None`` while Mininet has not made the node."""
        if not self._born:
            return None
        self._start.result()
        return self.process.pid if self.process else None

    @pid.setter
    def pid(self, _pid: int | None) -> None:
        """Mininet sets its shell's, which is not ours."""

    @property
    def netns_path(self) -> str:  # type: ignore[override]
        self._start.result()
        return self.process.network_namespace if self.process else network_namespace(0)  # which is nobody's

    def wait_ready(self) -> None:
        """Return when the container runs.

        Raises:
            TestbedError: it could not be made, or ended at once; with why, and its last words.
        """
        self._start.result()

    def require_running(self) -> None:
        """Raise a TestbedError that says why, with its last words, if the container has ended."""
        try:
            self.container.reload()
        except NotFound as error:
            raise TestbedError(f"{self.called} has been removed from outside") from error
        except ENGINE_ERRORS as error:
            raise TestbedError(f"{self.called} cannot be looked at: {explained(error)}") from error
        if not self.container.attrs["State"]["Running"] or not self.lives:
            raise TestbedError(f"{self.called} has ended {self._ending(self.container)}")

    def limit_cpus(self) -> None:
        """Limit the container to its specification's CPUs from now on (cpu.cfs_quota_us)."""
        cpus = self.spec.cpus
        quota = -1 if cpus is None else max(1000, round(cpus * CPU_PERIOD_US))
        try:
            self.container.update(cpu_period=CPU_PERIOD_US, cpu_quota=quota)
        except ENGINE_ERRORS as error:
            reason = explained(error)
            raise TestbedError(f"{self.name} cannot be limited to {cpus} CPUs: {reason}") from error

    def begin_removal(self) -> None:
        """Start to remove the container, running or not; :meth:`terminate` waits for it."""
        if self._removal is None:
            self._removal = self._containers.pool.submit(self._remove)

    def terminate(self) -> None:
        """Remove the container, and end the shell."""
        self.begin_removal()
        super().terminate()
        assert self._removal is not None
        self._removal.result()
        if self.process is not None:
            self.process.close()
            self.process = None

    def _bring_up(self, options: Mapping[str, Any]) -> Container:
        try:
            self._require_going_on()
            self._container = container = self._containers.client.containers.create(**options)
            self._require_going_on()
            container.start()
            container.reload()
        except ImageNotFound as error:
            raise TestbedError(
                f"image {options['image']} is not in this Docker engine; build it with `make prepared`"
            ) from error
        except ENGINE_ERRORS as error:
            raise TestbedError(f"{self.called} did not start: {explained(error)}") from error
        self.process = held_process(container)
        if self.process is None:
            raise self._not_found(container)
        try:
            configure_namespace(self.process.network_namespace)
        except TestbedError as error:
            raise self._not_found(container) from error
        self._require_same_files(self.process)
        return container

    def _require_same_files(self, process: HeldProcess) -> None:
        """Refuse mounted files that are not ours: an engine may see others by the same names."""
        for outside, inside in self.spec.mounts.items():
            with contextlib.suppress(OSError):  # it has ended, which is told where it is asked
                if not (process.path / "root" / inside.lstrip("/")).samefile(outside):
                    raise TestbedError(
                        f"the Docker engine has mounted another {outside} in the container of {self.name} "
                        "than this shell has, from another mount namespace; put the file where both see it"
                    )

    def _not_found(self, container: Container) -> TestbedError:
        """Why no process of a container that was just started can be entered."""
        ending = self._ending(container)
        if not container.attrs["State"]["Running"]:
            return TestbedError(f"{self.called} ended at once {ending}")
        return TestbedError(
            f"the container of {self.name} runs, but process {container.attrs['State']['Pid']}, which the "
            "Docker engine names, is none of its processes here; use an engine that runs on this host and in "
            "this shell's pid namespace"
        )

    def _require_going_on(self) -> None:
        if self._containers.ending.is_set():
            raise Cancelled

    def _remove(self) -> None:
        self._start.cancel()
        with contextlib.suppress(BaseException):  # it is raised where the start is waited for
            self._start.result()
        if self._container is None:
            return
        self.keep_log()
        try:
            self._container.remove(force=True, v=True)
        except NotFound:
            pass
        except ENGINE_ERRORS:  # told by Containers, who tries once more; until then nothing of it is to run
            with contextlib.suppress(ProcessLookupError):
                if self.process is not None:
                    self.process.signal(signal.SIGKILL)

    def keep_log(self) -> None:
        """Write the end of what the container printed, if it is anything, into the run's directory of logs.

        Nothing else hangs on that: where the engine or the disk does not let it be kept, it is lost.
        """
        logs = self._containers.logs
        if logs is None or self._container is None:
            return
        with contextlib.suppress(*ENGINE_ERRORS, OSError):
            if printed := self._container.logs():
                logs.mkdir(exist_ok=True)
                write_whole(logs / self.log_name, end_of(printed))

    def _ending(self, container: Container) -> str:
        """Why a container ended whose process has, unnoticed by the engine maybe, and its last words."""

        def has_ended() -> bool:
            container.reload()
            return not container.attrs["State"]["Running"]

        with contextlib.suppress(*ENGINE_ERRORS):
            wait_until(has_ended, _ENGINE_NOTICES_S, 0.05)
            state = container.attrs["State"]
            printed = container.logs(tail=_LAST_LINES).strip()
            if not (words := printed or state.get("Error")):
                return f"({self._cause(state)}) and said nothing"
            kept = f"; {self._containers.logs / self.log_name} has more" if self._containers.logs else ""
            return f'({self._cause(state)}); its last words: "{last_line(words)[:_LONGEST_WORDS]}"{kept}'
        return "and its log cannot be read"

    def _cause(self, state: Mapping[str, Any]) -> str:
        """Why a container ended: its status, the signal that killed it, and whether it was out of memory."""
        status = int(state.get("ExitCode") or 0)
        cause = f"exit status {status}"
        if state.get("OOMKilled"):  # by the events of the kernel's control group
            return f"{cause}, out of memory: {self._memory()}"
        with contextlib.suppress(ValueError):
            cause += f", {signal.Signals(status - 128).name}"
        return cause

    def _memory(self) -> str:
        """What memory the container could use; where all share a limit, more for one is no mend."""
        own = f"it has {(self.spec.memory_bytes or 0) >> 20} MiB"
        shared = container_limits().memory
        if shared is None:
            return f"{own}; give its tier more"
        return (
            f"{own}, and all containers together have the {int(shared.limit) >> 20} MiB of the control group "
            f"{shared.group}; raise what is less than the tiers need"
        )


def container_options(run_id: str, node: str, image: str, spec: ContainerSpec) -> dict[str, Any]:
    """Options of Docker SDK's ``containers.create``: no rights, nothing to write on but ``/tmp``."""
    for path in spec.mounts:
        if not Path(path).exists():
            raise TestbedError(f"{path}, to be mounted in the container of {node}, does not exist")
    return {
        "image": image,
        "command": list(spec.command) if spec.command is not None else None,
        "name": kernel_name(run_id, node),
        "hostname": node,
        "labels": {RUN_LABEL: run_id, NODE_LABEL: node},
        "environment": dict(spec.env),
        "mounts": [
            DockerMount(target=inside, source=outside, type="bind", read_only=True)
            for outside, inside in spec.mounts.items()
        ],
        "network_mode": OWN_NETWORK,
        "user": f"{USER_ID}:{USER_ID}",
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges"],
        "read_only": True,
        "tmpfs": {"/tmp": "size=64m,mode=1777"},
        "init": False,
        "mem_limit": spec.memory_bytes,
        "memswap_limit": spec.memory_bytes,
        "pids_limit": spec.pids_limit,
        "log_config": LogConfig(type=LogConfig.types.JSON, config={"max-size": "512k", "max-file": "2"}),
    }
