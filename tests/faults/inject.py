"""Waits for a phase of a run that is under way, and lets a fault happen to it.

A phase is known by what the run says and writes: nothing in the run knows that it is being tried.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar
from uuid import uuid4

from docker.models.containers import Container

from testbed.host.engine import HOST, engine
from testbed.host.files import text_of
from testbed.host.processes.proc import PROC, Process, command_line, command_name, process_ids
from testbed.host.processes.waiting import wait_until
from testbed.network.containers import RUN_LABEL
from tests import ROOT
from tests.e2e.runs import COMMAND, LINK_PROCESS
from tests.faults.matrix import METHODS, STOPPED_S, TIER, Cell, Fault, Phase, Target

PHASE_TIMEOUT_S = 90.0
TARGET_TIMEOUT_S = 20.0
POLL_S = 0.002
MARK = "TESTBED_FAULTS_MARK"
METHOD = METHODS[-1]
T = TypeVar("T")
SAID: Mapping[Phase, str] = {
    "preparing": " of disk",
    "starting": "starting 2 containers",
    "loading": "loading the tiers' models",
    "warming": "warming up",
    "measuring": "measuring the links before",
    "replaying": f"{METHOD}: replaying",
    "accounting": f"{METHOD}: replaying",
}
"""What a run says when a phase begins, or before it does."""
BRIEF: frozenset[Phase] = frozenset(("preparing", "starting", "warming", "accounting", "judging", "sealing"))
"""Phases that may be over in a moment: the run is held still, so that the fault comes within them."""
ENGINE = ("dockerd", "containerd")
"""How the names of an engine's processes begin."""
OWN_SIGNALS = ("env", "--default-signal=INT,HUP")
"""Begins a command whose process is to be ended by these, even if they are ignored here, as by ``nohup``."""
UNDER_WAY_FRAMES = 8
"""So many are those of two requests and their answers."""


@dataclass(frozen=True)
class UnderWay:
    """A run that is going on.

    Attributes:
        out: its directory.
        log: where it prints.
        mark: in the environment of each of its processes on the host.
    """

    process: subprocess.Popen[bytes]
    out: Path
    log: Path
    mark: str

    @property
    def lives(self) -> bool:
        """Whether it has not ended."""
        return self.process.poll() is None

    def said(self, words: str) -> bool:
        """Whether it has printed these words."""
        return words in self.log.read_text(errors="replace")

    def processes(self) -> list[int]:
        """It, and all that it or one of them has started on the host, but an engine, which stays."""
        word = f"{MARK}={self.mark}\0"
        pids = [pid for pid in process_ids() if word in text_of(PROC / str(pid) / "environ")]
        return [pid for pid in pids if not command_name(pid).startswith(ENGINE)]


@contextmanager
def under_way(scenario: Path, out: Path, log: Path, *arguments: str) -> Iterator[UnderWay]:
    """A run of the scenario under way; killed at the end of the block if it still is."""
    mark = uuid4().hex
    with log.open("wb") as file:
        process = subprocess.Popen(
            [*OWN_SIGNALS, *COMMAND, "run", str(scenario), "--out", str(out), *arguments],
            cwd=ROOT,
            env=os.environ | {MARK: mark},
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
        )
    try:
        yield UnderWay(process, out, log, mark)
    finally:
        if process.poll() is None:
            process.kill()
        process.wait(30)


def wait_for_phase(run: UnderWay, phase: Phase) -> None:
    """Return as soon as the run is in the phase.

    Raises:
        TestbedError: it has ended, or does not get there.
    """
    if phase in SAID:
        _wait(run, lambda: run.said(SAID[phase]), f"says {SAID[phase]!r}")
    if phase == "starting":
        _wait(run, lambda: _found(run, "link process"), "starts its link process")
    if phase in ("replaying", "accounting"):
        capture = _wait(run, lambda: _found(run, "capture"), "begins to capture")
        assert capture is not None
        before = frames_on_wire(capture)
        _wait(run, lambda: frames_on_wire(capture) >= before + UNDER_WAY_FRAMES, "puts frames on the wire")
        if phase == "accounting":
            _wait(run, lambda: Process.of(capture) is None, "ends its capture")
    if phase == "judging":
        _wait(run, lambda: manifest_status(run.out) not in (None, "running"), "ends its replays")
    if phase == "sealing":
        _wait(run, (run.out / "fidelity.json").exists, "judges")


