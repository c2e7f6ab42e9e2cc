"""What every command says first of a run that did not come to its end; after all else it fails for it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import typer

from testbed.errors import TestbedError

if TYPE_CHECKING:
    from testbed.results.directory import RunDirectory


@contextmanager
def told_first(*directories: RunDirectory, needs: str = "fidelity.json") -> Iterator[None]:
    """Say what ended these runs early, before the block prints what is left of them.

    Args:
        needs: the file without which nothing can be printed of a run.

    Raises:
        TestbedError: a run ended early; before the block, if it lacks what is needed.
    """
    from testbed.results.ended import ended_early

    early = {directory.path: ended_early(directory) for directory in directories}
    early = {path: sentence for path, sentence in early.items() if sentence is not None}
    for path, sentence in early.items():
        if not (path / needs).is_file():
            raise TestbedError(f"{path}: {sentence}; run it again")
        typer.echo(f"{path}: {sentence}")
    yield
    if early:
        names = ", ".join(map(str, early))
        raise TestbedError(f"{names}: the run ended early: what is printed above was measured until then")
