"""What the testbed needs of a host: whether the host has it, what it is needed for, and how to get it."""

from __future__ import annotations

import contextlib
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from testbed.errors import TestbedError
from testbed.host.cache import cache_dir
from testbed.host.cgroup_limits import container_limits, own_limits
from testbed.host.commands import command_path, first_line
from testbed.host.facts import cgroup_version, package_version
from testbed.host.files import text_of
from testbed.host.kernel import TRY_TIMEOUT_S, Kernel, kernel, parse_tries
from testbed.host.packages import package_mend

GIB = 1 << 30
DISK_WANTED_BYTES = 10 * GIB
"""Image, models and the wheels they are made of, with room for captures."""
MEMORY_WANTED_BYTES = 4 * GIB
OWN_MEMORY_WANTED_BYTES = 2 * GIB
"""For preparing the embedded models, and full queues of all links in a run."""
OWN_CPUS_WANTED, OWN_TASKS_WANTED = 1.0, 500
ENGINE_TIMEOUT_S = 10
"""A busy engine may answer late."""
AS_ROOT = "run it with sudo"
NO_MOUNT_POINT = "cannot change root filesystem propagation"
"""What unshare says in a chroot whose directory is part of a file system and not one of its own."""
A_MOUNT_POINT = "mount --bind DIR DIR before chroot DIR"

_REAL_TIME = """
import ctypes, os
def attempt(name, act):
    try:
        act()
        print(f"{name}|yes|")
    except OSError as error:
        print(f"{name}|no|{error.strerror}")
def lock_memory():
    current_and_future = 3
    if ctypes.CDLL(None, use_errno=True).mlockall(current_and_future) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
policy = os.SCHED_FIFO | os.SCHED_RESET_ON_FORK
attempt("real-time priority", lambda: os.sched_setscheduler(0, policy, os.sched_param(1)))
attempt("locked memory", lock_memory)
"""


@dataclass(frozen=True)
class Capability:
    """One need: ``detail`` says what the host has, ``mend`` how to get what it lacks (else empty)."""

    name: str
    ok: bool
    needed_for: str
    detail: str
    mend: str = ""


def capabilities() -> list[Capability]:
    """Check every need of the testbed, in about 2 s (longer if the engine is busy) and without root."""
    return [*_kernel_capabilities(kernel()), *_host_capabilities()]


def _kernel_capabilities(tried: Kernel) -> Iterator[Capability]:
    def part(name: str, needed_for: str, module: str = "") -> Capability:
        if tried.has(name):
            return Capability(name, True, needed_for, "made and deleted again")
        if not tried.has("network namespaces") and os.geteuid() != 0:
            return Capability(name, False, needed_for, "not tried: this user may make no namespace", AS_ROOT)
        mend = f"modprobe {module}" if _module_file(module) else "another kernel"
        why = tried.reasons.get(name, "missing")
        return Capability(name, False, needed_for, why, A_MOUNT_POINT if NO_MOUNT_POINT in why else mend)

    yield part("network namespaces", "every network")
    yield part("veth", "wires, and what joins containers to sites", "veth")
    yield part("bridge", "the sites' switches", "bridge")
    yield part("packet sockets", "the process that is the WAN links", "af_packet")
    yield part("overlayfs", "Docker's layers", "overlay")


def _module_file(module: str) -> bool:
    if not module:
        return False
    tree = Path("/lib/modules") / platform.release()
    return next(tree.rglob(f"{module}.ko*"), None) is not None


def _host_capabilities() -> Iterator[Capability]:
    root = os.geteuid() == 0
    yield Capability(
        "root", root, "networks and containers", f"user id {os.geteuid()}", "" if root else AS_ROOT
    )
    yield _docker()
    version = cgroup_version()
    yield Capability(
        "cgroups",
        version is not None,
        "limits of the tiers, their CPU time and memory",
        f"version {version}" if version else "no controller is mounted",
        "" if version else "mount -t cgroup2 cgroup2 /sys/fs/cgroup",
    )
    yield _tool("ip", "every network", "-V")
    yield _tool("mnexec", "Mininet", "-v")
    yield _tool("tcpdump", "captures that lose no frame", "--version")
    yield _tool("tshark", "the tests' second opinion on captures", "--version")
    yield _tool("debootstrap", "a base image without a registry", "--version")
    yield _python()
    yield _cpus()
    yield _own_limits()
    yield from _real_time()
    yield from _room()


def _tool(command: str, needed_for: str, version_option: str) -> Capability:
    path = command_path(command)
    if path is None:
        return Capability(command, False, needed_for, "not installed", package_mend(command))
    return Capability(command, True, needed_for, first_line(command, version_option) or path)


def _docker() -> Capability:
    needed_for = "the tiers' containers"
    from testbed.host.engine import connect  # late: docker is half of this module's import time
    from testbed.host.engine_place import named_engine

    try:
        client, error = connect(timeout_s=ENGINE_TIMEOUT_S)
    except TestbedError as elsewhere:
        reason, _, mend = str(elsewhere).rpartition("; ")
        return Capability("Docker engine", False, needed_for, reason, mend)
    if client is not None:
        with contextlib.closing(client):
            return _of_this_host(client.version()["Version"], needed_for)
    reason = str(error)
    if named := named_engine():
        mend = f"start the engine of {named[0]}, or unset it"
        return Capability("Docker engine", False, needed_for, f"none answers at {named[0]}", mend)
    if "Permission denied" in reason:
        return Capability("Docker engine", False, needed_for, "its socket is closed to this user", AS_ROOT)
    installed = command_path("dockerd")
    if installed is None:
        return Capability("Docker engine", False, needed_for, "not installed", package_mend("dockerd"))
    root = os.geteuid() == 0
    detail = "installed, does not run" + ("; a run starts it" if root else "")
    return Capability("Docker engine", root, needed_for, detail, "" if root else AS_ROOT)


