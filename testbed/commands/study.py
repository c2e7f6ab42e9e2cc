"""Commands of a study: what runs show together, how many it takes, and what would be without one."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from testbed.commands.arguments import ScenarioPath, listed_names, shown
from testbed.commands.ended import points_told_first, require_points, told_first
from testbed.commands.reports import FontSize, Width, draw_figures, draw_sweep, show_sweep, style_of
from testbed.console import Reporter, widened
from testbed.errors import TestbedError, one_line

if TYPE_CHECKING:
    from testbed.report.figures.sweep_data import SweepData
    from testbed.results.frontier import Frontiers
    from testbed.scenario.scenario import Scenario
    from testbed.study.sweep.directory import SweepDirectory
    from testbed.study.what_if.predict import WhatIf


def sweep(
    scenario: ScenarioPath,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY.PATH=VALUES",
            help="Values of a key: links.core.loss=0%,1%. All combinations are run. Repeatable.",
        ),
    ] = None,
    repeat: Annotated[
        int, typer.Option(help="Runs of each combination, with seeds that follow on one another.")
    ] = 1,
    methods: Annotated[str | None, typer.Option(help="Run only these methods: a,b")] = None,
    requests: Annotated[int | None, typer.Option(help="Number of requests of each run.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of the first run of each combination.")] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Directory of the sweep, to go on with if it is there; "
            "by default results/<scenario>-sweep-<UTC time>."
        ),
    ] = None,
    shard: Annotated[
        str | None,
        typer.Option(
            metavar="i/n",
            help="Run only the i-th of n parts, such as 2/3, in a directory of its own (testbed merge).",
        ),
    ] = None,
    on: Annotated[
        str | None,
        typer.Option(
            metavar="ray[://HOST:PORT]",
            help="Have the machines of a Ray cluster run the points; by default this host does.",
        ),
    ] = None,
) -> None:
    """Run a scenario at every combination of values, into one table. The same command goes on after a break.

    Exit status 1 if a point failed or cannot be read; the others are run all the same.
    """
    from testbed.study.sweep.points import Shard, Wanted
    from testbed.study.sweep.run import failed
    from testbed.study.sweep.run import sweep as run_sweep

    part = None if shard is None else Shard.parse(shard)
    wanted = Wanted(scenario, settings or (), repeat, listed_names(methods), requests, seed, part)
    directory = run_sweep(wanted, out, Reporter(), on)
    data = _finish(directory)
    if broken := failed(directory):
        raise TestbedError(
            f"{len(broken)} of {len(directory.points)} points failed, the first because: "
            f"{directory.failure(broken[0])}; the same command tries them again"
        )
    require_points(data.path, data.rows)


def _finish(directory: SweepDirectory) -> SweepData:
    """Print a sweep's tables, and write its frontiers and its page."""
    from testbed.study.frontiers import FRONTIER, write_frontiers

    data = show_sweep(directory)
    write_frontiers(data.frontiers, directory.path / FRONTIER)
    typer.echo(f"frontiers: {shown(directory.path / FRONTIER)}")
    draw_sweep(data, page=True)
    return data


def merge(
    shards: Annotated[
        list[Path], typer.Argument(metavar="SHARD", help="Directories of sweeps.", show_default=False)
    ],
    out: Annotated[
        Path, typer.Option(help="Directory of the whole sweep: a new one, or that of an earlier merge.")
    ],
) -> None:
    """Join shards of a sweep into one directory with all points. testbed sweep goes on with what is missing.

    Exit status 1 if a run was left out because it is damaged, or a point failed or ended early.
    """
    from testbed.study.sweep.merge import merge as merge_shards

    merged = merge_shards(shards, out, Reporter())
    for sentence in merged.sentences:
        typer.echo(one_line(sentence))
    data = _finish(merged.directory)
    if merged.damaged:
        count = len(merged.damaged)
        what = "a damaged run was" if count == 1 else f"{count} damaged runs were"
        raise TestbedError(f"{what} left out; merge an unchanged copy, or run what is missing again")
    require_points(data.path, data.rows)
    if merged.early:
        early = f"{len(merged.early)} of {data.rows['point'].nunique()} points ended early"
        raise TestbedError(f"{data.path}: {early}, the first because: {merged.early[0]}")


