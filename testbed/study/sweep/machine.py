"""What a machine of a cluster does with a point: waits for its turn, runs it, and gives its run directory.

It knows nothing of Ray. The worker process that calls it has a low priority and threads of its own, so the
emulation is another process, as if a user had started it, with the priority of one.
"""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from testbed.errors import TestbedError
from testbed.host.cache import cache_dir, scratch_in
from testbed.host.facts import REPOSITORY
from testbed.host.processes.locking import exclusive
from testbed.host.processes.program import explained
from testbed.host.processes.reporting import silent
from testbed.host.processes.run_lock import RUNS, live_runs
from testbed.host.processes.signals import undisturbed
from testbed.host.processes.waiting import wait_until
from testbed.network.leftovers import remove_leftovers
from testbed.scenario.workload.datasets import Dataset
from testbed.study.sweep.alike import Alike, alike_here, difference
from testbed.study.sweep.packed import Sent, pack, packed_bytes

LONGEST_WAIT_S = 6 * 3600.0
"""For another run on the machine to end."""
LONGEST_END_S = 120.0
"""For a point that was cancelled to remove its network."""
SCENARIO, OUTCOME, RUN = "scenario.json", "outcome.json", "run"
"""In the directory of a point on a machine: what is to be run, how that ended, and the run directory."""
_POLL_S = 0.2
_PREFIX = ".point-"
_EMULATION = "testbed.study.sweep.emulation"
_GUARD = (
    "setpriv", "--pdeathsig", "KILL", "--",
    "sh", "-c", 'setpriv --pdeathsig TERM -- "$@" & wait $!', "point",
)  # fmt: skip
"""Put before a command. The command is asked to end (SIGTERM) when the guard is killed, which happens at the
latest when the worker ends. If the worker itself had started the command, Ray would kill it with the worker,
and its network would be left."""


@dataclass(frozen=True)
class Outcome:
    """How a point ended.

    Attributes:
        failure: why it could not be run; ``None`` if it was.
        unfit: ``failure`` is the machine's, not the point's: another one may run it.
        lost: ``failure`` was none of the point's either: its process was killed, say. It may be run again.
    """

    failure: str | None = None
    unfit: bool = False
    lost: bool = False


Item = Sent | bytes | Outcome


def unfitness(wanted: Alike, datasets: list[Dataset]) -> str | None:
    """Why this machine cannot run points of the sweep whose driver has ``wanted``; ``None`` if it can.

    A sentence without its subject, which is the machine.
    """
    if os.geteuid() != 0:
        return "runs Ray as an ordinary user, and a run needs root; start Ray there as root"
    try:
        return difference(alike_here(wanted.files, datasets), wanted)
    except TestbedError as error:
        return f"cannot be compared: {error}"


def run_point(scenario: Mapping[str, Any], wanted: Alike, datasets: list[Dataset]) -> Iterator[Item]:
    """Run a point here, and give what it left, in pieces, and then how it ended.

    If the block that iterates ends before that, or is interrupted, so is the emulation, which removes its
    network.

    Args:
        scenario: ``model_dump(mode="json")`` of it.
        wanted: what this machine must have.
    """
    _heed_interrupts()
    if why := unfitness(wanted, datasets):
        yield Outcome(why, unfit=True)
        return
    try:
        cache_dir().mkdir(parents=True, exist_ok=True)
        with (
            exclusive(RUNS / "point", "running a sweep's point", LONGEST_WAIT_S, silent),
            scratch_in(cache_dir(), _PREFIX) as folder,
        ):
            (folder / SCENARIO).write_text(json.dumps(scenario))
            outcome = _emulate(folder)
            if (folder / RUN).is_dir():
                yield Sent(packed_bytes(folder / RUN))
                yield from pack(folder / RUN)
            yield outcome
    except TestbedError as error:
        yield Outcome(str(error))
    except OSError as error:  # its disk is full, say
        yield Outcome(explained(error), lost=True)


def _heed_interrupts() -> None:
    """Have this process heed SIGINT, by which Ray cancels; what a script started with ``&`` ignores it."""
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _emulate(folder: Path) -> Outcome:
    """Run the point in a process, as soon as no other run is going on here."""
    give_up_s = time.monotonic() + LONGEST_WAIT_S
    while True:
        wait_until(
            lambda: not live_runs(),
            give_up_s - time.monotonic(),
            _POLL_S,
            or_raise=f"another run has been going on for {LONGEST_WAIT_S / 3600:.0f} hours; end it",
        )
        remove_leftovers()  # of a run that was killed together with its worker
        status = _run_guarded([sys.executable, "-m", _EMULATION, str(folder)], folder)
        try:
            told = json.loads((folder / OUTCOME).read_text())
        except FileNotFoundError:
            return _without_word(status)
        if not told["busy"]:
            return Outcome(told["failure"])
        (folder / OUTCOME).unlink()


def _without_word(status: int) -> Outcome:
    """What it means that the process ended and did not say how; 128 and more: by a signal."""
    remove_leftovers()
    if status >= 128:
        return Outcome(f"its process was ended by signal {status - 128}", lost=True)
    return Outcome(f"its process ended with status {status}; Ray's log of that worker has the reason")


def _run_guarded(command: list[str], folder: Path) -> int:
    """Run a command to its end, and return its exit status as a shell has it.

    If this is interrupted, the command is asked to end, and waited for.
    """
    environment = {key: value for key, value in os.environ.items() if not _is_of_ray(key)}
    modules = filter(None, (str(REPOSITORY), environment.get("PYTHONPATH")))
    guard = subprocess.Popen(
        [*_GUARD, *command],
        stdin=subprocess.DEVNULL,
        cwd=folder,
        env={**environment, "PYTHONPATH": os.pathsep.join(modules)},
        start_new_session=True,
    )
    try:
        # Polled, since Ray interrupts Python's interpreter, and no system call that waits.
        wait_until(lambda: guard.poll() is not None, math.inf, _POLL_S)
    except BaseException:
        with undisturbed():
            guard.kill()
            guard.wait()
            wait_until(lambda: not _group_lives(guard.pid), LONGEST_END_S, _POLL_S)
        raise
    return guard.returncode if guard.returncode >= 0 else 128 - guard.returncode


def _group_lives(group: int) -> bool:
    """Whether a process of the group is there."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def _is_of_ray(variable: str) -> bool:
    """Whether an environment variable is one that Ray gives to workers, and no user gave to a run."""
    return variable.startswith("RAY_") or variable == "OMP_NUM_THREADS"
