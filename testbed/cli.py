"""The command line: reads arguments, calls the function that does the work, prints the result."""

from __future__ import annotations

import io
import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from testbed.errors import TestbedError, needs_extra
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
models_app = typer.Typer(help="Prepare, score or train the demonstration models.", no_args_is_help=True)
app.add_typer(models_app, name="models")

_ScenarioPath = Annotated[Path, typer.Argument(help="Scenario file in YAML.", show_default=False)]
_RunPath = Annotated[Path, typer.Argument(metavar="RUN", help="Directory of a run.", show_default=False)]
_NATIVELY = "every scenario now runs natively; leave it out"


def _refuse_vm(value: str | None) -> None:
    if value is not None:
        raise TestbedError(f"--vm: {_NATIVELY}")


_Vm = Annotated[str | None, typer.Option("--vm", hidden=True, callback=_refuse_vm)]


@app.command()
def run(
    scenario: _ScenarioPath,
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
    vm: _Vm = None,
) -> None:
    """Run a scenario and print its tables. All that was measured is kept in a run directory."""
    from testbed.orchestrator.run import run as run_scenario
    from testbed.scenario.scenario import load_scenario

    loaded = load_scenario(scenario, overrides or (), methods=_names(methods), requests=requests, seed=seed)
    _print_run(run_scenario(loaded, out))


def _names(listed: str | None) -> list[str] | None:
    """The names in a list like ``a,b``, if there is one."""
    return None if listed is None else [name.strip() for name in listed.split(",") if name.strip()]


@app.command()
def report(run: _RunPath) -> None:
    """Print a finished run's tables again. Exit status 1 if a file has changed since the run."""
    from testbed.results.directory import RunDirectory

    directory = RunDirectory.open(run)
    _print_run(directory)
    if broken := directory.broken_seals():
        others = f" and {len(broken) - 1} more files" if len(broken) > 1 else ""
        raise TestbedError(f"{run}: {broken[0]}{others}: do not rely on what is printed above")


def _print_run(directory: RunDirectory) -> None:
    from testbed.report.tables import print_run

    print_run(directory, Console())
    typer.echo(f"run directory: {_shown(directory.path)}")


def _shown(path: Path) -> Path:
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path


@app.command()
def audit(run: _RunPath) -> None:
    """Compute every decision of a run again from what the nodes recorded. Exit status 1 if any differs."""
    from testbed.results.audit import audit_run
    from testbed.results.directory import RunDirectory

    audited = audit_run(RunDirectory.open(run))
    for difference in audited.differences:
        typer.echo(difference)
    if audited.differences:
        raise TestbedError(
            f"{run}: {len(audited.differences)} differences in {audited.decisions} decisions "
            "and the run's files"
        )
    typer.echo(f"{audited.decisions} decisions audited, no difference; every file is as the run left it")


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
    vm: _Vm = None,
) -> None:
    """Check the emulator on this host against closed forms and known counts. Exit status 1 if any is off."""
    from testbed.console import Reporter
    from testbed.report.checks import checks_table, envelope_table
    from testbed.validation import envelope as envelopes
    from testbed.validation.validate import validate

    if envelope:
        if short or only is not None:
            raise TestbedError("--envelope makes runs and no checks: leave out --short and --only")
        directory = envelopes.launch(budget, out)
        _print_table(envelope_table(directory.read_json("envelope.json")), directory)
        return
    directory = validate(_names(only), out, Reporter(), short=short)
    results = directory.read_json("validation.json")
    _print_table(checks_table(results), directory)
    if not results["passed"]:
        raise typer.Exit(1)


def _print_table(table: Table, directory: RunDirectory) -> None:
    console = Console()
    if not console.is_terminal:
        console.width = max(console.width, 150)
    console.print(table)
    typer.echo(f"all that was measured: {_shown(directory.path)}")


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
    from testbed.host.processes.run_lock import live_runs
    from testbed.network.leftovers import remove_leftovers
    from testbed.orchestrator.nodes.mounts import remove_copies

    runs = live_runs()
    removed = remove_older(runs)
    if not runs:
        removed += remove_copies()
    if os.geteuid() == 0:
        removed += [f"{leftover.kind} {leftover.name}" for leftover in remove_leftovers()]
        if engine and end_engine():
            removed.append("engine dockerd")
    else:
        typer.echo("only root can look for what runs left: use sudo to remove that too", err=True)
    for what in removed:
        typer.echo(f"removed {what}")
    if not removed:
        typer.echo("nothing to remove")


@app.command()
def trace(
    scenario: _ScenarioPath,
    out: Annotated[Path | None, typer.Option(help="File to write; by default standard output.")] = None,
    requests: Annotated[int | None, typer.Option(help="Number of requests.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of the trace.")] = None,
) -> None:
    """Write the trace that a scenario would replay, as JSON Lines, and print a summary."""
    from dataclasses import asdict

    from testbed.scenario.requests import build_trace, summarise
    from testbed.scenario.scenario import load_scenario
    from testbed.scenario.workload.trace_file import trace_line, write_trace

    built = build_trace(load_scenario(scenario, requests=requests, seed=seed))
    if out is None:
        sys.stdout.writelines(map(trace_line, built))
    else:
        write_trace(built, out)
    for name, value in asdict(summarise(built)).items():
        typer.echo(f"{name}: {value}", err=True)


