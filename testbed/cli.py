"""The command line: reads arguments, calls the function that does the work, prints the result."""

from __future__ import annotations

import io
import os
import signal
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from testbed.commands import models, network, reports, study, traces
from testbed.commands.arguments import NATIVELY, RunPath, Vm, listed_names, shown
from testbed.commands.ended import told_first
from testbed.commands.run import run as run_scenario
from testbed.console import Reporter, widened
from testbed.errors import TestbedError, needs_extra, one_line
from testbed.host.processes.program import end, program

if TYPE_CHECKING:
    from testbed.results.directory import RunDirectory

app = typer.Typer(
    help="Measure what multi-tier LLM serving puts on an emulated wide-area network.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(models.app, name="models")
app.add_typer(traces.app, name="trace")

app.command()(run_scenario)
app.command()(reports.report)
app.command()(study.sweep)
app.command()(study.merge)
app.command()(study.compare)
app.command()(study.plan)
app.command()(network.serve)
app.command()(network.shell)


@app.command()
def packets(
    run: RunPath,
    method: Annotated[str, typer.Argument(help="A method of the run.", show_default=False)],
    link: Annotated[str, typer.Argument(help="A link, such as device1-edge1.", show_default=False)],
    request: Annotated[
        str | None, typer.Option(help="Print only the frames of the request with this id.")
    ] = None,
    direction: Annotated[str | None, typer.Option(help="Print only frames that go up, or down.")] = None,
    limit: Annotated[int | None, typer.Option(min=0, help="Print so many frames at most.")] = None,
) -> None:
    """Print a link's captured frames and what each byte is. Exit status 1 if the run's tables differ."""
    from testbed.report.captures import find_capture
    from testbed.report.packets import print_packets
    from testbed.results.directory import RunDirectory
    from testbed.scenario.topology import DIRECTIONS

    ways = {str(way): way for way in DIRECTIONS}
    if direction is not None and direction not in ways:
        raise TestbedError(f"--direction: must be up or down, not {direction!r}")
    way = None if direction is None else ways[direction]
    console = Console(highlight=False)
    with told_first(directory := RunDirectory.open(run), needs="requests.parquet"):
        capture = find_capture(directory, method, link)
        print_packets(capture, console, Reporter(), request_id=request, direction=way, limit=limit)


@app.command()
def audit(
    run: RunPath,
    wire: Annotated[
        bool, typer.Option("--wire", help="Count the captures' bytes again too, as scapy reads them (slow).")
    ] = False,
) -> None:
    """Compute every decision of a run again from what the nodes recorded. Exit status 1 if any differs.

    So it is if the run ended early, or no decision was recorded.
    """
    from testbed.results.directory import RunDirectory

    with told_first(directory := RunDirectory.open(run), needs="requests.parquet"):
        _audit(directory, wire)


def _audit(directory: RunDirectory, wire: bool) -> None:
    from testbed.report.sources import source_lines
    from testbed.results.audit import audit_run
    from testbed.results.fidelity import NO_DECISION

    audited = audit_run(directory)
    with directory.understood():
        for line in source_lines(directory.read_manifest()):
            typer.echo(one_line(f"made of {line}"))
    failures = []
    for difference in audited.differences:
        typer.echo(difference)
    if differ := len(audited.differences):
        failures.append(
            f"{differ} difference{'s' if differ > 1 else ''} "
            f"in {audited.decisions} decisions and the run's files"
        )
    elif not audited.decisions:
        failures.append(NO_DECISION)
    else:
        typer.echo(f"{audited.decisions} decisions audited, no difference; every file is as the run left it")
    if wire:
        failures += _audit_wire(directory)
    if failures:
        raise TestbedError(f"{directory.path}: {'; '.join(failures)}")


def _audit_wire(directory: RunDirectory) -> list[str]:
    """Print what scapy makes of the captures; return what failed."""
    from testbed.orchestrator.wire_audit import audit_wire

    audited = audit_wire(directory, Reporter())
    for line in (*audited.differences, *audited.lacks):
        typer.echo(line)
    if differ := len(audited.differences):
        return [
            f"{differ} difference{'s' if differ > 1 else ''} "
            "between its tables and scapy's reading of its captures"
        ]
    if audited.lacks:
        what = f"{audited.texts} prompts and answers compared, no difference; {len(audited.lacks)} incomplete"
    else:
        what = f"all complete; {audited.texts} prompts and answers and all sums compared, no difference"
    typer.echo(f"{audited.captures} captures read again by scapy: {what}")
    return []


@app.command()
def validate(
    short: Annotated[
        bool, typer.Option("--short", help="Send only as much traffic as each claim needs; about a minute.")
    ] = False,
    only: Annotated[str | None, typer.Option(help="Run only these checks: a,b")] = None,
    envelope: Annotated[
        bool,
        typer.Option("--envelope", help="Instead of the checks, search up to which load runs are valid."),
    ] = False,
    budget: Annotated[str, typer.Option(help="How long --envelope may search.")] = "10min",
    out: Annotated[Path | None, typer.Option(help="New directory for the results.")] = None,
    vm: Vm = None,
) -> None:
    """Check the emulator on this host against closed forms and known counts. Exit status 1 if any is off."""
    from testbed.report.checks import checks_table, envelope_table
    from testbed.validation import envelope as envelopes
    from testbed.validation.validate import validate

    if envelope:
        if short or only is not None:
            raise TestbedError("--envelope makes runs and no checks: leave out --short and --only")
        directory = envelopes.launch(budget, out)
        _print_table(envelope_table(directory.read_json("envelope.json")), directory)
        return
    directory = validate(listed_names(only), out, Reporter(), short=short)
    results = directory.read_json("validation.json")
    _print_table(checks_table(results), directory)
    if not results["passed"]:
        raise typer.Exit(1)


def _print_table(table: Table, directory: RunDirectory) -> None:
    widened(Console(), 150).print(table)
    typer.echo(f"all that was measured: {shown(directory.path)}")


@app.command()
def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")] = False,
) -> None:
    """Say what this host can do, what is missing, and how to mend it. Exit status 1 if nothing runs here."""
    from testbed.host.doctor import doctor as examine

    raise typer.Exit(examine(as_json=as_json))


