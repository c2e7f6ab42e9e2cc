"""From an empty directory to a demo on Debian 13 or Ubuntu 24.04: ``python3 -m tests.vagrant.chroot trixie``.

The smallest system of that release is made from a mirror, and the checkout is copied into it. There, on this
host's kernel, with processes, mounts and a container engine of its own, root does what the Vagrantfile
provisions with (in this host's network), then runs the demo (in a network of its own). Nothing of it stays;
with --keep DIR the system, the log and what was done stay there, and the same command goes on.
TORCH_INDEX_URL, TORCH_CUDA, proxies, and the settings of pip and apt are passed on.
Needs root, Linux, 14 GB of room below TMPDIR or DIR, and
    apt-get install mmdebstrap rsync debian-archive-keyring
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tests.vagrant.settings import exported
from tests.vagrant.tree import SYSTEMS, Tree, make_tree
from tests.vagrant.trial import DEMO, DEMO_LINES, Trial, conduct, copy_checkout, provisioned
from tests.vagrant.vagrantfile import Asked, read_vagrantfile

SCENARIO = "scenarios/quickstart.yaml"
"""The demo's, whose data set is fetched before: where the demo runs no registry is in reach."""
NEEDED = {"mmdebstrap": "mmdebstrap", "rsync": "rsync", "unshare": "util-linux", "dpkg-deb": "dpkg"}


def main(arguments: list[str]) -> int:
    """Take the steps; 0 if all were taken, 1 if one failed, 2 if the host lacks something."""
    parser = argparse.ArgumentParser(
        prog="python3 -m tests.vagrant.chroot",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("release", choices=SYSTEMS, help=", ".join(f"{n}: {s}" for n, s in SYSTEMS.items()))
    parser.add_argument("--keep", type=Path, metavar="DIR", help="go on there, and leave all there")
    parser.add_argument("--mirror", help="mirror of Debian or Ubuntu (default: their own)")
    parser.add_argument("--minutes", type=float, default=180, help="end after so long (default: %(default)s)")
    options = parser.parse_args(arguments)
    return conduct(NEEDED, options.keep, options.minutes, lambda trial: take_steps(trial, options))


def take_steps(trial: Trial, options: argparse.Namespace) -> None:
    """From an empty directory to the demo.

    Raises:
        StepFailed: one was not done.
    """
    asked = read_vagrantfile()
    tree = Tree(trial.kept / "tree")

    def system() -> str:
        make_tree(trial.kept, options.release, options.mirror)
        return f"{SYSTEMS[options.release]}, {tree.size()}"

    def copy() -> str:
        copy_checkout(asked.excluded, "root", f"{tree.path}{asked.copied_to}")
        return "done"

    def carried_out(command: str) -> list[str]:
        return trial.carried_out(command, lambda log, limit_s: tree.run(command, log, limit_s))

    def data() -> str:
        carried_out(f"cd {asked.copied_to} && .venv/bin/testbed run {SCENARIO} --dry-run")
        return "there"

    def demo() -> str:
        said = carried_out(f"cd {asked.copied_to} && .ci/apart {DEMO}")
        return "\n".join(said[-DEMO_LINES:])

    trial.step("system", system)
    trial.step("copy", copy)
    trial.step("provision", lambda: provisioned(carried_out(provision(asked))))
    trial.step("data", data)
    trial.step("demo", demo)
    print(f"{tree.size()} of the disk used", flush=True)


def provision(asked: Asked) -> str:
    """The Vagrantfile's command, after which the container engine is stopped with its images written."""
    stop = f"cd {asked.copied_to} && .venv/bin/python -m testbed.host.engine stop"
    return f"({exported(asked.passed_on)} {asked.provision}) && {stop}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
