"""What listens, by ss(8), and what docs/SECURITY.md says of it."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from testbed.host.processes.proc import PROC, network_namespace, process_ids
from tests import ROOT

HOST = "host"
_ROW = re.compile(r"^\|.*?\| (TCP|UDP) `([\d.*]+):(\d+|\*)`( and up)?(, UDP likewise)?.*?\| (\w+) \|")
_PROCESS = re.compile(r"pid=(\d+)")


@dataclass(frozen=True, slots=True)
class Listener:
    """A socket that listens: TCP, or UDP without a peer."""

    protocol: str
    address: str
    port: int
    pids: frozenset[int]


@dataclass(frozen=True, slots=True)
class Told:
    """A row of the table."""

    protocols: tuple[str, ...]
    address: str
    port: str
    and_up: bool
    namespace: str

    def covers(self, found: Listener) -> bool:
        least = 0 if self.port == "*" else int(self.port)
        fits = found.port >= least if self.and_up or self.port == "*" else found.port == least
        return fits and found.protocol in self.protocols and fnmatchcase(found.address, self.address)


def told() -> list[Told]:
    """The rows of the page's table."""
    rows = []
    for line in (ROOT / "docs" / "SECURITY.md").read_text().splitlines():
        if (row := _ROW.match(line)) is not None:
            protocol, address, port, and_up, likewise, namespace = row.groups()
            protocols = (protocol, "UDP") if likewise else (protocol,)
            rows.append(Told(protocols, address, port, bool(and_up), namespace))
    return rows


def listeners(pid: int) -> list[Listener]:
    """What listens in the network namespace that a process is in."""
    words = ["nsenter", "--net", "--target", str(pid), "ss", "-Hltnup"]
    lines = subprocess.run(words, capture_output=True, text=True, check=True, timeout=10).stdout.splitlines()
    found = []
    for line in lines:
        protocol, _, _, _, local, *_ = line.split()
        address, _, port = local.rpartition(":")
        pids = frozenset(map(int, _PROCESS.findall(line)))
        found.append(Listener(protocol.upper(), address.strip("[]").partition("%")[0], int(port), pids))
    return found


def descendants(pid: int) -> set[int]:
    """A process, those that it started, and theirs."""
    parents = {child: parent for child in process_ids() if (parent := _parent(child)) is not None}
    found, new = set[int](), {pid}
    while new:
        found |= new
        new = {child for child, parent in parents.items() if parent in new} - found
    return found


def _parent(pid: int) -> int | None:
    try:
        return int((PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return None  # it has ended


def _network(pid: int) -> str | None:
    try:
        return str(Path(network_namespace(pid)).readlink())
    except OSError:
        return None


def check_listeners(pid: int, others: Iterable[int] = ()) -> list[Listener]:
    """Hold what a process, its descendants and ``others`` have listening against the table.

    Returns what listens in namespaces other than the host's.

    Raises:
        AssertionError: something listens that the table has not.
    """
    rows, inside = told(), []
    others = set(others)
    own = descendants(pid) | others
    # A space is entered by the member that stays in it: a young process may end, or go on to another one.
    members = [*sorted(own - others, reverse=True), *others, os.getpid()]
    spaces = {space: member for member in members if (space := _network(member)) is not None}
    here = _network(os.getpid())
    for space, member in spaces.items():
        found = listeners(member)
        if space == here:
            found = [listener for listener in found if listener.pids & own]
            allowed = [row for row in rows if row.namespace == HOST]
            assert all(listener.address in ("127.0.0.1", "::1") for listener in found), found
        else:
            inside += found
            allowed = [row for row in rows if row.namespace != HOST]
        strange = [listener for listener in found if not any(row.covers(listener) for row in allowed)]
        assert not strange, f"not in docs/SECURITY.md: {strange}"
    return inside
