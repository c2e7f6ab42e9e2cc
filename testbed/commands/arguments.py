"""What several commands share: arguments, lists of names, and paths as they are shown."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from testbed.errors import TestbedError

ScenarioPath = Annotated[
    Path, typer.Argument(help="Scenario file in YAML, or a run's directory.", show_default=False)
]
RunPath = Annotated[Path, typer.Argument(metavar="RUN", help="Directory of a run.", show_default=False)]

NATIVELY = "every scenario now runs natively; leave it out"


def _refuse_vm(value: str | None) -> None:
    if value is not None:
        raise TestbedError(f"--vm: {NATIVELY}")


Vm = Annotated[str | None, typer.Option("--vm", hidden=True, callback=_refuse_vm)]


def listed_names(listed: str | None) -> list[str] | None:
    """The names in a list like ``a,b``, if there is one."""
    return None if listed is None else [name.strip() for name in listed.split(",") if name.strip()]


def shown(path: Path) -> Path:
    """A path as the user would write it: relative where it lies below the current directory."""
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path
