"""Removes what earlier versions left on a host and this one does not use.

They ran some scenarios in user-mode Linux, with disks in the cache, could use Open vSwitch as a site's
switch, and told network managers to leave its ports alone.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
from collections.abc import Collection, Iterator
from pathlib import Path

from testbed.host.cache import cache_dir
from testbed.host.commands import printed_by
from testbed.host.processes import proc
from testbed.host.processes.proc import Process

MANAGERS_FILES = {
    Path("/etc/systemd/network/00-llm-testbed.network"): ("networkctl", "reload"),
    Path("/etc/NetworkManager/conf.d/00-llm-testbed.conf"): ("nmcli", "general", "reload"),
}
COMMAND_TIMEOUT_S = 20.0
_MACHINE = re.compile(r"tbvm[0-9a-f]{8}")
_DISK = re.compile(r"[0-9a-f]{12}\.(img|used)")
_BRIDGE = re.compile(r"tb([a-z0-9]{4})[a-z]\d+")


def remove_older(live_runs: Collection[str] = ()) -> list[str]:
    """Remove what no live run uses, and return what it was.

    Machines and their disks are the calling user's; all else is removed only if that is root.
    """
    removed = [*_machines()]
    if os.geteuid() == 0:
        removed += [*_bridges(live_runs), *_managers_files()]
    return removed


def _machines() -> Iterator[str]:
    """Remove machines whose owner has ended, and the disks if no machine is left that may use them."""
    home, in_use = cache_dir() / "machines", False
    processes = _processes()
    directories = (path for path in home.glob("tbvm*") if _MACHINE.fullmatch(path.name))
    for machine in sorted({*processes, *directories}):
        if _owned(machine):
            in_use = True
            continue
        for process in processes.get(machine, ()):
            process.signal(signal.SIGKILL)
        shutil.rmtree(machine, ignore_errors=True)
        if not machine.exists():
            yield f"machine {machine.name}"
    if not in_use and _removed_disks(cache_dir() / "disks"):
        yield f"disks {cache_dir() / 'disks'}"
    with contextlib.suppress(OSError):
        home.rmdir()


def _removed_disks(home: Path) -> bool:
    """Remove the disks in ``home``, and whether there were any; a user's cache may have other files there."""
    disks = [path for path in home.glob("*") if _DISK.fullmatch(path.name) and path.is_file()]
    if disks:
        shutil.rmtree(home / "build", ignore_errors=True)
        for path in (*disks, home / "lock"):
            path.unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        home.rmdir()
    return bool(disks)


def _processes() -> dict[Path, list[Process]]:
    """This user's processes of machines, by the machine's directory, which is in their command lines."""
    processes: dict[Path, list[Process]] = {}
    for process in filter(None, map(Process.of, proc.process_ids())):
        pid = process.pid
        program, *arguments = proc.command_line(pid) or [""]
        option = next((argument for argument in arguments if argument.startswith("uml_dir=")), "")
        machine = Path(option.removeprefix("uml_dir="))
        named = (
            machine.is_absolute() and _MACHINE.fullmatch(machine.name) and f"umid={machine.name}" in arguments
        )
        if named and Path(program).name == "linux.uml" and proc.user_id(pid) == os.geteuid():
            processes.setdefault(machine, []).append(process)
    return processes


def _owned(machine: Path) -> bool:
    """Whether the process that booted the machine lives."""
    try:
        state = json.loads((machine / "machine.json").read_text())
        return Process(int(state["owner"]), state["owner_started"]).lives
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _bridges(live_runs: Collection[str]) -> Iterator[str]:
    """Remove Open vSwitch's bridges with the name of a run that has ended."""
    for name in printed_by("ovs-vsctl", "--timeout=5", "list-br", timeout_s=COMMAND_TIMEOUT_S).split():
        match = _BRIDGE.fullmatch(name)
        if match and match[1] not in live_runs:
            printed_by("ovs-vsctl", "--timeout=5", "--if-exists", "del-br", name, timeout_s=COMMAND_TIMEOUT_S)
            yield f"bridge {name}"


def _managers_files() -> Iterator[str]:
    """Remove the files that told network managers to leave the switches' ports alone."""
    for path, reload in MANAGERS_FILES.items():
        if path.exists():
            path.unlink()
            printed_by(*reload, timeout_s=COMMAND_TIMEOUT_S)
            yield f"file {path}"
