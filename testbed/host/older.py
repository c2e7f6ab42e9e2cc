"""What earlier versions left on a host, and this one neither makes nor uses: found by its name, and removed.

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
import subprocess
from collections.abc import Collection, Iterator
from pathlib import Path

from testbed.host.cache import cache_dir
from testbed.host.facts import command_path

MANAGERS_FILES = {
    Path("/etc/systemd/network/00-llm-testbed.network"): ("networkctl", "reload"),
    Path("/etc/NetworkManager/conf.d/00-llm-testbed.conf"): ("nmcli", "general", "reload"),
}
_MACHINE = re.compile(r"tbvm[0-9a-f]{8}")
_BRIDGE = re.compile(r"tb([a-z0-9]{4})[a-z]\d+")


def remove_older(live_runs: Collection[str] = ()) -> list[str]:
    """Remove it, but for what belongs to a run that lives, and say what it was.

    An ordinary user's machines and cache go; all else only if the user is root.
    """
    removed = [*_machines()]
    if os.geteuid() == 0:
        removed += [*_bridges(live_runs), *_managers_files()]
    return removed


def _machines() -> Iterator[str]:
    """Machines whose owner is gone, and the disks if no machine is left that may use them."""
    home, in_use = cache_dir() / "machines", False
    processes = _processes()
    for machine in sorted({*processes, *home.glob("tbvm*")}):
        if _owned(machine):
            in_use = True
            continue
        for pid in processes.get(machine, ()):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        shutil.rmtree(machine, ignore_errors=True)
        if not machine.exists():
            yield f"machine {machine.name}"
    disks = cache_dir() / "disks"
    if disks.is_dir() and not in_use:
        shutil.rmtree(disks, ignore_errors=True)
        if not disks.exists():
            yield f"disks {disks}"
    with contextlib.suppress(OSError):
        home.rmdir()


def _processes() -> dict[Path, list[int]]:
    """This user's processes of machines, by the machine's directory, which all their command lines name."""
    found: dict[Path, list[int]] = {}
    for path in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            program, *arguments = (path / "cmdline").read_text(errors="replace").split("\0")
            machine = Path(next((a[8:] for a in arguments if a.startswith("uml_dir=")), ""))
            named = _MACHINE.fullmatch(machine.name) and f"umid={machine.name}" in arguments
            if named and Path(program).name == "linux.uml" and path.stat().st_uid == os.geteuid():
                found.setdefault(machine, []).append(int(path.name))
    return found


def _owned(machine: Path) -> bool:
    """Whether the process that booted it lives: the one of that id that started at that time (proc(5))."""
    try:
        state = json.loads((machine / "machine.json").read_text())
        fields = Path(f"/proc/{int(state['owner'])}/stat").read_text().rpartition(")")[2].split()
    except (OSError, ValueError, KeyError, TypeError):
        return False
    return fields[0] != "Z" and int(fields[19]) == state.get("owner_started")


def _bridges(live_runs: Collection[str]) -> Iterator[str]:
    """Open vSwitch's, with a run's name; without its daemon nothing is known of them."""
    if command_path("ovs-vsctl") is None:
        return
    for name in _said("ovs-vsctl", "--timeout=5", "list-br").split():
        match = _BRIDGE.fullmatch(name)
        if match and match[1] not in live_runs:
            _said("ovs-vsctl", "--timeout=5", "--if-exists", "del-br", name)
            yield f"bridge {name}"


def _managers_files() -> Iterator[str]:
    for path, reload in MANAGERS_FILES.items():
        if path.exists():
            path.unlink()
            _said(*reload)
            yield f"file {path}"


def _said(*argv: str) -> str:
    """What a command prints, nothing if it is missing or fails."""
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout if done.returncode == 0 else ""
