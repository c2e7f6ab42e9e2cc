"""What a host must have for the machine, and where it is."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from testbed.capabilities import package_mend
from testbed.errors import TestbedError
from testbed.host import command_path, in_user_mode_linux, memory_bytes

MODULES = Path("/usr/lib/uml/modules")
MINIMUM_MB = 512
WANTED_MB = 6144
LEFT_TO_HOST_MB = 1024
_MIB = 1 << 20


@dataclass(frozen=True)
class Kernel:
    """A user-mode Linux kernel: its file, version, modules, and the options that it understands."""

    path: Path
    version: str
    modules: Path
    has_seccomp: bool


@functools.cache
def uml_kernel() -> Kernel:
    """The installed kernel.

    Raises:
        TestbedError: there is none or it is not whole; the message names the package.
    """
    found = command_path("linux.uml")
    if found is None:
        raise TestbedError(f"user-mode Linux is not installed: {package_mend('linux.uml')}")
    version = _said(found, "--version").strip()
    modules = MODULES / version
    if not version or not modules.is_dir():
        raise TestbedError(f"{found} has no modules in {modules}; reinstall it: {package_mend('linux.uml')}")
    return Kernel(Path(found), version, modules, "seccomp=" in _said(found, "--help"))


def vm_available() -> list[str]:
    """Why no machine can be started here, each reason with its mend; empty if one can."""
    if in_user_mode_linux():
        return ["this is a user-mode Linux machine already, and it cannot hold another"]
    reasons = []
    try:
        uml_kernel()
    except TestbedError as error:
        reasons.append(str(error))
    if command_path("modprobe") is None:
        reasons.append(f"modprobe is not installed: {package_mend('kmod')}")
    if any(command_path(command) is None for command in ("setpriv", "taskset")):
        reasons.append("setpriv or taskset is not installed: install the package util-linux")
    scope = Path("/proc/sys/kernel/yama/ptrace_scope")
    if scope.exists() and scope.read_text().strip() == "3":
        reasons.append(
            f"ptrace is switched off ({scope} is 3 until the next boot); boot the host with 0, 1 or 2"
        )
    try:
        memory_for_machine(None)
    except TestbedError as error:
        reasons.append(str(error))
    return reasons


def memory_for_machine(asked_mb: int | None) -> int:
    """MiB for a machine: as asked, else what the host can spare, up to what any scenario here needs.

    Raises:
        TestbedError: the host has less than a machine needs.
    """
    spare = memory_bytes()["MemAvailable"] // _MIB - LEFT_TO_HOST_MB
    wanted = asked_mb or min(WANTED_MB, max(spare, 0))
    if wanted < MINIMUM_MB or (asked_mb is not None and asked_mb > spare + LEFT_TO_HOST_MB):
        raise TestbedError(
            f"a machine of {max(wanted, MINIMUM_MB)} MiB does not fit into the {spare + LEFT_TO_HOST_MB} MiB "
            "of memory that are free; free some, or ask for less"
        )
    return wanted


def memory_directory(memory_mb: int, otherwise: Path) -> Path:
    """Where the file that is the machine's memory goes: a tmpfs with room for it, else a directory on disk.

    Containers often have a /dev/shm of 64 MB, and a machine whose memory file cannot grow dies of SIGBUS.
    """
    for candidate in (Path("/dev/shm"), Path(tempfile.gettempdir())):
        try:
            state = os.statvfs(candidate)
        except OSError:
            continue
        usable = not state.f_flag & os.ST_NOEXEC and os.access(candidate, os.W_OK)
        if usable and shutil.disk_usage(candidate).free > memory_mb * _MIB:
            return candidate
    return otherwise


def _said(*argv: str) -> str:
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise TestbedError(f"{argv[0]} does not start ({error}); {package_mend('linux.uml')}") from error
    return done.stdout
