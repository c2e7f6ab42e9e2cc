"""Commands that keep a scenario's network up: for clients, or with Mininet's prompt."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from testbed.commands.arguments import ScenarioPath, shown
from testbed.console import Reporter
from testbed.errors import TestbedError

Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY.PATH=VALUE", help="Replace a value: links.core.loss=1%. Repeatable."),
]
MethodName = Annotated[
    str | None,
    typer.Option(help="The method in force; by default the first whose policy is recserve, or the first."),
]
Seed = Annotated[int | None, typer.Option(help="Seed of the policies and the losses.")]
Record = Annotated[
    bool,
    typer.Option("--record", help="Capture every link, and leave a run directory; else nothing is left."),
]
Out = Annotated[
    Path | None, typer.Option(help="New directory of the record; by default results/<scenario>-<UTC time>.")
]


def serve(
    scenario: ScenarioPath,
    device: Annotated[
        str | None,
        typer.Option(
            help="The node of the lowest tier to ask, the first by default; or spread: all in turn."
        ),
    ] = None,
    method: MethodName = None,
    port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="Port; by default 8000, or a free one.")
    ] = None,
    host: Annotated[
        str, typer.Option(help="Address to listen on. Others than this host's can ask if it is no loopback.")
    ] = "127.0.0.1",
    overrides: Overrides = None,
    seed: Seed = None,
    record: Record = False,
    out: Out = None,
) -> None:
    """Keep a scenario's tiers up behind one OpenAI-compatible address, with a page, until Ctrl-C."""
    from testbed.orchestrator.serving.serve import serve as keep_serving
    from testbed.scenario.scenario import load_scenario

    _require_record(record, out)
    loaded, reporter = load_scenario(scenario, overrides or (), seed=seed), Reporter()
    directory = keep_serving(
        loaded, reporter, device=device, method=method, host=host, port=port, record=record, out=out
    )
    if directory is not None:
        typer.echo(f"recorded: {shown(directory.path)}")


def shell(
    scenario: ScenarioPath,
    method: MethodName = None,
    overrides: Overrides = None,
    seed: Seed = None,
    record: Record = False,
    out: Out = None,
) -> None:
    """Give Mininet's prompt on a scenario's network, with its tiers up, until exit or the input's end."""
    from testbed.orchestrator.serving.shell import shell as give_shell
    from testbed.scenario.scenario import load_scenario

    _require_record(record, out)
    loaded = load_scenario(scenario, overrides or (), seed=seed)
    directory = give_shell(loaded, Reporter(), method=method, record=record, out=out)
    if directory is not None:
        typer.echo(f"recorded: {shown(directory.path)}")


def _require_record(record: bool, out: Path | None) -> None:
    if out is not None and not record:
        raise TestbedError("--out: is where a record goes; add --record")
