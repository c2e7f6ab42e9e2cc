"""Commands about traces: write a scenario's, draw one, import what others recorded, look at one."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from typer.core import TyperGroup

from testbed.commands.arguments import ScenarioPath, shown
from testbed.console import Reporter

if TYPE_CHECKING:
    from testbed.scenario.workload.trace_file import Request


class _OfByDefault(TyperGroup):
    """``testbed trace SCENARIO`` is ``testbed trace of SCENARIO``."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args and args[0] not in self.commands and args[0] not in ("-h", "--help"):
            args = ["of", *args]
        return super().parse_args(ctx, args)


app = typer.Typer(
    help="Make traces and look at them. testbed trace SCENARIO writes what a scenario would replay.",
    no_args_is_help=True,
    cls=_OfByDefault,
)

Out = Annotated[Path | None, typer.Option(help="File to write; by default standard output.")]
DatasetName = Annotated[
    str | None, typer.Option("--dataset", help="Data set whose held-out rows are asked.", show_default=False)
]
ForScenario = Annotated[
    Path | None,
    typer.Option("--scenario", help="Instead: a scenario, whose data set, devices and seed are taken."),
]
Devices = Annotated[int | None, typer.Option(help="Number of devices; 2 by default.", show_default=False)]
Zipf = Annotated[
    float,
    typer.Option(help="Uneven devices: the k-th has a share proportional to 1/k^ZIPF; 0: all alike."),
]
DriftTo = Annotated[
    str | None,
    typer.Option(
        "--drift",
        metavar="DATASET[=FROM:TO]",
        help="Another data set comes in on the way: none before FROM of the requests, all after TO, such as "
        "imdb=20%:80%; imdb alone is 0%:100%.",
    ),
]
Seed = Annotated[
    int | None, typer.Option(help="Seed of all that is drawn; 1 by default.", show_default=False)
]


@app.command("of")
def trace_of(
    scenario: ScenarioPath,
    out: Out = None,
    requests: Annotated[int | None, typer.Option(help="Number of requests.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of the trace.")] = None,
) -> None:
    """Write the trace that a scenario would replay, as JSON Lines; print a summary. `of` may be left out."""
    from dataclasses import asdict

    from testbed.scenario.requests import build_trace, summarise
    from testbed.scenario.scenario import load_scenario

    loaded = load_scenario(scenario, requests=requests, seed=seed)
    built = build_trace(loaded)
    header = {"made_by": "testbed trace of", "scenario": loaded.name, "seed": loaded.seed}
    _write(built, out, header)
    for name, value in asdict(summarise(built, loaded.task.datasets)).items():
        typer.echo(f"{name}: {value}", err=True)


def _write(trace: Iterable[Request], out: Path | None, header: Mapping[str, Any]) -> None:
    from testbed.host.files import require_utf8
    from testbed.scenario.workload.trace_file import trace_lines, write_trace

    if out is None:
        sys.stdout.writelines(trace_lines(trace, header))
        return
    require_utf8(out.absolute(), "--out")
    write_trace(trace, out, header)
    typer.echo(f"trace: {shown(out)}", err=True)


@app.command("build")
def trace_build(
    requests: Annotated[int, typer.Option(help="Number of requests.", show_default=False)],
    rate: Annotated[
        float, typer.Option(help="Requests a second on average, over all devices.", show_default=False)
    ],
    dataset: DatasetName = None,
    scenario: ForScenario = None,
    arrivals: Annotated[
        str, typer.Option(help="poisson, gamma (with --burstiness), diurnal (--period, --swing) or constant.")
    ] = "poisson",
    burstiness: Annotated[
        float | None, typer.Option(help="Standard deviation of gaps over their mean; 1 is poisson.")
    ] = None,
    period: Annotated[str | None, typer.Option(help="Length of a day, such as 24h or 10min.")] = None,
    swing: Annotated[
        str | None, typer.Option(help="How far the rate goes from its mean, such as 80%.")
    ] = None,
    devices: Devices = None,
    zipf: Zipf = 0.0,
    drift: DriftTo = None,
    seed: Seed = None,
    out: Out = None,
) -> None:
    """Draw a trace from a data set, as JSON Lines."""
    from testbed.scenario.traces.build import arrivals_of, build_trace
    from testbed.scenario.traces.ground import ground

    given = {"process": arrivals, "rate": rate, "burstiness": burstiness, "period": period, "swing": swing}
    process = arrivals_of(given)
    header, trace = build_trace(ground(dataset, scenario, devices, seed, zipf, drift), requests, process)
    _write(trace, out, header)


