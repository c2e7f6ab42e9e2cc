"""Each thing that the testbed asks of a host: whether it is there, what for, and how to get it."""

from __future__ import annotations

import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from testbed.assets import cache_dir
from testbed.host import (
    cgroup_version,
    command_path,
    distribution,
    first_line,
    in_user_mode_linux,
    memory_bytes,
    package_version,
    usable_cpus,
)
from testbed.kernel import Kernel, kernel

GIB = 1 << 30
DISK_WANTED_BYTES = 10 * GIB
"""Image, models, the machine's disk and the wheels they are made of, with room for captures."""
MEMORY_WANTED_BYTES = 4 * GIB
UML_BOOT_TIMEOUT_S = 10.0
ENGINE_TIMEOUT_S = 10
"""A busy engine that answers late is there all the same."""
AS_ROOT = "run it with sudo"

_BOOT = (
    "mem=48M", "umid=probe", "rootfstype=hostfs", "rootflags=/", "ro", "init=/bin/true",
    "con=null", "con0=null,fd:1", "ssl=null", "quiet", "panic=-1",
)  # fmt: skip

_APT = {
    "ip": "iproute2", "tc": "iproute2", "mnexec": "mininet", "tcpdump": "tcpdump", "tshark": "tshark",
    "dockerd": "docker.io", "linux.uml": "user-mode-linux", "ping": "iputils-ping", "kmod": "kmod",
    "ovs-vsctl": "openvswitch-switch", "debootstrap": "debootstrap", "mkfs.ext4": "e2fsprogs",
    "apparmor_parser": "apparmor",
}  # fmt: skip
_DNF = {
    "ip": "iproute", "tc": "iproute-tc", "mnexec": "mininet", "tcpdump": "tcpdump", "tshark": "wireshark-cli",
    "dockerd": "moby-engine", "ping": "iputils", "kmod": "kmod", "ovs-vsctl": "openvswitch",
    "debootstrap": "debootstrap", "mkfs.ext4": "e2fsprogs",
}  # fmt: skip


@dataclass(frozen=True)
class Capability:
    """One need: ``detail`` is what was found, ``mend`` how to get it (empty where it is there)."""

    name: str
    ok: bool
    needed_for: str
    detail: str
    mend: str = ""


def package_mend(command: str) -> str:
    """How this distribution installs what holds ``command``."""
    known = distribution()
    family = f"{known['id']} {known['like']}"
    if re.search(r"\b(debian|ubuntu)\b", family) and command in _APT:
        return f"apt-get install {_APT[command]}"
    if re.search(r"\b(fedora|rhel|centos)\b", family) and command in _DNF:
        return f"dnf install {_DNF[command]}"
    return f"install the package that holds {command} (Debian: {_APT.get(command, command)})"


def capabilities() -> list[Capability]:
    """Every need of the testbed, tried in 3 s (a busy engine takes longer); leaves nothing, needs no root."""
    with user_mode_linux() as boots:  # a second of its own, spent while the rest is tried
        others = [*_kernel_capabilities(kernel()), *_host_capabilities()]
        return [*others, boots()]


def _kernel_capabilities(found: Kernel) -> Iterator[Capability]:
    other_kernel = "another kernel, or the user-mode Linux machine (--vm auto takes it by itself)"

    def part(name: str, needs: tuple[str, ...], needed_for: str, module: str) -> Capability:
        lacking = [need for need in needs if not found.has(need)]
        if lacking and not found.has("namespaces") and os.geteuid() != 0:
            return Capability(name, False, needed_for, "not tried: this user may make no namespace", AS_ROOT)
        said = "; ".join(f"{need}: {found.said.get(need, 'missing')}" for need in lacking)
        mend = f"modprobe {module}, else {other_kernel}" if _module_file(module) else other_kernel
        return Capability(
            name, not lacking, needed_for, said or "made and deleted again", mend if lacking else ""
        )

    yield part("network namespaces", ("namespaces",), "every network", "")
    yield part("veth and bridge", ("veth", "bridge"), "sites, wires and switches", "veth")
    yield part("netem", ("netem",), "delay, jitter, loss; single frames that feel the rate", "sch_netem")
    if not found.has_netem:
        yield part("token bucket (tbf, htb)", ("tbf", "htb"), "rates where there is no netem", "sch_tbf")
    yield part(
        "ifb, mirred, classifier", ("ifb", "mirred", "matchall"), "the way of a link, behind its wire", "ifb"
    )
    yield part("openvswitch", ("openvswitch",), "Open vSwitch sites; Linux bridges do without", "openvswitch")
    yield part("overlayfs", ("overlay",), "Docker's layers", "overlay")


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
    yield from _room()


def _tool(command: str, needed_for: str, version_option: str) -> Capability:
    path = command_path(command)
    if path is None:
        return Capability(command, False, needed_for, "not installed", package_mend(command))
    return Capability(command, True, needed_for, first_line(command, version_option) or path)


