"""What the Vagrantfile says, so that the trial does that and not a copy of it."""

from __future__ import annotations

import re
from dataclasses import dataclass

from tests import ROOT

BOXES = {"debian/bookworm64": "bookworm"}


@dataclass(frozen=True)
class Asked:
    """The machine that the Vagrantfile asks for, and what is done in it."""

    release: str
    hostname: str
    cpus: int
    memory_mb: int
    excluded: tuple[str, ...]
    """What of the checkout is not copied (``rsync --exclude``)."""
    copied_to: str
    provision: str
    """The command that root runs once the checkout is there."""
    passed_on: tuple[str, ...]
    """Variables that this command has from the host's environment."""


def read_vagrantfile() -> Asked:
    """Read the Vagrantfile.

    Raises:
        ValueError: it is not written as this module reads it.
    """
    text = (ROOT / "Vagrantfile").read_text()

    def found(pattern: str) -> str:
        match = re.search(pattern, text, re.DOTALL)
        if match is None:
            raise ValueError(f"the Vagrantfile has no {pattern}; mend tests/vagrant/vagrantfile.py with it")
        return match[1]

    return Asked(
        release=BOXES[found(r'vm\.box = "([^"]*)"')],
        hostname=found(r'vm\.hostname = "([^"]*)"'),
        cpus=int(found(r'"TESTBED_CPUS", "(\d+)"')),
        memory_mb=int(found(r'"TESTBED_MEMORY_MB", "(\d+)"')),
        excluded=tuple(re.findall(r'"([^"]*)"', found(r"rsync__exclude: \[([^\]]*)\]"))),
        copied_to=found(r'synced_folder "\.", "([^"]*)", type: "rsync"'),
        provision=found(r'inline: "([^"]*)"'),
        passed_on=tuple(found(r"passed_on = %w\[([^\]]*)\]").split()),
    )
