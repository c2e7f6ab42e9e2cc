"""``python -m testbed.study.paper``, which ``make paper`` runs."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from testbed.console import Reporter
from testbed.host.processes.program import end, program

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command()
def paper(
    out: Annotated[
        Path | None,
        typer.Option(
            help="Directory of the results, to go on with if it is there; "
            "by default results/paper-<UTC time>."
        ),
    ] = None,
    claims: Annotated[str | None, typer.Option(help="Only these claims: a,b")] = None,
    ladders: Annotated[str | None, typer.Option(help="Only these ladders: a,b")] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="Few requests on the wire, one trace, no unreachable tier.")
    ] = False,
    no_wire: Annotated[
        bool, typer.Option("--no-wire", help="From recordings alone: no network, no root.")
    ] = False,
    hub: Annotated[
        bool,
        typer.Option("--hub", envvar="HUB", help="The authors' models from the model hub (HUB=1)."),
    ] = False,
    limit: Annotated[
        int | None, typer.Option(min=10, help="Rows of a data set that are recorded, at most.")
    ] = None,
    device: Annotated[str, typer.Option(help="Where models are recorded: cpu or cuda.")] = "cpu",
) -> None:
    """Hold the paper's claims against ladders of models, one by one; write the table, its page and figures.

    Exit status 0 if there are figures for each claim that can be tested here, whether it was reproduced or
    not; 1 if the evidence of one failed, if a run's own verdicts speak against it (n/v), or if there is no
    ladder at all.
    """  # fmt: skip
    from testbed.study.paper.make import make_table
    from testbed.study.paper.options import Options, claims_named, ladders_named
    from testbed.study.record import require_device

    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    options = Options(
        (out or Path("results") / f"paper-{stamp}").absolute(),
        quick=quick,
        hub=hub,
        limit=limit,
        device=device,
        wire_refused="left out by --no-wire" if no_wire else "",
    )
    asked = claims_named(claims), ladders_named(ladders, hub)
    require_device(device)
    table = make_table(*asked, options, Reporter())
    typer.echo(f"directory: {options.shown(options.out)}")
    table.check()


def main() -> None:
    """Entry point: a mistake or a lack is one sentence and a status, never a traceback."""
    with program("paper"):
        try:
            app(standalone_mode=False, prog_name="make paper")
        except typer.Abort:
            raise KeyboardInterrupt from None
        except Exception as error:
            if type(error).__module__.startswith(("click", "typer")) and hasattr(error, "format_message"):
                end("paper", error.format_message(), 2)
            raise


if __name__ == "__main__":
    main()
