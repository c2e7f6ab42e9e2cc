"""Boot a machine, run one command in it, and leave nothing of it, however it ends."""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from testbed.errors import TestbedError
from testbed.vm.console import file_mode_mask, is_terminal, passed_environment, same_file, terminal_size
from testbed.vm.process import BOOT_TIMEOUT_S, END_TIMEOUT_S, Running
from testbed.vm.registry import PREFIX, Machine, machines_directory, start_time
from testbed.vm.requirements import memory_for_machine, uml_kernel, vm_available

GRACE_S = 90.0
"""Between a signal that asks the command to end and the end of the machine."""

_NO_DOCKER = {"DOCKER_HOST": "unix:///run/no-docker-in-this-machine.sock"}
"""Without an engine of its own, the machine must not start one on the host's images."""


def run_in_vm(
    argv: Sequence[str],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    mem_mb: int | None = None,
    disk: Path | None = None,
    docker: bool | None = None,
    ovs: bool = False,
    timeout_s: float | None = None,
    grace_s: float = GRACE_S,
    stdout: int = 1,
    stderr: int = 2,
) -> int:
    """Run ``argv`` as root in a machine of its own and return its exit status, 128 + n if signal n killed it.

    Args:
        cwd: where it runs, the same directory as outside; the current one by default.
        env: set for it beside what :func:`passed_environment` lets through, which is all it gets.
        mem_mb: memory of the machine in MiB; by default what the host can spare, at most 6 GiB.
        disk: one made by ``ensure_disk``; the machine works on a copy-on-write view of it.
        docker: start a Docker engine on that disk, as is the default if there is one; where there is none,
            none can be started by mistake on the host's data either.
        ovs: start Open vSwitch's daemons.
        timeout_s: after which the command is asked to end as by SIGTERM.
        grace_s: after a signal, until the machine is ended with the command in it.
        stdout, stderr: descriptors to write to; a terminal there is a terminal inside.

    SIGINT and SIGTERM are passed on to the command, and a second one ends the machine at once. A terminal
    that goes away and a reader of the output that does are a SIGTERM to it. Its standard input is empty.

    Raises:
        TestbedError: no machine can be had here, or it did not boot, or died.
    """
    if reasons := vm_available():
        raise TestbedError("no user-mode Linux machine can be started: " + "; ".join(reasons))
    docker = disk is not None if docker is None else docker
    if docker and disk is None:
        raise TestbedError("a Docker engine in the machine needs a disk; make one with ensure_disk")
    with _directory() as machine:
        spec = {
            "argv": list(argv),
            "cwd": str(cwd or Path.cwd()),
            "env": {**passed_environment(os.environ), **({} if docker else _NO_DOCKER), **(env or {})},
            "modules": str(uml_kernel().modules),
            "docker": docker,
            "ovs": ovs,
            "size": terminal_size(stdout, stderr),
            "umask": file_mode_mask(),
            "output_is_terminal": is_terminal(stdout),
            "errors_are_terminal": is_terminal(stderr),
            "errors_to_output": same_file(stdout, stderr),
        }
        (machine.directory / "spec.json").write_text(json.dumps(spec))
        with Running(machine, disk, memory_for_machine(mem_mb), grace_s) as running:
            running.relay(stdout, stderr, timeout_s)
        return _outcome(machine, running)


@contextlib.contextmanager
def _directory() -> Iterator[Machine]:
    """A new machine's directory, gone at the end."""
    home = machines_directory()
    name = f"{PREFIX}{secrets.token_hex(4)}"
    try:
        (home / name).mkdir(parents=True, mode=0o700)
    except OSError as error:
        raise TestbedError(f"cannot write to {home} ({error.strerror}); make it writable") from error
    machine = Machine(name, home / name, os.getpid(), start_time(os.getpid()) or 0)
    try:
        machine.save()
        yield machine
    finally:
        shutil.rmtree(machine.directory, ignore_errors=True)


def _outcome(machine: Machine, running: Running) -> int:
    if running.signals and len(running.signals) > 1:
        return 128 + running.signals[0]
    try:
        outcome = json.loads((machine.directory / "outcome.json").read_text())
    except (OSError, ValueError):
        if running.signals:
            return 128 + running.signals[0]
        raise TestbedError(_epitaph(running)) from None
    if "error" in outcome:
        raise TestbedError(f"in the user-mode Linux machine: {outcome['error']}")
    return int(outcome["status"])


_CAUSES = ("panic", "out of memory", "cannot|can't", "failed|error")


def _epitaph(running: Running) -> str:
    if running.ending:
        late = f" in {END_TIMEOUT_S:.0f} s" if running.timed_out else ""
        return (
            f"the command ended, and its exit status did not come out of the user-mode Linux machine{late}; "
            "files that it wrote may not be whole: run it again"
        )
    said = [line.strip() for line in running.log.decode(errors="replace").splitlines() if line.strip()]
    telling = (line for cause in _CAUSES for line in said if re.search(cause, line, re.IGNORECASE))
    words = next(telling, said[-1] if said else "it said nothing")[:200]
    if not running.up:
        late = f" in {BOOT_TIMEOUT_S:.0f} s" if running.timed_out else ""
        return (
            f"the user-mode Linux machine did not boot{late} ({words}); allow ptrace, and give /dev/shm "
            "room and exec (in a container: --cap-add SYS_PTRACE --shm-size 8g)"
        )
    return f"the user-mode Linux machine died ({words}); give it more memory if it had too little"
