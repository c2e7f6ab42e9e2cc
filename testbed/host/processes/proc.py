"""Processes as the kernel shows them in /proc (proc(5)). One that has ended is absent, and never an error."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

from testbed.host.files import text_of

PROC = Path("/proc")


@dataclass(frozen=True)
class Process:
    """A process that cannot be mistaken for a later one with the same id.

    Attributes:
        starttime: when it started, in clock ticks since boot.
    """

    pid: int
    starttime: int

    @classmethod
    def of(cls, pid: int) -> Process | None:
        """The process that has the id now; ``None`` if there is none or it is a zombie."""
        fields = _read(pid, "stat").rpartition(")")[2].split()
        return cls(pid, int(fields[19])) if fields and fields[0] != "Z" else None

    @property
    def lives(self) -> bool:
        return self.of(self.pid) == self

    def signal(self, number: int) -> None:
        """Send it a signal. Once it has ended nobody gets one, whoever has its id by then."""
        with suppress(ProcessLookupError), closing(HeldProcess(self.pid)) as held:
            if self.lives:  # then it is the one that is held, too: it was there before
                held.signal(number)


class HeldProcess:
    """A process that is held by its open directory in /proc.

    Paths below that directory, and signals, reach this process alone, and nothing once it has ended, whoever
    has its id by then. Other processes may use the paths as long as this one lives.

    Attributes:
        pid: its id.

    Raises:
        ProcessLookupError: there is no process with this id.
    """

    def __init__(self, pid: int) -> None:
        self.pid = pid
        try:
            self._directory = os.open(PROC / str(pid), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except FileNotFoundError as error:
            raise ProcessLookupError(error.errno, f"there is no process {pid}") from error

    @property
    def path(self) -> Path:
        """The process's directory in /proc."""
        return PROC / str(os.getpid()) / "fd" / str(self._directory)

    @property
    def network_namespace(self) -> str:
        """The path by which its network namespace can be entered as long as it lives."""
        return str(self.path / "ns" / "net")

    @property
    def lives(self) -> bool:
        """Whether it has not ended; a zombie has."""
        return _identity(self.network_namespace) is not None

    @property
    def has_own_network(self) -> bool:
        """Whether it lives in another network namespace than this process."""
        theirs = _identity(self.network_namespace)
        return theirs is not None and theirs != _identity(network_namespace(os.getpid()))

    def is_in_control_group(self, name: str) -> bool:
        """Whether one of its control groups, or a group above it, has ``name`` in its name (cgroups(7))."""
        return any(name in line.split(":", 2)[-1] for line in text_of(self.path / "cgroup").splitlines())

    def signal(self, number: int) -> None:
        """Send it a signal (pidfd_send_signal(2) takes such a directory).

        Raises:
            ProcessLookupError: it has ended.
        """
        signal.pidfd_send_signal(self._directory, number)

    def close(self) -> None:
        """Let it go; may be repeated."""
        if self._directory >= 0:
            os.close(self._directory)
            self._directory = -1


def process_ids() -> list[int]:
    """The ids of all processes."""
    return [int(entry.name) for entry in PROC.iterdir() if entry.name.isdigit()]


def children(pid: int) -> list[int]:
    """The ids of the processes that the first thread of ``pid`` has started."""
    return [int(word) for word in _read(pid, f"task/{pid}/children").split()]


def command_line(pid: int) -> list[str]:
    """The program and its arguments; empty for a thread of the kernel."""
    return _read(pid, "cmdline").split("\0")[:-1]


def command_name(pid: int) -> str:
    """The name of its executable, cut to 15 characters."""
    return _read(pid, "comm").rstrip("\n")


def user_id(pid: int) -> int | None:
    """The user as whom it runs."""
    try:
        return (PROC / str(pid)).stat().st_uid
    except OSError:
        return None


def cpu_time_ns(pid: int) -> int | None:
    """How long the first thread of ``pid`` has run on a CPU (proc_pid_schedstat(5))."""
    fields = _read(pid, "schedstat").split()
    return int(fields[0]) if fields else None


def network_namespace(pid: int) -> str:
    """The path by which its network namespace can be entered as long as it lives."""
    return f"{PROC}/{pid}/ns/net"


def in_network_namespaces(paths: Iterable[str]) -> list[Process]:
    """The processes in the network namespaces at ``paths`` that exist.

    None of the host's network, nor of this process's, whatever leads there.
    """
    ours = {_identity(network_namespace(pid)) for pid in (1, os.getpid())}
    wanted = {_identity(path) for path in paths} - {None} - ours
    processes = map(Process.of, sorted(process_ids())) if wanted else ()
    return [found for found in processes if found and _identity(network_namespace(found.pid)) in wanted]


def _identity(path: str) -> tuple[int, int] | None:
    try:
        status = Path(path).stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _read(pid: int, file: str) -> str:
    return text_of(PROC / str(pid) / file)
