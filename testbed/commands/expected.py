"""The option ``--expect``: read before a run, held against it afterwards."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from testbed.errors import TestbedError

if TYPE_CHECKING:
    from testbed.results.directory import RunDirectory
    from testbed.results.expectation import Expectation
    from testbed.scenario.scenario import Scenario

Expect = Annotated[
    list[str] | None,
    typer.Option(
        metavar="METHOD.KEY<NUMBER",
        help="Exit with status 1 if the run does not show it: recserve.burden_vs_cloud_only<0.5, or "
        "faithful.bytes==true; < <= > >= == !=. Repeatable.",
    ),
]


def read_expectations(given: Sequence[str] | None, scenario: Scenario) -> list[Expectation]:
    """The expectations of a run of the scenario.

    Raises:
        BadParameter: one is none, or of what there will not be.
    """
    if not given:
        return []
    from testbed.results.expectation import parse_expectation

    try:
        return [parse_expectation(text, scenario) for text in given]
    except TestbedError as error:
        raise typer.BadParameter(str(error), param_hint="--expect") from None


def require_expected(
    expected: Sequence[Expectation], directory: RunDirectory, *, quiet: bool = False
) -> None:
    """Hold a run against what is expected of it.

    Raises:
        TestbedError: it does not show all of it.
    """
    if not expected:
        return
    from testbed.results.expectation import failures

    with directory.understood():
        failed = failures(expected, directory.read_summary(), directory.read_fidelity())
    if failed:
        raise TestbedError("; ".join(failed))
    if not quiet:
        typer.echo(f"as expected: {', '.join(one.text for one in expected)}")
