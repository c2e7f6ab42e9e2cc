"""Where a scenario runs: on this kernel if it can shape the links, else in user-mode Linux."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

from testbed.console import Reporter
from testbed.errors import TestbedError
from testbed.event_checks import under_events
from testbed.flow import require_iperf3
from testbed.host import can_shape, in_user_mode_linux
from testbed.results import RunDirectory
from testbed.scenario import Scenario, load_scenario, with_methods, with_requests, with_seed
from testbed.topology import build_topology

Vm = Literal["auto", "always", "never"]


def load(
    path: Path, methods: str | None, requests: int | None, seed: int | None, overrides: Sequence[str]
) -> Scenario:
    """The scenario as the command line has it.

    Raises:
        TestbedError: in one sentence, before anything starts.
    """
    scenario = load_scenario(path, overrides)
    if methods is not None:
        scenario = with_methods(scenario, [name.strip() for name in methods.split(",") if name.strip()])
    if requests is not None:
        scenario = with_requests(scenario, requests)
    if seed is not None:
        scenario = with_seed(scenario, seed)
    return scenario


def launch(scenario: Scenario, arguments: Sequence[str], out: Path | None, vm: Vm) -> RunDirectory | None:
    """Run ``scenario`` where it can run; ``None`` if it ran, and printed its tables, in the machine.

    Raises:
        TestbedError: neither this kernel nor user-mode Linux will do, or the run failed.
        SystemExit: with the status of a run in the machine that failed.
    """
    require_iperf3(scenario.events)
    reasons = can_shape(under_events(scenario.events, build_topology(scenario)))
    if vm == "never" or (vm == "auto" and not reasons) or in_user_mode_linux():
        from testbed.run import run

        return run(scenario, out, Reporter())
    _run_in_machine(scenario, arguments, reasons if vm == "auto" else [])
    return None


def _run_in_machine(scenario: Scenario, arguments: Sequence[str], reasons: Sequence[str]) -> None:
    """Prepare everything that needs the outside, then run the same command inside."""
    from testbed.run import prepare
    from testbed.trace import build_trace
    from testbed.vm.disk import ensure_disk

    def disk(reporter: Reporter) -> Path:
        image, _ = prepare(scenario, reporter)
        return ensure_disk(image, reporter.say)

    require_machine(reasons)
    build_trace(scenario)  # what is wrong with it is said before a machine boots
    run_in_machine(arguments, reasons, disk)


def require_machine(reasons: Sequence[str]) -> None:
    """
    Raises:
        TestbedError: no machine can be started here; with the first of ``reasons`` why one is needed.
    """
    from testbed.vm import vm_available

    if lacks := vm_available():
        why = f"{reasons[0]}, and " if reasons else ""
        raise TestbedError(f"{why}user-mode Linux will not do here: {'; '.join(lacks)}")


def run_in_machine(
    arguments: Sequence[str],
    reasons: Sequence[str] = (),
    prepare: Callable[[Reporter], Path | None] = lambda _: None,
) -> None:
    """Run ``testbed`` with these ``arguments`` in user-mode Linux, as the host's one run.

    Args:
        reasons: why not here; the first is said.
        prepare: what needs the outside is made by it; the disk that it returns, if any, comes with Docker.

    Raises:
        TestbedError: no machine can be had, or another run is going on.
        SystemExit: with the command's status, if that is not 0.
    """
    from testbed.clean import run_lock
    from testbed.run import new_run_id, terminable
    from testbed.vm import run_in_vm

    reporter = Reporter()
    require_machine(reasons)
    if reasons:
        reporter.say(f"{reasons[0]}: running in user-mode Linux")
    with terminable(), run_lock(new_run_id()):
        disk = prepare(reporter)
        command = [sys.executable, "-m", "testbed.cli", *_inside(arguments)]
        status = run_in_vm(command, cwd=Path.cwd(), disk=disk)
    if status != 0:
        raise SystemExit(status)


def _inside(arguments: Sequence[str]) -> list[str]:
    """The same arguments with ``--vm never``."""
    kept: list[str] = []
    words = iter(arguments)
    for word in words:
        if word == "--vm":
            next(words, None)
        elif not word.startswith("--vm="):
            kept.append(word)
    return [*kept, "--vm", "never"]