def _of_this_host(version: str, needed_for: str) -> Capability:
    if _apparmor_on() and command_path("apparmor_parser") is None:
        detail = f"{version} answers, but cannot load its AppArmor profile: no container starts"
        return Capability("Docker engine", False, needed_for, detail, package_mend("apparmor_parser"))
    return Capability("Docker engine", True, needed_for, f"{version} answers")


def _apparmor_on() -> bool:
    return text_of(Path("/sys/module/apparmor/parameters/enabled")).strip() == "Y"


def _python() -> Capability:
    wanted = (
        "docker",
        "flask",
        "mininet",
        "pyarrow",
        "pydantic",
        "scapy",
        "torch",
        "transformers",
        "waitress",
    )
    missing = [name for name in wanted if package_version(name) is None]
    old = sys.version_info < (3, 11)
    detail = f"Python {platform.python_version()}" + (f", without {', '.join(missing)}" if missing else "")
    mend = "use Python 3.11 or newer" if old else "testbed/provision.sh, then .venv/bin/testbed"
    ok = not missing and not old
    return Capability("Python packages", ok, "everything", detail, "" if ok else mend)


def _cpus() -> Capability:
    containers = container_limits()
    count = containers.usable_cpus
    detail = f"{count:g} CPU{'s' if count > 1 else ''}"
    if containers.cpus is not None and containers.cpus.limit <= count:
        detail += f", which the control group {containers.cpus.group} allows to all containers"
    mend = "" if count >= 2 else "more CPUs, or read latencies only where the verdict allows it"
    return Capability("CPUs", count >= 2, "latencies: tiers and orchestrator at the same time", detail, mend)


def _own_limits() -> Capability:
    """What control groups allow the shell, and so orchestrator, links and captures."""
    own, words, ok = own_limits(), [], True
    if own.memory is not None:
        words.append(f"{own.memory.free / GIB:.2f} GiB of memory free in {own.memory.group}")
        ok = own.memory.free >= OWN_MEMORY_WANTED_BYTES
    if own.cpus is not None:
        words.append(f"{own.cpus.limit:g} CPUs by {own.cpus.group}")
        ok = ok and own.cpus.limit >= OWN_CPUS_WANTED
    if own.processes is not None:
        words.append(f"{own.processes.free:.0f} more processes and threads in {own.processes.group}")
        ok = ok and own.processes.free >= OWN_TASKS_WANTED
    mend = "" if ok else "raise the limits of these control groups, or start runs from another shell"
    needed_for = "orchestrator, links, captures"
    return Capability("limits of this shell", ok, needed_for, "; ".join(words) or "none", mend)


def _real_time() -> Iterator[Capability]:
    """What the link process asks of the kernel, tried in a child process that ends at once."""
    needed_for = {
        "real-time priority": "frames in time on a busy host",
        "locked memory": "frames in time on a host short of memory",
    }
    mends = {
        "real-time priority": "docker run --cap-add SYS_NICE, or a real-time budget for the control group",
        "locked memory": "docker run --cap-add IPC_LOCK --ulimit memlock=-1",
    }
    costs = "frames may be late under load, which the verdict on latency sees"
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", _REAL_TIME],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=TRY_TIMEOUT_S, check=False,
    )  # fmt: skip
    available, reasons = parse_tries(done.stdout, list(needed_for), done.stderr.strip())
    for name, purpose in needed_for.items():
        if name in available:
            yield Capability(name, True, purpose, "had and given back")
            continue
        mend = mends[name] if os.geteuid() == 0 else AS_ROOT
        yield Capability(name, False, purpose, f"{reasons[name]}: {costs}", mend)


def _room() -> Iterator[Capability]:
    containers = container_limits()
    where, bound = "available", containers.memory
    if bound is not None and bound.free <= containers.free_bytes:
        where = f"to all containers in the control group {bound.group}"
    free = containers.free_bytes
    yield _enough("memory", free, MEMORY_WANTED_BYTES, "models in the tiers' containers", where)
    store = cache_dir()
    while not store.exists():
        store = store.parent
    yield _enough(
        "disk", shutil.disk_usage(store).free, DISK_WANTED_BYTES, "image, models, captures", f"in {store}"
    )


def _enough(name: str, free: float, wanted: int, needed_for: str, where: str) -> Capability:
    ok = free >= wanted
    mend = "" if ok else f"free {(wanted - free) / GIB:.1f} GiB more"
    if not ok and name == "disk":
        mend += ", or point TESTBED_CACHE at a larger disk"
    if not ok and "control group" in where:
        mend = f"raise that group's limit by {(wanted - free) / GIB:.1f} GiB"
    return Capability(name, ok, needed_for, f"{free / GIB:.1f} GiB free {where}", mend)
