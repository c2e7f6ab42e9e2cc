"""What this host is, for the manifest and the doctor."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import sys
from pathlib import Path
from typing import Any

from testbed.host.commands import first_line, run_command
from testbed.host.files import text_of

REPOSITORY = Path(__file__).resolve().parents[2]
PACKAGES = (
    "aiohttp", "docker", "flask", "mininet", "numpy", "pyarrow", "pydantic",
    "safetensors", "scapy", "scipy", "tokenizers", "torch", "transformers", "urllib3", "waitress",
)  # fmt: skip


def host_facts() -> dict[str, Any]:
    """What a reader of a run must know of its host, as values for JSON; what is unknown is ``None``."""
    return {
        "kernel": platform.release(),
        "kernel_version": platform.version(),
        "machine": platform.machine(),
        "distribution": distribution()["name"],
        "virtualisation": virtualisation(),
        "cpu_model": cpu_model(),
        "cpus": usable_cpus(),
        "memory_bytes": memory_bytes()["MemTotal"],
        "clock_source": _setting("/sys/devices/system/clocksource/clocksource0/current_clocksource"),
        "cgroup_version": cgroup_version(),
        "root": os.geteuid() == 0,
        "python": platform.python_version(),
        "libc": " ".join(platform.libc_ver()),
        "commit": commit(),
        "versions": {name: package_version(name) for name in PACKAGES},
        "torch_origin": text_of(Path(sys.prefix) / "torch-origin").strip() or None,  # provision.sh writes it
        "tools": {
            "ip": first_line("ip", "-V"),
            "tcpdump": first_line("tcpdump", "--version"),
            "docker": first_line("dockerd", "--version"),
        },
        "sysctls": {name: _setting(f"/proc/sys/{name}") for name in SYSCTLS},
    }


SYSCTLS = (
    "net/ipv4/tcp_congestion_control",
    "net/ipv4/tcp_no_metrics_save",
    "net/ipv4/tcp_slow_start_after_idle",
    "net/ipv4/tcp_rmem",
    "net/ipv4/tcp_wmem",
    "net/core/default_qdisc",
)


def distribution() -> dict[str, str]:
    """``id`` (debian, ubuntu, fedora…), the ``like`` ids, and the full ``name`` (os-release(5))."""
    try:
        release = platform.freedesktop_os_release()
    except OSError:
        release = {}
    return {
        "id": release.get("ID", "linux"),
        "like": release.get("ID_LIKE", ""),
        "name": release.get("PRETTY_NAME", "Linux"),
    }


def cpu_model() -> str:
    """The processor's name."""
    text = text_of(Path("/proc/cpuinfo"))
    match = re.search(r"^(?:model name|Model|cpu model|uarch)\s*:\s*(.+)$", text, re.MULTILINE)
    return match[1].strip() if match else platform.machine()


def usable_cpus() -> int:
    """How many CPUs this process may use, by its affinity."""
    return len(os.sched_getaffinity(0))


def memory_bytes() -> dict[str, int]:
    """/proc/meminfo in bytes."""
    lines = Path("/proc/meminfo").read_text().splitlines()
    return {name: int(rest.split()[0]) * 1024 for name, _, rest in (line.partition(":") for line in lines)}


def free_tasks() -> int:
    """How many processes and threads may still come up, by the kernel's own limits (proc(5))."""
    most = min(int(text_of(Path("/proc/sys/kernel", name))) for name in ("pid_max", "threads-max"))
    present = text_of(Path("/proc/loadavg")).split()[3].partition("/")[2]
    return max(0, most - int(present))


def virtualisation() -> str:
    """In what this host runs, which its CPU time depends on: ``none``, ``kvm``, ``docker``, …"""
    done = run_command("systemd-detect-virt")
    detected = done.stdout.strip() if done is not None else ""  # its exit status is 1 for "none"
    if not detected or detected == "none":
        flags = re.search(r"^flags\s*:.*\bhypervisor\b", text_of(Path("/proc/cpuinfo")), re.MULTILINE)
        return "a hypervisor" if flags else detected or "none"
    return detected


def cgroup_version() -> int | None:
    """The version of the control groups: 2 if only the unified hierarchy has controllers, else 1."""
    if Path("/sys/fs/cgroup/cgroup.controllers").exists():
        return 2
    return 1 if Path("/sys/fs/cgroup/memory").is_dir() or Path("/sys/fs/cgroup/cpu").is_dir() else None


def commit() -> str | None:
    """The checkout's commit, ``-modified`` where tracked files differ from it."""
    # An absolute exception, since root may read a clone of an ordinary user's.
    git = ("git", "-c", f"safe.directory={REPOSITORY}", "-C", str(REPOSITORY))
    identity = first_line(*git, "rev-parse", "HEAD")
    if identity is None:
        return None
    changed = first_line(*git, "status", "--porcelain", "--untracked-files=no")
    return f"{identity}-modified" if changed else identity


def package_version(name: str) -> str | None:
    """The version of an installed Python package, ``None`` if it is not installed."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _setting(path: str) -> str | None:
    """A setting of the kernel; ``None`` if it has none of that name."""
    return text_of(Path(path)).strip() or None
