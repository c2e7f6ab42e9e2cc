"""``testbed run``: runs a scenario, or says what a run would be, and holds it against what is expected."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from testbed.commands import reports
from testbed.commands.arguments import ScenarioPath, Vm, listed_names, shown
from testbed.commands.expected import Expect, read_expectations, require_expected
from testbed.console import Quiet, Reporter
from testbed.errors import TestbedError
from testbed.host.processes.program import end

if TYPE_CHECKING:
    from testbed.results.directory import RunDirectory
    from testbed.scenario.scenario import Scenario


def run(
    scenario: ScenarioPath,
    methods: Annotated[str | None, typer.Option(help="Run only these methods, in this order: a,b")] = None,
    requests: Annotated[int | None, typer.Option(help="Number of requests to replay.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of the trace, the policies and the losses.")] = None,
    overrides: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="KEY.PATH=VALUE", help="Replace a value: links.core.loss=1%. Repeatable."
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="New directory for the run; by default results/<scenario>-<UTC time>.")
    ] = None,
    expect: Expect = None,
    quiet: Annotated[
        bool,
        typer.Option("--quiet", "-q", help="Print the run directory and what speaks against the run alone."),
    ] = False,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run", help="Say what would be made and how long it takes. Exit status 2 if it is refused."
        ),
    ] = False,
    vm: Vm = None,
) -> None:
    """Run a scenario and print its chief tables. All that was measured is kept in a run directory.

    Exit status 1 also if the run is not as --expect has it.
    """
    from testbed.scenario.scenario import load_scenario

    with _refusal(2 if dry_run else 1):
        loaded = load_scenario(
            scenario, overrides or (), methods=listed_names(methods), requests=requests, seed=seed
        )
        expected = read_expectations(expect, loaded)
        if dry_run:
            _tell_ahead(loaded, out)
            return
    directory = _run(loaded, out, quiet)
    if quiet:
        _tell_quietly(directory)
    else:
        reports.show_run(directory, brief=True)
        reports.draw_run(directory, page=True)
    require_expected(expected, directory, quiet=quiet)


@contextmanager
def _refusal(status: int) -> Iterator[None]:
    """End the program with this status if the block refuses what a user gave."""
    try:
        yield
    except TestbedError as error:
        end("testbed", str(error), status)


def _tell_ahead(scenario: Scenario, out: Path | None) -> None:
    from testbed.orchestrator.dry_run import look_ahead

    lines = list(look_ahead(scenario, out))  # whole, or a refusal alone
    typer.echo(f"{scenario.name}: a run would be, and nothing was started:")
    before = ""
    for what, line in lines:
        typer.echo(f"{'' if what == before else what:>12}  {line}")
        before = what


def _run(scenario: Scenario, out: Path | None, quiet: bool) -> RunDirectory:
    from testbed.orchestrator.run import run as run_scenario
    from testbed.report.live import Live, suits

    reporter: Reporter = Quiet() if quiet else Reporter()
    if not quiet and suits(reporter.console):
        reporter = Live(reporter.console)
    return run_scenario(scenario, out, reporter)


def _tell_quietly(directory: RunDirectory) -> None:
    """The run directory on standard output; on standard error, a line for each verdict that is false."""
    from testbed.results.run import Run

    reports.write_page(Run(directory))
    for claim, reasons in directory.read_fidelity()["reasons"].items():
        if reasons:
            more = f" (and {len(reasons) - 1} more in fidelity.json)" if len(reasons) > 1 else ""
            typer.echo(f"testbed: {claim} may not be believed: {reasons[0]}{more}", err=True)
    typer.echo(shown(directory.path))
