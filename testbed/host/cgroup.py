"""What a container used, by the kernel's control groups (cgroups(7)) of version 1 and version 2.

It is read from files and not asked of the Docker engine, whose answer costs much CPU time.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import TypeVar

from testbed.errors import TestbedError
from testbed.host.files import quick_text_of, text_of
from testbed.host.run_delay import Look, RunDelay, kernel_tells, thread_waits
from testbed.host.standstill import Glance, How, any_is_stopped, is_frozen

MOUNTINFO = Path("/proc/self/mountinfo")
N = TypeVar("N", int, float)
_CONTROLLERS = ("memory", "cpu", "cpuacct", "freezer")
_IN_EVERY_GROUP = frozenset({"cpuacct", "freezer"})
"""What version 2 does without a controller: cpu.stat counts usage, and cgroup.freeze freezes."""


@dataclass(frozen=True)
class Usage:
    """A container's anonymous memory now, and its CPU time since it was made.

    ``anon_bytes`` does not count files in the page cache. In ``throttled_periods`` of its
    ``periods`` (100 ms each, with a CPU limit) it wanted more than its quota, and waited ``throttled_s``
    in all. ``waited_s`` is how long its threads waited for a CPU that its quota allowed, since it was first
    looked at (:class:`testbed.host.run_delay.RunDelay`). What the kernel does not count here is ``None``.
    """

    anon_bytes: int | None
    cpu_s: float | None
    periods: int | None
    throttled_periods: int | None
    throttled_s: float | None
    waited_s: float | None = None

    def since(self, earlier: Usage) -> Usage:
        """The usage from ``earlier`` until now; memory is that of now."""
        return Usage(
            self.anon_bytes,
            _less(self.cpu_s, earlier.cpu_s),
            _less(self.periods, earlier.periods),
            _less(self.throttled_periods, earlier.throttled_periods),
            _less(self.throttled_s, earlier.throttled_s),
            _less(self.waited_s, earlier.waited_s),
        )

    def __add__(self, other: Usage) -> Usage:
        """The usage of two containers together; what is not counted of one is not of both."""
        both = zip(astuple(self), astuple(other), strict=True)
        return Usage(*(None if None in pair else sum(pair) for pair in both))


def _less(now: N | None, then: N | None) -> N | None:
    return None if now is None or then is None else now - then


@dataclass(frozen=True)
class Mount:
    """Where a hierarchy is mounted, and its controllers; ``unified`` is version 2.

    ``root`` is the group that the mount shows at ``path``: that of a container, within one.
    """

    path: Path
    controllers: frozenset[str]
    unified: bool
    root: str = "/"


class ContainerGroup:
    """The control groups of a container.

    Raises:
        TestbedError: no group has the container's id; it has ended, or is another engine's.
    """

    def __init__(self, container_id: str, mountinfo: Path = MOUNTINFO) -> None:
        self._directories: dict[str, tuple[Path, bool]] = {}
        self._freezers: list[tuple[str, bool]] = []
        for mount in mounts(mountinfo):
            wanted = [name for name in _CONTROLLERS if name in mount.controllers]
            if wanted and (group := _find(mount.path, container_id)) is not None:
                # Version 1 comes first, and has what it has: on a hybrid host version 2 may have some, too.
                self._directories = dict.fromkeys(wanted, (group, mount.unified)) | self._directories
                if "freezer" in wanted:
                    self._freezers.append((str(group), mount.unified))
        if not self._directories:
            raise TestbedError(f"no control group of container {container_id[:12]}; has it ended?")
        self.container_id = container_id
        directory, unified = next(iter(self._directories.values()))
        self._processes = f"{directory}/cgroup.procs"
        self._threads = directory / ("cgroup.threads" if unified else "tasks")
        self._run_delay = RunDelay() if kernel_tells() and self._threads.exists() else None

    def look(self) -> None:
        """Read how long its threads have waited for a CPU; what a thread waited is lost when it ends."""
        if self._run_delay is None:
            return
        before_s, at_s = self._throttled_s(), time.monotonic()
        waits = thread_waits(map(int, text_of(self._threads).split()))
        self._run_delay.add(Look(at_s, waits, before_s or 0.0, self._throttled_s() or 0.0))

    def glance(self) -> Glance | None:
        """Look whether its processes stand still, and what it has done so far; quick enough for often.

        ``None`` once the container has ended.
        """
        how: How | None = None
        if any(is_frozen(group, unified=unified) for group, unified in self._freezers):
            how = "frozen"
        elif any_is_stopped(quick_text_of(self._processes).split()):
            how = "stopped"
        found = Glance(
            time.monotonic(), how, self._cpu_seconds() or 0.0, self._throttled_s() or 0.0, self._cpus()
        )
        return None if self._has_ended() else found  # asked last: no figure is of a group that went

    def usage(self) -> Usage:
        """Read the usage so far.

        Raises:
            TestbedError: the container has ended.
        """
        if self._has_ended():
            raise TestbedError(f"container {self.container_id[:12]} has ended; its control group is gone")
        self.look()
        cpu, _ = self._table("cpu", "cpu.stat")
        return Usage(
            self._anonymous(),
            self._cpu_seconds(),
            cpu.get("nr_periods"),
            cpu.get("nr_throttled"),
            self._throttled_s(),
            None if self._run_delay is None else self._run_delay.waited_s,
        )

    def _has_ended(self) -> bool:
        return not all(directory.is_dir() for directory, _ in self._directories.values())

    def _cpus(self) -> float | None:
        """How many CPUs its quota allows; ``None`` without one."""
        directory, unified = self._directories.get("cpu", (None, False))
        if unified:
            quota, _, period = quick_text_of(f"{directory}/cpu.max").strip().partition(" ")
        else:
            quota, period = (
                quick_text_of(f"{directory}/cpu.cfs_{it}_us").strip() for it in ("quota", "period")
            )
        return int(quota) / int(period) if quota.isdigit() and period.isdigit() else None

    def _throttled_s(self) -> float | None:
        cpu, unified = self._table("cpu", "cpu.stat")
        return (
            _scaled(cpu.get("throttled_usec"), 1e-6) if unified else _scaled(cpu.get("throttled_time"), 1e-9)
        )

    def _anonymous(self) -> int | None:
        memory, unified = self._table("memory", "memory.stat")
        return memory.get("anon") if unified else memory.get("total_rss", memory.get("rss"))

    def _cpu_seconds(self) -> float | None:
        table, unified = self._table("cpuacct", "cpu.stat")
        if unified:
            return _scaled(table.get("usage_usec"), 1e-6)
        directory, _ = self._directories.get("cpuacct", (None, False))
        text = quick_text_of(f"{directory}/cpuacct.usage") if directory else ""
        return _scaled(int(text), 1e-9) if text else None

    def _table(self, controller: str, file: str) -> tuple[dict[str, int], bool]:
        """A file of ``name value`` lines, empty without the controller; and whether it is version 2's."""
        if controller not in self._directories:
            return {}, False
        directory, unified = self._directories[controller]
        lines = (line.split() for line in quick_text_of(f"{directory}/{file}").splitlines())
        return {words[0]: int(words[1]) for words in lines if len(words) == 2}, unified