@app.command(
    hidden=True,
    add_help_option=False,
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
)
def vm() -> None:
    raise TestbedError(f"vm: {_NATIVELY}")


@models_app.command("prepare")
def models_prepare() -> None:
    """Assemble the demonstration models, and print their directory. Done once."""
    from testbed.console import Reporter
    from testbed.host.embedded.prepare import prepare

    typer.echo(prepare(Reporter().say))


@models_app.command("evaluate")
def models_evaluate(
    ladder: Annotated[str, typer.Argument(help="classification or translation")] = "classification",
    dataset: Annotated[
        str | None,
        typer.Option(help="Data set; its held-out split is used.", show_default="the ladder's own"),
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Score only this many texts.")] = None,
    record: Annotated[
        Path | None, typer.Option(help="Directory for the translations, a file of recorded answers a model.")
    ] = None,
) -> None:
    """Score a ladder of demonstration models on texts that none of them was trained on."""
    ladders = {
        "classification": (_evaluate_classification, "rotten_tomatoes"),
        "translation": (_evaluate_translation, "debian_en_de"),
    }
    if ladder not in ladders:
        raise TestbedError(f"no ladder {ladder!r}; there are {', '.join(ladders)}")
    evaluate, own = ladders[ladder]
    dataset = dataset or own
    from testbed.scenario.workload.datasets import DATASETS, load

    if dataset in DATASETS and (kind := DATASETS[dataset].kind) != ladder:
        raise TestbedError(f"--dataset: {dataset} is for {kind}, not {ladder}; leave it out")
    if record is not None and ladder != "translation":
        raise TestbedError("--record: only the answers of the translation ladder are recorded; leave it out")
    examples = load(dataset, "test")
    count = min(limit or len(examples), len(examples))
    sample = [examples[at * len(examples) // count] for at in range(count)]  # the files are sorted
    evaluate(dataset, [(example.text, example.reference) for example in sample], record)


def _evaluate_translation(dataset: str, pairs: Sequence[tuple[str, str]], record: Path | None) -> None:
    from testbed.console import Reporter
    from testbed.host.embedded.prepare import prepare
    from testbed.host.embedded.translation.ladder import SIZES
    from testbed.host.embedded.translation.translate import translate, write_recorded
    from testbed.report.ladders import rising_sentence, translation_table
    from testbed.results.quality import bleu, chrf

    reporter = Reporter()
    directory = prepare(reporter.say)
    sentences, references = ([pair[side] for pair in pairs] for side in (0, 1))
    scored = []
    for size in SIZES.values():
        with reporter.counting(f"translating by {size.name}", len(sentences)) as progress:
            made = translate(directory / "translation" / size.name, sentences, progress)
        if record is not None:
            write_recorded(record / f"{size.name}.jsonl", sentences, made)
        answers = [translation.text for translation in made]
        scored.append((size, bleu(answers, references), chrf(answers, references)))
    console = Console()
    if not console.is_terminal:
        console.width = max(console.width, 110)
    console.print(translation_table(dataset, len(pairs), scored))
    typer.echo(rising_sentence([(size.name, score) for size, score, _ in scored]))


def _evaluate_classification(dataset: str, texts: Sequence[tuple[str, str]], _record: Path | None) -> None:
    from testbed.console import Reporter
    from testbed.host.embedded.evaluate import count_right
    from testbed.host.embedded.ladder import RUNGS
    from testbed.host.embedded.prepare import prepare
    from testbed.results.statistics import share_interval

    reporter = Reporter()
    directory = prepare(reporter.say)
    table = Table(title=f"Demonstration models, held-out {dataset}", title_justify="left")
    for column in ("model", "base", "layers", "texts", "accuracy [95 % CI]"):
        table.add_column(column, justify="left" if column in ("model", "base") else "right")
    count = len(texts)
    for rung in RUNGS.values():
        with reporter.counting(f"scoring {rung.name}", count) as progress:
            right = count_right(directory / rung.name, texts, progress)
        low, high = share_interval(right, count)
        interval = f"{right / count:.3f} \\[{low:.3f}, {high:.3f}]"
        table.add_row(rung.name, rung.base, str(rung.layers), str(count), interval)
    Console().print(table)


@models_app.command("train")
def models_train(rung: Annotated[str, typer.Argument(help="device, edge or cloud")]) -> None:
    """Train a model's adapter again (for maintainers; half an hour on two cores)."""
    from testbed.host.embedded.ladder import RUNGS
    from testbed.scenario.workload.datasets import load

    if rung not in RUNGS:
        raise TestbedError(f"no rung {rung!r}; there are {', '.join(RUNGS)}")
    from testbed.host.embedded.train import train

    sentences, reviews = (
        [(example.text, example.reference) for example in load(name, "train")]
        for name in ("rotten_tomatoes", "imdb")
    )
    train(RUNGS[rung], sentences, reviews)


def _later(name: str, what: str) -> Callable[[], None]:
    def command() -> None:
        raise TestbedError(f"testbed {name} is not built yet; see CHANGELOG.md")

    command.__doc__ = f"{what} (not built yet)."
    return command


for _name, _what in (
    ("sweep", "Run a scenario over a grid of values"),
    ("compare", "Compare two runs"),
    ("shell", "A Mininet shell in a scenario's network"),
    ("serve", "Keep a scenario's tiers up for requests of your own"),
):
    app.command(_name, hidden=True)(_later(_name, _what))


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