def compare(
    runs: Annotated[
        list[Path],
        typer.Argument(metavar="RUN | SWEEP", help="Directories of runs, or of sweeps.", show_default=False),
    ],
    methods: Annotated[str | None, typer.Option(help="Compare only these methods: a,b")] = None,
    score: Annotated[
        str | None, typer.Option(help="Compare by this score: macro_f1, not accuracy; chrf, not bleu.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="File for all lines: .csv or .parquet")] = None,
) -> None:
    """Say what differs: of one run or sweep each method from each, of several each from the first.

    Sweeps are compared at each of their settings, all seeds of it together. Exit status 1 if a run ended
    early, or a point failed or did.
    """
    from testbed.report.comparison import compared_rows, print_comparison
    from testbed.results.directory import RunDirectory
    from testbed.study.sweep.compare import compare as compare_all
    from testbed.study.sweep.directory import SweepDirectory, is_sweep
    from testbed.study.what_if.output import check_out, write_points

    if out is not None:
        check_out(out)
    sweeps = [run for run in runs if is_sweep(run)]
    with (
        told_first(*(RunDirectory.open(run) for run in runs if run not in sweeps)),
        points_told_first(*map(SweepDirectory.open, sweeps)),
    ):
        comparison = compare_all(runs, listed_names(methods), score)
        print_comparison(comparison, Console())
        if out is not None:
            write_points(out, compared_rows(comparison))
            typer.echo(f"all lines: {shown(out)}")


def plan(
    scenario: ScenarioPath,
    difference: Annotated[float, typer.Option(help="Right answers more, in percentage points.")] = 2,
    discordant: Annotated[
        float, typer.Option(help="Requests on which two methods differ, in percent, unless a pilot shows it.")
    ] = 15,
    latency: Annotated[float | None, typer.Option(help="Difference of mean latencies, in ms.")] = None,
    power: Annotated[float, typer.Option(help="Runs in which the effect is to be seen, in percent.")] = 80,
    pilot: Annotated[
        Path | None, typer.Option(metavar="RUN", help="A run of the scenario, to plan by.")
    ] = None,
) -> None:
    """Say how many requests, or runs with other seeds, an effect needs to be seen, and how long they take."""
    from testbed.report.plan import print_plan
    from testbed.results.directory import RunDirectory
    from testbed.scenario.scenario import load_scenario
    from testbed.study.plan import Effect, needs_of_pilot, needs_of_shares

    loaded = load_scenario(scenario)
    effect = Effect(difference / 100, latency, power / 100)
    if pilot is None:
        print_plan(needs_of_shares(loaded, effect, discordant / 100), effect.power, Console())
        return
    with told_first(directory := RunDirectory.open(pilot)):
        print_plan(needs_of_pilot(loaded, effect, directory), effect.power, Console())


def what_if(
    what: Annotated[
        list[Path],
        typer.Argument(
            metavar="SCENARIO | RUN | MATRIX...",
            help="A scenario whose tiers are recorded; a run of one; or answer matrices (.parquet).",
            show_default=False,
        ),
    ],
    policy: Annotated[
        str | None, typer.Option(help="With matrices: policies, a,b; recserve by default.")
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUES",
            help="With matrices: values of a policy's key, or of confidence: beta=0.1,0.3, "
            "window=100:1000:100, beta.device=0.1, confidence=margin. All combinations are evaluated. "
            "With a scenario: replace a value, as in run. Repeatable.",
        ),
    ] = None,
    tiers: Annotated[
        str | None,
        typer.Option(help="With matrices: the tiers, lowest first: device,edge or device=MODEL,edge=MODEL"),
    ] = None,
    nodes: Annotated[str | None, typer.Option(help="With matrices: nodes of each tier: 2,1,1")] = None,
    calibration: Annotated[
        int | None, typer.Option(help="With matrices: rows apart from the trace to calibrate by.")
    ] = None,
    methods: Annotated[str | None, typer.Option(help="With a scenario: only these methods: a,b")] = None,
    requests: Annotated[
        int | None, typer.Option(help="Number of requests; of a matrix, each row once by default.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of the trace and the policies.")] = None,
    against: Annotated[
        Path | None, typer.Option(metavar="RUN", help="With a scenario: a run to hold it against.")
    ] = None,
    queues: Annotated[
        bool,
        typer.Option(
            "--queues",
            help="With a scenario: nodes and links as queues, for latencies and loads at any size.",
        ),
    ] = False,
    out: Annotated[
        Path | None, typer.Option(help="File for all figures: .csv or .parquet; the frontier's beside it.")
    ] = None,
    figures: Annotated[
        Path | None,
        typer.Option(metavar="DIRECTORY", help="Draw the frontier there, as PDF, SVG, PNG and CSV."),
    ] = None,
    width: Width = None,
    font_size: FontSize = None,
    audit_all: Annotated[
        bool, typer.Option("--audit", help="Audit every point, not ten of them drawn by the seed.")
    ] = False,
) -> None:
    """Predict what methods would do, from recorded answers, without a network.

    Exit status 1 if the audit finds a decision that the methods' rules have otherwise.
    """
    from testbed.study.what_if import predict as study

    kind = study.kind_of(what)
    given = {
        "policy": policy,
        "set": settings,
        "tiers": tiers,
        "nodes": nodes,
        "calibration": calibration,
        "methods": methods,
        "requests": requests,
        "seed": seed,
        "against": against,
        "queues": queues or None,
    }
    study.check_options(kind, [name for name, value in given.items() if value is not None and value != []])
    beside = {"against": against, "figures": figures, "audit": audit_all or None}
    if queues and (more := [name for name, value in beside.items() if value is not None]):
        raise TestbedError(f"--{more[0]}: is not for --queues; leave one of the two out")
    if out is not None:
        study.check_out(out)
    style = style_of(figures is not None, width, font_size)
    reporter = Reporter()
    if kind == "matrices":
        wanted = study.Wanted(tiers, nodes, requests, seed, calibration)
        found = study.what_if_grid(
            what, listed_names(policy), settings or (), wanted, reporter, all_audited=audit_all
        )
    else:
        from testbed.results.directory import RunDirectory
        from testbed.scenario.scenario import load_scenario

        compared = what[0] if kind == "run" else against
        measured = None if compared is None else RunDirectory.open(compared)
        if kind == "run" and measured is not None:
            loaded = study.scenario_of(measured, listed_names(methods))
        else:
            loaded = load_scenario(
                what[0],
                settings or (),
                methods=listed_names(methods),
                requests=requests,
                seed=seed,
                emulated=False,
            )
        if queues:  # which no run is given with
            _tell_queues(loaded, reporter, out)
            return
        with told_first(*(() if measured is None else (measured,))):
            found = study.what_if_scenario(loaded, reporter, against=measured, all_audited=audit_all)
            _tell_what_if(found, out, figures, style)
        return
    _tell_what_if(found, out, figures, style)


def _tell_queues(scenario: Scenario, reporter: Reporter, out: Path | None) -> None:
    from testbed.report.queues import busy_table, queues_table
    from testbed.study.queues.predict import doubted, errors_by_devices, with_queues

    found = with_queues(scenario, reporter)
    console = widened(Console(), 200)
    told = found.title, found.points, found.tiers, found.hops, found.scorer
    console.print(queues_table(*told, errors_by_devices(), doubted()))
    console.print(busy_table(found.points, found.tiers, found.hops))
    if out is not None:
        found.write(out)
        typer.echo(f"all figures: {shown(out)}")
    for trouble in found.troubles:
        typer.echo(trouble)


def _tell_what_if(
    found: WhatIf, out: Path | None, figures: Path | None, style: tuple[float, int] | None
) -> None:
    """Print what a what-if says, write and draw it. Raises as :meth:`WhatIf.check`."""
    frontiers = _print_what_if(found, out)
    if figures is not None and style is not None:
        _draw_frontiers(found, frontiers, figures, style)
    found.check()


def _draw_frontiers(found: WhatIf, frontiers: Frontiers, folder: Path, style: tuple[float, int]) -> None:
    from testbed.report.figures.frontier import what_if_subject

    if not frontiers.frontiers:
        raise TestbedError("--figures: there is no frontier to draw; give a policy's key at least two values")
    command = shlex.join(["testbed", *sys.argv[1:]])
    draw_figures(what_if_subject(frontiers, found.title, folder), style, folder, command)


def _print_what_if(found: WhatIf, out: Path | None) -> Frontiers:
    """Print what a what-if says, write it, and return its frontiers."""
    from testbed.report.frontier import print_frontiers
    from testbed.report.what_if import beside_table, points_table
    from testbed.study.frontiers import FRONTIER, write_frontiers
    from testbed.study.what_if.frontier import frontiers_of

    console = widened(Console(), 200)
    console.print(points_table(found.title, found.points, found.tiers, found.scorer))
    if found.beside:
        console.print(beside_table("Predicted, and measured", found.beside, found.tiers))
    frontiers = frontiers_of(found)
    print_frontiers(frontiers, console, points=False)
    if out is not None:
        found.write(out)
        typer.echo(f"all figures: {shown(out)}")
        if frontiers.frontiers:
            beside = out.with_suffix(f".{FRONTIER}")
            write_frontiers(frontiers, beside)
            typer.echo(f"the frontier: {shown(beside)}")
    typer.echo(found.audited)
    for difference in found.differences[:20]:
        typer.echo(difference)
    return frontiers
