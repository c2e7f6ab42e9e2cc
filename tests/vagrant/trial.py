"""A trial: its steps, their times and its log in a directory, and what a call does around them."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests import ROOT

DEMO = 'make demo ARGS="--requests 5"'
DEMO_LINES = 30
"""So many of its last lines have the chief tables and the verdicts."""
NO_TIME_LEFT = 124
"""The status of a command that was stopped at its limit."""


class StepFailed(Exception):
    """A step was not done; the words say which and why."""


@dataclass
class Trial:
    """What was done in a directory, over all calls, and how long this call may take."""

    kept: Path
    until: float

    def __post_init__(self) -> None:
        self.record = self.kept / "steps.json"
        self.steps: dict[str, dict[str, object]] = {}
        if self.record.exists():
            self.steps = json.loads(self.record.read_text())

    def left_s(self) -> float:
        """Seconds that this call has left."""
        return max(0.0, self.until - time.monotonic())

    def step(self, name: str, work: Callable[[], str]) -> None:
        """Do a step unless an earlier call did, and note its time, also if it is broken off.

        Raises:
            StepFailed: it was not done.
        """
        known = self.steps.setdefault(name, {"done": False, "minutes": 0.0})
        if known["done"]:
            print(f"{name}: done before, in {known['minutes']:.1f} min", flush=True)
            return
        print(f"{name} …", flush=True)
        began = time.monotonic()
        try:
            known["said"] = work()
            known["done"] = True
        finally:
            known["minutes"] = float(str(known["minutes"])) + (time.monotonic() - began) / 60
            self.record.write_text(json.dumps(self.steps, indent=1))
        print(f"{known['said']}\n    {known['minutes']:.1f} min", flush=True)

    def carried_out(self, header: str, run: Callable[[Path, float], int]) -> list[str]:
        """The lines that a command printed; they are in the log as it goes, below a header.

        Args:
            run: runs it with its output at the end of a file, for so many seconds; its exit status.

        Raises:
            StepFailed: its exit status is not 0, or there was no time left.
        """
        log = self.kept / "log.txt"
        with log.open("a") as file:
            file.write(f"\n=== {header}\n")
        start = log.stat().st_size
        status = run(log, self.left_s())
        said = log.read_bytes()[start:].decode(errors="replace").splitlines()
        if status != 0:
            why = "no time left" if status == NO_TIME_LEFT else f"status {status}"
            raise StepFailed("\n".join([f"{header}: {why}; it said last:", *said[-15:]]))
        return said


def provisioned(said: list[str]) -> str:
    """Of what testbed/provision.sh said, its steps and their times."""
    return "\n".join(line for line in said if line.startswith(("==>", "    done")))


def conduct(
    needed: dict[str, str], keep: Path | None, minutes: float, take_steps: Callable[[Trial], None]
) -> int:
    """Take the steps of a trial; 0 if all were taken, 1 if one failed, 2 if the host lacks something.

    Args:
        needed: Debian package of each command that the host must have.
        keep: directory that stays; without it, one that does not.
        minutes: so long may this call take.
        take_steps: may raise StepFailed, TimeoutError or SubprocessError.
    """
    lacking = sorted({package for tool, package in needed.items() if not _there(tool)})
    if lacking or os.geteuid() != 0:
        print(
            f"needs root and: apt-get install {' '.join(lacking)}" if lacking else "needs root",
            file=sys.stderr,
        )
        return 2
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with tempfile.TemporaryDirectory(prefix="vagrant-") as own:
        kept = (keep or Path(own)).absolute()
        kept.mkdir(parents=True, exist_ok=True)
        trial = Trial(kept, time.monotonic() + 60 * minutes)
        try:
            take_steps(trial)
        except (StepFailed, TimeoutError, subprocess.SubprocessError) as error:
            print(f"not done: {error}", file=sys.stderr)
            return 1
        except KeyboardInterrupt:
            print("stopped", file=sys.stderr)
            return 130
        print(f"all done in {sum(float(str(step['minutes'])) for step in trial.steps.values()):.1f} min")
    return 0


def copy_checkout(excluded: tuple[str, ...], owner: str, to: str, *options: str) -> None:
    """The checkout to where Vagrant would copy it, by rsync and its options."""
    left_out = [f"--exclude={name}" for name in excluded]
    command = ["rsync", "-a", f"--chown={owner}:{owner}", "--delete", *left_out, *options]
    subprocess.run([*command, f"{ROOT}/", to], timeout=1800, check=True)


def _there(tool: str) -> bool:
    return shutil.which(tool, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin") is not None