@app.command()
def clean(
    engine: Annotated[
        bool, typer.Option("--engine", help="Stop the Docker engine too, if a run started it.")
    ] = False,
) -> None:
    """Remove what killed runs and earlier versions left on this host. What a living run uses stays."""
    from testbed.host.engine import end_engine
    from testbed.host.older import remove_older
    from testbed.host.processes.run_lock import gate, live_runs
    from testbed.network.leftovers import remove_leftovers
    from testbed.orchestrator.nodes.mounts import remove_copies

    is_root = os.geteuid() == 0
    with gate() if is_root else nullcontext():  # no run begins meanwhile
        runs = live_runs()
        removed = remove_older(runs)
        if not runs:
            removed += remove_copies()
    if is_root:
        removed += [f"{leftover.kind} {leftover.name}" for leftover in remove_leftovers()]
        if engine and end_engine():
            removed.append("engine dockerd")
    else:
        typer.echo("only root can look for what runs left: use sudo to remove that too", err=True)
    for what in removed:
        typer.echo(f"removed {what}")
    if not removed:
        typer.echo("nothing to remove")


app.command("what-if")(study.what_if)


@app.command(
    hidden=True,
    add_help_option=False,
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
)
def vm() -> None:
    raise TestbedError(f"vm: {NATIVELY}")


def main() -> None:
    """Entry point: a user's mistake or a host's lack is one sentence and a status, never a traceback."""
    # Characters that a terminal's encoding lacks are shown by number.
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    with program("testbed"):
        try:
            with needs_extra("run"):
                status = app(standalone_mode=False)  # typer.Exit's, where a command raised it
        except typer.Abort:
            raise KeyboardInterrupt from None
        except Exception as error:
            if type(error).__module__.startswith(("click", "typer")) and hasattr(error, "format_message"):
                end("testbed", error.format_message(), 2)
            raise
        if status == 128 + signal.SIGINT:  # which is what typer makes of Ctrl-C
            raise KeyboardInterrupt
        sys.exit(status or 0)


if __name__ == "__main__":
    main()
