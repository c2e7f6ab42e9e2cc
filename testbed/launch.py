"""Where a scenario runs: on this kernel if it can shape the links, else in user-mode Linux."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Literal

from testbed.assets import cache_dir
from testbed.console import Reporter
from testbed.errors import TestbedError
from testbed.event_checks import under_events
from testbed.flow import require_iperf3
from testbed.host import can_shape, in_user_mode_linux
from testbed.results import RunDirectory
from testbed.scenario import Scenario, load_scenario, with_methods, with_requests, with_seed
from testbed.topology import build_topology

Vm = Literal["auto", "always", "never"]
ITS_OWN = ("/run", "/dev", "/proc", "/sys", "/lib/modules", "/var/lib/docker")
"""Where :mod:`testbed.vm.init` mounts something of the machine's over what the host has."""


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


def launch(
    scenario: Scenario, arguments: Sequence[str], out: Path | None, vm: Vm, file: Path
) -> RunDirectory | None:
    """Run ``scenario`` where it can run; ``None`` if it ran, and printed its tables, in the machine.

    Args:
        arguments: of the command line, for the machine; ``file`` is the scenario's among them.

    Raises:
        TestbedError: neither this kernel nor user-mode Linux will do, or the run failed.
        SystemExit: with the status of a run in the machine that failed.
    """
    require_iperf3(scenario.events)
    reasons = can_shape(under_events(scenario.events, build_topology(scenario)))
    if vm == "never" or (vm == "auto" and not reasons) or in_user_mode_linux():
        from testbed.run import run

        return run(scenario, out, Reporter())

    def prepare(reporter: Reporter) -> Path:
        return _prepare(scenario, reporter)

    run_in_machine(arguments, reasons if vm == "auto" else [], prepare, out=out, files={"scenario": file})
    return None


def _prepare(scenario: Scenario, reporter: Reporter) -> Path:
    """All that needs the outside; what is wrong with trace or models is said before a machine boots."""
    from testbed.containers import container_specs
    from testbed.run import prepare
    from testbed.trace import build_trace
    from testbed.vm.disk import ensure_disk

    build_trace(scenario)
    image, models = prepare(scenario, reporter)
    container_specs(scenario, build_topology(scenario), models)  # fetches what a model hub has
    return ensure_disk(image, reporter.say)


def require_machine(reasons: Sequence[str]) -> None:
    """
    Raises:
        TestbedError: no machine can be started here; with the first of ``reasons`` why one is needed.
    """
    from testbed.vm import vm_available

    if lacks := vm_available():
        why = f"{reasons[0]}, and " if reasons else ""
        raise TestbedError(f"{why}user-mode Linux will not do here: {'; '.join(lacks)}")


def require_seen(paths: Mapping[str, Path]) -> None:
    """
    Raises:
        TestbedError: one of ``paths``, by what it is to the user, is where the machine has something of its
            own: what is there outside it does not see, and what it writes there is gone with it.
    """
    for what, path in paths.items():
        if any(path.resolve().is_relative_to(Path(own).resolve()) for own in ITS_OWN):
            raise TestbedError(
                f"{what}: {path} is not seen by the user-mode Linux machine; name a directory on a disk"
            )


def run_in_machine(
    arguments: Sequence[str],
    reasons: Sequence[str] = (),
    prepare: Callable[[Reporter], Path | None] = lambda _: None,
    *,
    out: Path | None = None,
    files: Mapping[str, Path] | None = None,
) -> None:
    """Run ``testbed`` with these ``arguments`` in user-mode Linux, as the host's one run.

    Args:
        reasons: why not here; the first is said.
        prepare: what needs the outside is made by it; the disk that it returns, if any, comes with Docker.
        out: the directory to make, as the user named it.
        files: what else the command reads, by what it is to the user.

    Raises:
        TestbedError: no machine can be had, it would not see a path, or another run is going on.
        SystemExit: with the command's status, if that is not 0.
    """
    from testbed.clean import run_lock
    from testbed.run import new_run_id
    from testbed.vm import run_in_vm

    reporter = Reporter()
    here = {"current directory": Path.cwd(), "TESTBED_CACHE": cache_dir()}
    require_seen({**here, **(files or {}), "--out": out or Path("results")})
    RunDirectory.check(out)
    require_machine(reasons)
    if reasons:
        reporter.say(f"{reasons[0]}: running in user-mode Linux")
    with run_lock(new_run_id()):
        disk = prepare(reporter)
        command = [sys.executable, "-m", "testbed.cli", *_inside(arguments)]
        status = run_in_vm(command, cwd=Path.cwd(), disk=disk)
    if status != 0:
        raise SystemExit(status)


def _inside(arguments: Sequence[str]) -> list[str]:
    """The same arguments with ``--vm never`` behind the command's name, where it is an option for certain."""
    command, *rest = arguments
    end = rest.index("--") if "--" in rest else len(rest)
    kept: list[str] = []
    words = iter(rest[:end])
    for word in words:
        if word == "--vm":
            next(words, None)
        elif not word.startswith("--vm="):
            kept.append(word)
    return [command, "--vm", "never", *kept, *rest[end:]]