@app.command("import")
def trace_import(
    kind: Annotated[
        str, typer.Argument(metavar="FORMAT", help="azure, burstgpt, mooncake or csv.", show_default=False)
    ],
    file: Annotated[Path, typer.Argument(help="The trace as it was published.", show_default=False)],
    dataset: DatasetName = None,
    scenario: ForScenario = None,
    between: Annotated[
        str | None,
        typer.Option(help="Only this part: 10min,20min since its first request, or two dates."),
    ] = None,
    requests: Annotated[
        int | None, typer.Option(min=1, help="Only the first so many of what is left.")
    ] = None,
    rate_scale: Annotated[
        float, typer.Option(help="Requests for each one, in the same time: 0.1 or 3.")
    ] = 1.0,
    time_scale: Annotated[float, typer.Option(help="A second becomes so many: 0.5 is twice as fast.")] = 1.0,
    bytes_per_token: Annotated[
        float, typer.Option(help="Bytes of a prompt for each token of the trace.")
    ] = 4.0,
    length_scale: Annotated[
        float, typer.Option(help="Lengths are multiplied by this first, for a data set of shorter texts.")
    ] = 1.0,
    time_column: Annotated[str | None, typer.Option(help="csv: the column of times.")] = None,
    unit: Annotated[str | None, typer.Option(help="csv: of times that are numbers: s, ms, us or ns.")] = None,
    input_column: Annotated[str | None, typer.Option(help="csv: the column of prompts' tokens.")] = None,
    output_column: Annotated[
        str | None, typer.Option(help="csv: the column of answers' tokens, if there is one.")
    ] = None,
    device_column: Annotated[
        str | None,
        typer.Option(help="A column, such as Session ID, each of whose values stays at one device."),
    ] = None,
    devices: Devices = None,
    zipf: Zipf = 0.0,
    drift: DriftTo = None,
    seed: Seed = None,
    out: Out = None,
) -> None:
    """Make a trace of a recorded one: its arrivals and lengths, with prompts of about those lengths."""
    from testbed.scenario.traces.formats import format_named, unit_named, with_columns
    from testbed.scenario.traces.ground import ground
    from testbed.scenario.traces.importing import Wanted, estimated_rows, import_trace
    from testbed.scenario.traces.near import Lengths
    from testbed.scenario.traces.scaling import Part, Scaling, checked_scale

    columns = with_columns(format_named(kind), time_column, input_column, output_column, unit_named(unit))
    on = ground(dataset, scenario, devices, seed, zipf, drift)
    scaling = Scaling(
        None if between is None else Part.parse(between),
        checked_scale("--rate-scale", rate_scale),
        checked_scale("--time-scale", time_scale),
        on.seed,
    )
    lengths = Lengths(
        checked_scale("--bytes-per-token", bytes_per_token), checked_scale("--length-scale", length_scale)
    )
    wanted = Wanted(file, kind, columns, on, scaling, lengths, requests, device_column)
    reporter = Reporter()
    with reporter.counting(f"reading {file}", estimated_rows(file)) as progress:
        made = import_trace(wanted, progress)
    _write(made.requests, out, made.header)
    for note in made.notes:
        reporter.say(note)


@app.command("show")
def trace_show(
    trace: Annotated[
        Path,
        typer.Argument(
            metavar="TRACE", help="Trace file, a run's directory, or a scenario.", show_default=False
        ),
    ],
    unit: Annotated[
        str | None, typer.Option(help="Of a file without a header: s, ms or epoch.", show_default="s")
    ] = None,
    scenario: Annotated[
        Path | None, typer.Option(help="The scenario whose own data set a trace file names.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")] = False,
) -> None:
    """Say what a trace looks like: rate over time, bursts, lengths, and requests by device."""
    from testbed.report.trace_picture import print_trace
    from testbed.scenario.traces.open import open_trace
    from testbed.scenario.traces.shape import shape_of

    opened = open_trace(trace, unit, scenario)
    shape = shape_of(opened.requests, opened.datasets, opened.header)
    if as_json:
        typer.echo(json.dumps(shape, indent=2, ensure_ascii=False))
    else:
        print_trace(str(shown(trace.absolute())), shape, Console())
