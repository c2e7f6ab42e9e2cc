"""Traces drawn: arrivals of a process, devices by their shares, rows of data sets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from testbed.errors import TestbedError
from testbed.scenario.draws import arrival_times
from testbed.scenario.reading.mistakes import explain
from testbed.scenario.requests import numbered, row_order
from testbed.scenario.sections.section import AS_A_PERSON, FileContext
from testbed.scenario.sections.trace import Arrivals
from testbed.scenario.traces.ground import Ground
from testbed.scenario.workload.trace_file import MAX_LINES, Request


def arrivals_of(given: Mapping[str, Any]) -> Arrivals:
    """Arrivals as a user has them on the command line, ``None`` where he does not.

    Raises:
        TestbedError: they are not as a scenario's must be.
    """
    values = {key: value for key, value in given.items() if value is not None}
    try:
        return Arrivals.model_validate(values, context=FileContext(Path.cwd()))
    except ValidationError as error:
        field, sentence = explain(error, values)
        option = {"process": "arrivals"}.get(field, field)
        raise TestbedError(f"--{option}: {sentence.replace('process:', '--arrivals')}") from None


def build_trace(
    ground: Ground, requests: int, arrivals: Arrivals
) -> tuple[dict[str, Any], Iterator[Request]]:
    """A trace of so many requests: its header, and the requests as they are drawn.

    With the same seed, arrivals and devices, no drift and no Zipf share, it is what a scenario draws.

    Raises:
        TestbedError: they are none, or too many, or a data set cannot be had.
    """
    if not 1 <= requests <= MAX_LINES:
        raise TestbedError(
            f"--requests: {requests} is not from 1 to {MAX_LINES:,}, which a trace has at most"
        )
    header = {
        "made_by": "testbed trace build",
        "requests": requests,
        "arrivals": arrivals.model_dump(context=AS_A_PERSON),
        **ground.described(),
    }
    times = arrival_times(arrivals, ground.seed)
    return header, numbered(times, ground.draw_devices(), _rows(ground, requests))


def _rows(ground: Ground, requests: int) -> Iterator[tuple[str, int]]:
    """Data set and row of each request; all data sets are read now, before a file is begun."""
    orders = {dataset.name: row_order(dataset, ground.seed) for dataset in ground.datasets}
    return ((dataset.name, next(orders[dataset.name])) for dataset in ground.draw_datasets(requests))
