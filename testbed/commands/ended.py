"""What every command says first of runs that did not come to their end; after all else it fails for them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import typer

from testbed.errors import TestbedError, one_line

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

    from testbed.results.directory import RunDirectory
    from testbed.study.sweep.directory import SweepDirectory


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


@contextmanager
def points_told_first(*sweeps: SweepDirectory) -> Iterator[None]:
    """Say which points of these sweeps have no figures, and why, before the block prints those of the others.

    Raises:
        TestbedError: as :func:`require_points`, after the block.
    """
    from testbed.report.sweep import missing_points
    from testbed.study.sweep.table import sweep_table

    tables = [(sweep.path, sweep_table(sweep)) for sweep in sweeps]
    for path, rows in tables:
        for status, points, why in missing_points(rows):
            typer.echo(one_line(f"{path}: {status}: {points}{why and ': '}{why}"))
    yield
    for path, rows in tables:
        require_points(path, rows)


def require_points(path: Path, rows: pd.DataFrame) -> None:
    """Fail for a sweep with points that cannot be read, failed or ended early; not for those yet to be begun.

    Args:
        rows: its table.

    Raises:
        TestbedError: how many there are, and what is wrong with the first.
    """
    broken = rows[rows["error"].notna()].drop_duplicates("point")
    for status, words in (("damaged", "cannot be read"), ("failed", "failed"), ("waiting", "ended early")):
        why = list(broken.loc[broken["status"] == status, "error"])
        if why:
            of = f"{len(why)} of {rows['point'].nunique()} points"
            raise TestbedError(f"{path}: {of} {words}, the first because: {why[0]}")
