"""What control groups leave to a run: the least that a group and all groups above it allow (cgroups(7)).

Two groups matter. The orchestrator, the link process and the captures are in the group of the shell that
starts them; containers are where the Docker engine puts them, whatever shell asked for them.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from testbed.errors import TestbedError
from testbed.host.cgroup import MOUNTINFO, Mount, mounts
from testbed.host.facts import memory_bytes, usable_cpus
from testbed.host.files import text_of

OWN_GROUPS = Path("/proc/self/cgroup")
DAEMON_SETTINGS = Path("/etc/docker/daemon.json")
_NO_LIMIT_BYTES = 1 << 60
"""Version 1 writes the largest number of pages in place of no limit."""


@dataclass(frozen=True)
class Bound:
    """A limit, what of it is free, and the directory of the group that sets it."""

    limit: float
    free: float
    group: Path


@dataclass(frozen=True)
class Limits:
    """What groups allow: bytes of memory, CPUs (a quota), processes and threads; ``None`` without a limit."""

    memory: Bound | None = None
    cpus: Bound | None = None
    processes: Bound | None = None

    @property
    def free_bytes(self) -> float:
        """Memory that is free in the groups and on the host."""
        available_bytes = memory_bytes()["MemAvailable"]
        return min(available_bytes, self.memory.free) if self.memory else available_bytes

    @property
    def usable_cpus(self) -> float:
        """CPUs that may be used, by the groups and by this process's affinity."""
        return min(usable_cpus(), self.cpus.limit) if self.cpus else usable_cpus()

    def to_json(self) -> dict[str, float | None]:
        """The limits themselves, for the manifest; ``None`` where there is none."""
        bounds = {"memory_bytes": self.memory, "cpus": self.cpus, "processes": self.processes}
        return {name: None if bound is None else bound.limit for name, bound in bounds.items()}


def require_memory(own: Limits, needed_bytes: float, what: str) -> None:
    """Refuse what would be killed for want of memory; ``what`` ends with "needs" or like words.

    Raises:
        TestbedError: this shell's groups, or the host, leave less than ``needed_bytes``.
    """
    needs = f"{what} about {mib(needed_bytes)} of memory"
    if (bound := own.memory) is not None and bound.free < needed_bytes:
        raise TestbedError(f"{needs}, and {leaves(bound)} {mib(bound.free)} to this shell; {mend(bound)}")
    host = memory_bytes()
    free_bytes = host["MemAvailable"] + host.get("SwapFree", 0)
    if free_bytes < needed_bytes:
        raise TestbedError(f"{needs}, and this host has {mib(free_bytes)} available; end other programs")


def leaves(bound: Bound) -> str:
    """Words on who leaves what is free."""
    return f"the control group {bound.group} leaves"


def mend(bound: Bound) -> str:
    """What helps where a shell is left too little."""
    return f"raise that group's limit, or start it from a shell outside {bound.group.name}"


def mib(size_bytes: float) -> str:
    return f"{size_bytes / (1 << 20):,.0f} MiB"


def own_limits(mountinfo: Path = MOUNTINFO, groups: Path = OWN_GROUPS) -> Limits:
    """What is left to this process and those that it starts."""
    return _limits(mountinfo, lambda mount: _own_group(mount, groups))


def container_limits(mountinfo: Path = MOUNTINFO, settings: Path = DAEMON_SETTINGS) -> Limits:
    """What is left to all containers of the host's Docker engine together.

    They are in ``docker``, or in ``system.slice`` where systemd makes their groups, or in the group that
    ``cgroup-parent`` names in the engine's settings.
    """
    return _limits(mountinfo, lambda mount: _container_group(mount, settings))


def _limits(mountinfo: Path, group_of: Callable[[Mount], Path]) -> Limits:
    found: dict[str, Bound | None] = {}
    for mount in mounts(mountinfo):
        for controller, read in (("memory", _memory), ("cpu", _cpus), ("pids", _processes)):
            if controller in mount.controllers:
                each = [read(group, mount.unified) for group in _upwards(mount, group_of(mount))]
                bounds = [bound for bound in each if bound is not None]
                found[controller] = min(bounds, key=lambda bound: bound.free, default=None)
    return Limits(found.get("memory"), found.get("cpu"), found.get("pids"))


def _own_group(mount: Mount, groups: Path) -> Path:
    """The directory of our group; the mount's, if the group is not below what the mount shows."""
    for line in text_of(groups).splitlines():
        _, controllers, group = line.split(":", 2)
        if mount.unified != bool(controllers) and mount.controllers >= set(controllers.split(",")) - {""}:
            shown = Path("/", group)
            if shown.is_relative_to(mount.root) and ".." not in shown.parts:
                return mount.path / shown.relative_to(mount.root)
    return mount.path


def _container_group(mount: Mount, settings: Path) -> Path:
    try:
        parent = str(json.loads(text_of(settings) or "{}").get("cgroup-parent", ""))
    except (ValueError, AttributeError):
        parent = ""  # dockerd itself says what is wrong with its settings
    if parent.endswith(".slice"):  # systemd.slice(5): a-b.slice is in a.slice
        words = parent.removesuffix(".slice").split("-")
        parent = "/".join(f"{'-'.join(words[: count + 1])}.slice" for count in range(len(words)))
    names = [parent.strip("/")] if parent else ["docker", "system.slice"]
    return next((mount.path / name for name in names if (mount.path / name).is_dir()), mount.path)


def _upwards(mount: Mount, group: Path) -> Iterator[Path]:
    """The group and those above it whose limits bind it."""
    yield group
    while group != mount.path:
        group = group.parent
        if text_of(group / "memory.use_hierarchy").strip() != "0":  # version 1 may count each for itself
            yield group


def _memory(group: Path, unified: bool) -> Bound | None:
    """Files in the page cache that were not used of late are free: the kernel drops them first."""
    names = ("memory.max", "memory.high") if unified else ("memory.limit_in_bytes",)
    limits = [number for name in names if (number := _number(group / name)) < _NO_LIMIT_BYTES]
    if not limits:
        return None
    used_bytes = _number(group / ("memory.current" if unified else "memory.usage_in_bytes"), 0)
    table = dict(line.split() for line in text_of(group / "memory.stat").splitlines())
    idle_bytes = int(table.get("inactive_file" if unified else "total_inactive_file", 0))
    return Bound(min(limits), max(0, min(limits) - used_bytes + idle_bytes), group)


def _cpus(group: Path, unified: bool) -> Bound | None:
    if unified:
        quota, _, period = text_of(group / "cpu.max").strip().partition(" ")
    else:
        quota, period = (text_of(group / f"cpu.cfs_{name}_us").strip() for name in ("quota", "period"))
    if not quota.isdigit() or not period.isdigit():  # "max", -1, or no limit at the root
        return None
    return Bound(int(quota) / int(period), int(quota) / int(period), group)


def _processes(group: Path, unified: bool) -> Bound | None:
    limit = _number(group / "pids.max")
    if limit == math.inf:
        return None
    return Bound(limit, max(0, limit - _number(group / "pids.current", 0)), group)


def _number(file: Path, otherwise: float = math.inf) -> float:
    """A file's number; ``otherwise`` where it has none, or "max"."""
    text = text_of(file).strip()
    return int(text) if text.isdigit() else otherwise
