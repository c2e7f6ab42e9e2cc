"""The Vagrantfile's way from an empty disk to a demo, in a machine under QEMU: ``python3 -m tests.vagrant``.

Vagrant and its box are not needed: the disk is made from a Debian mirror, and what is done in the machine is
read from the Vagrantfile. Without KVM the machine's CPUs are emulated, and everything takes ten times longer
or more. With ``--keep DIR`` the disk, the log and what was done stay there, and the same command goes on.
Needs root, Linux on x86-64, 12 GB of room, and
    apt-get install qemu-system-x86 mmdebstrap e2fsprogs openssh-client rsync
"""

from __future__ import annotations

import argparse
import shlex
import sys
import time
from pathlib import Path

from tests.vagrant.disk import USER, make_disk
from tests.vagrant.machine import Machine, booted
from tests.vagrant.settings import exported
from tests.vagrant.trial import DEMO, DEMO_LINES, Trial, conduct, copy_checkout, provisioned
from tests.vagrant.vagrantfile import Asked, read_vagrantfile

NEEDED = {
    "qemu-system-x86_64": "qemu-system-x86", "mmdebstrap": "mmdebstrap", "mke2fs": "e2fsprogs",
    "ssh": "openssh-client", "ssh-keygen": "openssh-client", "rsync": "rsync",
}  # fmt: skip


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
    return conduct(NEEDED, options.keep, options.minutes, lambda trial: take_steps(trial, asked, options))


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
            return provisioned(said)

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
    way = shlex.join(machine.ssh("root"))
    copy_checkout(asked.excluded, USER, f"127.0.0.1:{asked.copied_to}", "-e", way)
    return machine.answer(f"du -sh {asked.copied_to}")


def carried_out(trial: Trial, machine: Machine, user: str, command: str) -> list[str]:
    """The lines that a command in the machine printed.

    Raises:
        StepFailed: its exit status is not 0, or there was no time left.
    """
    return trial.carried_out(
        f"{user}: {command}", lambda log, limit_s: machine.run(user, command, log, limit_s)
    )


def taken(kept: Path) -> str:
    """What the disk takes of the host."""
    return f"{(kept / 'disk.raw').stat().st_blocks * 512 / 1e9:.1f} GB"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