def _wait(run: UnderWay, so: Callable[[], T], what: str) -> T:
    return wait_until(
        so,
        PHASE_TIMEOUT_S,
        POLL_S,
        possible=lambda: run.lives,
        or_raise=lambda: f"the run never {what}: {text_of(run.log)[-1000:]}",
    )


def frames_on_wire(capture: int) -> int:
    """How many frames the interface has seen that the process captures."""
    words = command_line(capture)
    interface = words[words.index("-i") + 1] if "-i" in words else ""
    for line in text_of(PROC / str(capture) / "net" / "dev").splitlines():
        name, _, counted = line.partition(":")
        if name.strip() == interface:
            received, sent = (int(word) for word in counted.split()[1::8])
            return received + sent
    return 0


def manifest_status(out: Path) -> str | None:
    """What a run's manifest says of how it ended; ``None`` if there is none."""
    try:
        return str(json.loads((out / "manifest.json").read_text())["status"])
    except (OSError, ValueError, KeyError):
        return None


def inject(run: UnderWay, cell: Cell) -> float:
    """Let the fault happen now; return when it began, of ``time.monotonic()``.

    Raises:
        TestbedError: what it would happen to is not there.
    """
    fault = cell.fault
    held = cell.phase in BRIEF and fault.target != "run"
    if held:
        run.process.send_signal(signal.SIGSTOP)
    try:
        if cell.phase == "starting" and fault.target == "tier":
            run.process.send_signal(signal.SIGCONT)  # which is there in a moment
        pid, began_s = _happen(run, fault)
    finally:
        if held:
            run.process.send_signal(signal.SIGCONT)
    if fault.act == "stop":
        time.sleep(STOPPED_S)
        with suppress(ProcessLookupError):  # the run may have ended it
            os.kill(pid, signal.SIGCONT)
    return began_s


def _happen(run: UnderWay, fault: Fault) -> tuple[int, float]:
    """Let the fault begin; return the process that it happens to, and when that was."""
    if fault.act == "fill":
        began_s = time.monotonic()
        fill(run.out.parent)
        return 0, began_s
    pid = wait_until(
        lambda: pid_of(fault.target, run),
        TARGET_TIMEOUT_S,
        POLL_S,
        possible=lambda: run.lives,
        or_raise=f"the run has no {fault.target}",
    )
    assert pid is not None
    began_s = time.monotonic()
    os.kill(pid, signal.SIGSTOP if fault.act == "stop" else fault.number or signal.SIGKILL)
    return pid, began_s


def pid_of(target: Target, run: UnderWay) -> int | None:
    """The process id of a part of the run, or of what it rests on."""
    if target == "run":
        return run.process.pid
    if target == "engine":
        return own_engine()
    if target == "tier":
        container = tier()
        return None if container is None else container.attrs["State"]["Pid"] or None
    return _found(run, target)


def _found(run: UnderWay, target: Target) -> int | None:
    """The process on the host that is the run's link process, or its capture."""
    for pid in run.processes():
        words = command_line(pid)
        if LINK_PROCESS in words if target == "link process" else words[:1] == ["tcpdump"]:
            return pid
    return None


def tier() -> Container | None:
    """The container that faults of a tier happen to."""
    found = engine().containers.list(filters={"label": RUN_LABEL, "name": TIER}, ignore_removed=True)
    return found[0] if found else None


def own_engine() -> int | None:
    """The process id of the Docker engine, if the testbed started it; others are not ours to kill."""
    try:
        process = Process(**json.loads(HOST.record.read_text()))
    except (OSError, ValueError, TypeError):
        return None
    return process.pid if process.lives else None


def fill(directory: Path) -> None:
    """Fill the disk of a directory, to the last byte."""
    with (directory / "others").open("wb", buffering=0) as file:
        for block in (1 << 20, 1 << 12, 1):
            try:
                while True:
                    file.write(bytes(block))
            except OSError:
                continue
