"""Directories of sweeps, made from the small run that the tests have."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from testbed.report.figures.sweep_data import SweepData
from testbed.report.theory import with_theory
from testbed.results.directory import RunDirectory
from testbed.study.sweep.directory import SweepDirectory
from testbed.study.sweep.points import Point, Wanted, points_of
from testbed.study.sweep.table import sweep_table
from tests import QUICKSTART, ROOT

RUN = ROOT / "tests" / "data" / "run-v1"
Change = Callable[[Point, dict[str, Any]], None]


def made_sweep(
    path: Path, given: Sequence[str], repeat: int = 1, change: Change | None = None
) -> SweepDirectory:
    """A sweep all of whose points left the same run, but for what ``change`` makes of its summary."""
    wanted = Wanted(QUICKSTART, given, repeat, None, 12, 1)
    points = [point for point, _ in points_of(wanted)]
    made = SweepDirectory.open_or_create(path, wanted, points, "quickstart")
    summary = with_theory(RunDirectory(RUN), json.loads((RUN / "summary.json").read_text()))
    for point in points:
        run = RunDirectory(Path(shutil.copytree(RUN, made.run_path(point))))
        of_point = json.loads(json.dumps(summary))
        if change is not None:
            change(point, of_point)
        run.write_json("summary.json", of_point)
        run.seal()
    return made


def data_of(sweep: SweepDirectory) -> SweepData:
    """What pages and figures take of a sweep."""
    return SweepData(sweep.path, "quickstart", sweep_table(sweep))


def doubt(sweep: SweepDirectory, number: int, claim: str, reason: str) -> None:
    """Let a verdict of a point be false."""
    run = RunDirectory(sweep.run_path(sweep.points[number - 1]))
    summary, fidelity = run.read_json("summary.json"), run.read_json("fidelity.json")
    summary["faithful"][claim] = False
    fidelity["reasons"][claim] = [reason]
    run.write_json("summary.json", summary)
    run.write_json("fidelity.json", fidelity)
    run.seal()
