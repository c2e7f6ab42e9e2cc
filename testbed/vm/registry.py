"""Which machines there are, found by their directories, and their end.

A machine is a group of processes and a directory with its state. Both belong to the process that booted
it; a machine without that owner is a leftover.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from testbed.assets import cache_dir

PREFIX = "tbvm"
END_TIMEOUT_S = 10.0


@dataclass(frozen=True)
class Machine:
    """``group`` is the process group of all the machine's processes on the host, 0 before it booted."""

    name: str
    directory: Path
    owner: int
    owner_started: int
    group: int = 0

    @property
    def owned(self) -> bool:
        """Whether the process that booted it still lives."""
        return start_time(self.owner) == self.owner_started

    @property
    def processes(self) -> list[int]:
        """Its processes on the host."""
        return [pid for pid in _all_processes() if self.group and _belongs(pid, self)]

    def save(self) -> None:
        content = {**asdict(self), "directory": str(self.directory)}
        scratch = self.directory / ".machine.json"
        scratch.write_text(json.dumps(content))
        scratch.rename(self.directory / "machine.json")


def machines_directory() -> Path:
    return cache_dir() / "machines"


def find_machines() -> list[Machine]:
    """All machines of this user's cache, and whatever processes are left of others without a directory."""
    found = {}
    for path in sorted(machines_directory().glob("*/machine.json")):
        with contextlib.suppress(OSError, ValueError, TypeError):
            content = json.loads(path.read_text())
            found[path.parent.name] = Machine(**{**content, "directory": path.parent})
    for pid in _all_processes():
        with contextlib.suppress(OSError):
            arguments = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
            match = re.search(rf"^umid=({PREFIX}[0-9a-f]+)$", "\n".join(arguments), re.MULTILINE)
            if match and match[1] not in found and Path(f"/proc/{pid}").stat().st_uid == os.geteuid():
                found[match[1]] = Machine(match[1], machines_directory() / match[1], 0, 0, os.getpgid(pid))
    return list(found.values())


def kill_machine(machine: Machine) -> None:
    """End a machine at once and remove what it had; nothing of its run is saved."""
    deadline = time.monotonic() + END_TIMEOUT_S
    while (left := machine.processes) and time.monotonic() < deadline:
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.02)
    shutil.rmtree(machine.directory, ignore_errors=True)


def start_time(pid: int) -> int | None:
    """When a process started, in clock ticks since boot (proc(5)); with its id that names it for good."""
    fields = _stat(pid)
    return int(fields[19]) if fields and fields[0] != "Z" else None


def _belongs(pid: int, machine: Machine) -> bool:
    fields = _stat(pid)
    if not fields or fields[0] == "Z" or int(fields[2]) != machine.group:
        return False
    # A group's number may have come round to somebody else: the kernel's processes carry the machine's name.
    with contextlib.suppress(OSError):
        return machine.name.encode() in Path(f"/proc/{pid}/cmdline").read_bytes()
    return False


def _stat(pid: int) -> list[str] | None:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None


def _all_processes() -> list[int]:
    return [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()]