def _docker() -> Capability:
    needed_for = "the tiers' containers"
    import docker  # late: half of this module's import time, and `can_shape` has no use for it
    from docker.errors import DockerException

    try:
        client = docker.from_env(timeout=ENGINE_TIMEOUT_S)
        try:
            version = client.version()["Version"]
        finally:
            client.close()
        if _apparmor_on() and command_path("apparmor_parser") is None:
            detail = f"{version} answers, but cannot load its AppArmor profile: no container starts"
            return Capability("Docker engine", False, needed_for, detail, package_mend("apparmor_parser"))
        return Capability("Docker engine", True, needed_for, f"{version} answers")
    except (DockerException, OSError) as error:
        reason = str(error)
    if address := os.environ.get("DOCKER_HOST"):
        mend = f"start the engine of DOCKER_HOST={address}, or unset it"
        return Capability("Docker engine", False, needed_for, f"none answers at {address}", mend)
    if "Permission denied" in reason:
        return Capability("Docker engine", False, needed_for, "its socket is closed to this user", AS_ROOT)
    installed = command_path("dockerd")
    if installed is None:
        return Capability("Docker engine", False, needed_for, "not installed", package_mend("dockerd"))
    root = os.geteuid() == 0
    detail = "installed, does not run" + ("; a run starts it" if root else "")
    return Capability("Docker engine", root, needed_for, detail, "" if root else AS_ROOT)


def _apparmor_on() -> bool:
    try:
        return Path("/sys/module/apparmor/parameters/enabled").read_text().strip() == "Y"
    except OSError:
        return False


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
    count = usable_cpus()
    detail = f"{count} CPU{'s' if count > 1 else ''}"
    # One CPU runs every scenario and gets its bytes right; which is why this is not a lack in the machine.
    ok = count >= 2 or in_user_mode_linux()
    mend = "" if ok else "more CPUs, or read latencies only where the verdict allows it"
    return Capability("CPUs", ok, "latencies: tiers and orchestrator at the same time", detail, mend)


def _room() -> Iterator[Capability]:
    free = memory_bytes()["MemAvailable"]
    yield _enough("memory", free, MEMORY_WANTED_BYTES, "models in the tiers' containers", "available")
    store = cache_dir()
    while not store.exists():
        store = store.parent
    yield _enough(
        "disk", shutil.disk_usage(store).free, DISK_WANTED_BYTES, "image, models, captures", f"in {store}"
    )


def _enough(name: str, free: int, wanted: int, needed_for: str, where: str) -> Capability:
    ok = free >= wanted
    mend = "" if ok else f"free {(wanted - free) / GIB:.1f} GiB more"
    if not ok and name == "disk":
        mend += ", or point TESTBED_CACHE at a larger disk"
    return Capability(name, ok, needed_for, f"{free / GIB:.1f} GiB free {where}", mend)


@contextmanager
def user_mode_linux() -> Iterator[_Boot]:
    """Boot a user-mode Linux kernel as far as its first process; the value, called, tells how it went."""
    kernel_file = command_path("linux.uml")
    if in_user_mode_linux() or kernel_file is None:
        yield _Boot(None, None, kernel_file)
        return
    with tempfile.TemporaryDirectory(prefix="testbed-probe-") as scratch:
        process = subprocess.Popen(
            [kernel_file, *_BOOT, f"uml_dir={scratch}"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=scratch,  # where a core file would go
            start_new_session=True,
        )
        try:
            yield _Boot(process, first_line("linux.uml", "--version"), kernel_file)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # its processes of user mode with it
            process.communicate()


@dataclass(frozen=True)
class _Boot:
    process: subprocess.Popen[bytes] | None
    version: str | None
    kernel_file: str | None

    def __call__(self) -> Capability:
        name, needed_for = "user-mode Linux", "delay, jitter and loss where the host's kernel lacks netem"
        if in_user_mode_linux():
            return Capability(name, True, needed_for, "this is it")
        if self.kernel_file is None:
            return Capability(name, False, needed_for, "not installed", package_mend("linux.uml"))
        if trouble := self._trouble():
            return Capability(name, False, needed_for, *trouble)
        return Capability(name, True, needed_for, f"{self.version} boots, modules there")

    def _trouble(self) -> tuple[str, str] | None:
        from testbed.vm.requirements import vm_available  # late: it takes its words from here

        if reasons := vm_available():
            return "cannot be used", "; ".join(reasons)
        assert self.process is not None
        try:
            output, _ = self.process.communicate(timeout=UML_BOOT_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            return f"does not boot in {UML_BOOT_TIMEOUT_S:.0f} s", "free CPU and memory and try again"
        text = output.decode(errors="replace")
        # Its first process ended with status 0, so the kernel panics with just these words: it works.
        if "Attempted to kill init! exitcode=0x00000000" in text:
            return None
        said = [line for line in text.strip().splitlines() if line.strip()]
        last = next(
            (line for line in said if "panic" in line or "ailed" in line), said[-1] if said else "no word"
        )
        mend = (
            "allow ptrace, and an executable /dev/shm with room (docker run --cap-add SYS_PTRACE --shm-size)"
        )
        return f"does not boot: {last.strip()[:120]}", mend
