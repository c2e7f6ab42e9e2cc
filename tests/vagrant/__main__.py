"""The Vagrantfile's way from an empty disk to a demo, in a machine under QEMU: ``python3 -m tests.vagrant``.

Vagrant and its box are not needed: the disk is made from a Debian mirror, and what is done in the machine is
read from the Vagrantfile. Without KVM the machine's CPUs are emulated, and everything takes ten times longer
or more. With ``--keep DIR`` the disk, the log and what was done stay there, and the same command goes on.
Needs root, Linux on x86-64, 12 GB of room, and
    apt-get install qemu-system-x86 mmdebstrap e2fsprogs openssh-client rsync
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
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
from tests.vagrant.disk import USER, make_disk
from tests.vagrant.machine import Machine, booted
from tests.vagrant.settings import exported
from tests.vagrant.vagrantfile import Asked, read_vagrantfile

NEEDED = {
    "qemu-system-x86_64": "qemu-system-x86", "mmdebstrap": "mmdebstrap", "mke2fs": "e2fsprogs",
    "ssh": "openssh-client", "ssh-keygen": "openssh-client", "rsync": "rsync",
}  # fmt: skip
DEMO = 'make demo ARGS="--requests 5"'
DEMO_LINES = 30
"""So many of its last lines have the chief tables and the verdicts."""


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


def main(arguments: list[str]) -> int:
    """Take the steps; 0 if all were taken, 1 if one failed, 2 if the host lacks something."""
    asked = read_vagrantfile()
    parser = argparse.ArgumentParser(
        prog="python3 -m tests.vagrant",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--keep", type=Path, metavar="DIR", help="go on there, and leave disk and logs there")
    parser.add_argument("--release", default=asked.release, help="Debian's release (default: the box's)")
    parser.add_argument("--mirror", help="Debian mirror (default: mmdebstrap's)")
    parser.add_argument("--cpus", type=int, default=asked.cpus)
    parser.add_argument("--memory-mb", type=int, default=asked.memory_mb)
    parser.add_argument("--disk-gb", type=int, default=20, help="the disk's size; it takes what is written")
    parser.add_argument("--minutes", type=float, default=600, help="end after so long (default: %(default)s)")
    options = parser.parse_args(arguments)
    lacking = sorted({package for tool, package in NEEDED.items() if not _there(tool)})
    if lacking or os.geteuid() != 0:
        print(
            f"needs root and: apt-get install {' '.join(lacking)}" if lacking else "needs root",
            file=sys.stderr,
        )
        return 2
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with tempfile.TemporaryDirectory(prefix="vagrant-") as own:
        kept = (options.keep or Path(own)).absolute()
        kept.mkdir(parents=True, exist_ok=True)
        trial = Trial(kept, time.monotonic() + 60 * options.minutes)
        try:
            take_steps(trial, asked, options)
        except (StepFailed, TimeoutError, subprocess.SubprocessError) as error:
            print(f"not done: {error}", file=sys.stderr)
            return 1
        print(f"all done in {sum(float(str(step['minutes'])) for step in trial.steps.values()):.1f} min")
    return 0


def take_steps(trial: Trial, asked: Asked, options: argparse.Namespace) -> None:
    """From an empty disk to the demo.

    Raises:
        StepFailed: one was not done.
        TimeoutError: the machine did not boot.
    """

    def disk() -> str:
        make_disk(trial.kept, options.release, options.mirror, options.disk_gb, asked.hostname)
        return taken(trial.kept)

    trial.step("disk", disk)
    began = time.monotonic()
    with booted(trial.kept, options.cpus, options.memory_mb, min(1800, trial.left_s())) as machine:
        booted_min = (time.monotonic() - began) / 60
        print(f"booted in {booted_min:.1f} min by {machine.accelerator}: {machine.answer('uname -a; nproc')}")
        trial.step("copy", lambda: copy(machine, asked))

        def provision() -> str:
            said = carried_out(trial, machine, "root", f"{exported(asked.passed_on)} {asked.provision}")
            return "\n".join(line for line in said if line.startswith(("==>", "    done")))

        def demo() -> str:
            said = carried_out(trial, machine, USER, f"cd {asked.copied_to} && sudo {DEMO}")
            return "\n".join(said[-DEMO_LINES:])

        try:
            trial.step("provision", provision)
            trial.step("demo", demo)
        finally:
            print(machine.answer("df -h --output=used,size / | tail -n 1"), "of the disk used", flush=True)


def copy(machine: Machine, asked: Asked) -> str:
    """The checkout to where Vagrant would copy it."""
    excluded = [f"--exclude={name}" for name in asked.excluded]
    command = [
        "rsync",
        "-a",
        f"--chown={USER}:{USER}",
        "--delete",
        *excluded,
        "-e",
        shlex.join(machine.ssh("root")),
    ]
    subprocess.run([*command, f"{ROOT}/", f"127.0.0.1:{asked.copied_to}"], timeout=1800, check=True)
    return machine.answer(f"du -sh {asked.copied_to}")


def carried_out(trial: Trial, machine: Machine, user: str, command: str) -> list[str]:
    """The lines that a command in the machine printed; they are in the log as it goes.

    Raises:
        StepFailed: its exit status is not 0, or there was no time left.
    """
    log = trial.kept / "log.txt"
    with log.open("a") as header:
        header.write(f"\n=== {user}: {command}\n")
    start = log.stat().st_size
    status = machine.run(user, command, log, trial.left_s())
    said = log.read_bytes()[start:].decode(errors="replace").splitlines()
    if status != 0:
        why = "no time left" if status == 124 else f"status {status}"
        raise StepFailed("\n".join([f"{command}: {why}; it said last:", *said[-15:]]))
    return said


def taken(kept: Path) -> str:
    """What the disk takes of the host."""
    return f"{(kept / 'disk.raw').stat().st_blocks * 512 / 1e9:.1f} GB"


def _there(tool: str) -> bool:
    return shutil.which(tool, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin") is not None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
