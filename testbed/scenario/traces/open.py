"""A trace to look at: from a file, a run's directory, or as a scenario would replay it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast, get_args

from testbed.errors import TestbedError
from testbed.scenario.requests import build_trace
from testbed.scenario.scenario import load_scenario
from testbed.scenario.workload.datasets import DATASETS, Dataset
from testbed.scenario.workload.trace_file import Request, read_trace_file
from testbed.scenario.workload.trace_time import require_believable
from testbed.scenario.workload.trace_unit import Unit


@dataclass(frozen=True)
class Opened:
    """A trace, the data sets that it may name, and its file's header."""

    requests: Sequence[Request]
    datasets: Mapping[str, Dataset]
    header: dict[str, Any] | None


def open_trace(path: Path, unit: str | None, scenario: Path | None) -> Opened:
    """Read a trace. Its rows are not checked, so that a file whose data set is not at hand can be looked at.

    Args:
        path: a trace file, a run's directory, or a scenario (``.yaml``).
        unit: of a file without a header.
        scenario: whose data set the file names.

    Raises:
        TestbedError: it is no trace, or its unit is to be given.
    """
    if unit is not None and unit not in get_args(Unit):
        raise TestbedError(f"--unit: {unit!r} is none; give one of {', '.join(get_args(Unit))}")
    if path.suffix in (".yaml", ".yml"):
        if unit is not None or scenario is not None:
            raise TestbedError("--unit, --scenario: are for trace files; leave them out")
        loaded = load_scenario(path)
        return Opened(build_trace(loaded), loaded.task.datasets, None)
    datasets: Mapping[str, Dataset] = DATASETS if scenario is None else load_scenario(scenario).task.datasets
    of_run = path.is_dir()
    file = path / "trace.jsonl" if of_run else path
    read = read_trace_file(file, unit=cast(Unit, unit or "s"), datasets=None)
    told = of_run or unit is not None or read.header is not None
    require_believable(read.requests, file, unit_is_given=told, mend=("--unit ms", "--unit s"))
    return Opened(read.requests, datasets, read.header)
