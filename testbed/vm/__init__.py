"""A machine that can: user-mode Linux, a kernel in a process, with netem, ifb and Open vSwitch.

It boots in about two seconds, sees the host's whole file system, and runs one command as if it had run
outside: output arrives as it is written, exit status and files come back, Ctrl-C goes in. Nothing of it
outlives the call. It has one CPU and no network to the outside::

    from testbed.vm import run_in_vm
    status = run_in_vm([sys.executable, "-m", "pytest", "-m", "netem"])

    python -m testbed.vm -- .venv/bin/pytest -m netem            # the same from a shell
    python -m testbed.vm --docker -- .venv/bin/testbed run …     # with a Docker engine and the tier image
    python -m testbed.vm --ovs -- ovs-vsctl show                 # with Open vSwitch's daemons

``run_in_vm(…, disk=ensure_disk(image))`` starts Docker on a disk that was prepared with that image;
each run sees it as it was prepared. The command finds the environment that :func:`passed_environment`
lets through and nothing else: no key, token or proxy of the user's enters.
"""

from __future__ import annotations

from testbed.vm.console import passed_environment
from testbed.vm.disk import ensure_disk
from testbed.vm.machine import run_in_vm
from testbed.vm.registry import Machine, find_machines, kill_machine
from testbed.vm.requirements import vm_available

__all__ = [
    "Machine",
    "ensure_disk",
    "find_machines",
    "kill_machine",
    "passed_environment",
    "run_in_vm",
    "vm_available",
]