class NodeGroup:
    """The control groups of a node: its own container's and, where it has one, its engine's.

    What an engine used that has ended is not known.
    """

    def __init__(self, own: ContainerGroup, engine: ContainerGroup | None = None) -> None:
        self.own, self.engine = own, engine

    def look(self) -> None:
        """Read how long the threads of both have waited for a CPU."""
        self.own.look()
        if self.engine is not None:
            self.engine.look()

    def usage(self) -> Usage:
        """Read the usage so far, of both together.

        Raises:
            TestbedError: the node's container has ended.
        """
        used = self.own.usage()
        if self.engine is None:
            return used
        try:
            return used + self.engine.usage()
        except TestbedError:
            return Usage(None, None, None, None, None)


def mounts(mountinfo: Path) -> Iterator[Mount]:
    """Hierarchies of proc_pid_mountinfo(5), version 1's controllers before the unified one's."""
    unified = []
    for line in mountinfo.read_text().splitlines():
        before, _, after = line.partition(" - ")
        kind, _, options = after.split(" ", 2)
        root, path = before.split()[3], Path(before.split()[4])
        if kind == "cgroup":
            yield Mount(path, frozenset(options.split(",")), unified=False, root=root)
        elif kind == "cgroup2":
            controllers = text_of(path / "cgroup.controllers").split()
            if controllers:  # on a hybrid host version 1 has them all
                unified.append(Mount(path, _IN_EVERY_GROUP.union(controllers), unified=True, root=root))
    yield from unified


def _find(root: Path, container_id: str) -> Path | None:
    """The group's directory, as Docker's two cgroup drivers name it, looked for at the usual places first."""
    names = (container_id, f"docker-{container_id}.scope")
    for parent in ("docker", "system.slice"):
        for name in names:
            if (root / parent / name).is_dir():
                return root / parent / name
    for parent, groups, _ in os.walk(root):  # engines run in slices, and in containers
        for name in names:
            if name in groups:
                return Path(parent, name)
    return None


def _scaled(value: int | None, factor: float) -> float | None:
    return None if value is None else value * factor
