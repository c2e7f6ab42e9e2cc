"""What is asked, of which device, when: drawn from a data set by seed, or read from a file."""

from __future__ import annotations

import itertools
import math
import random
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from testbed.errors import TestbedError
from testbed.scenario.scenario import Scenario
from testbed.scenario.sections.trace import Arrivals, DrawnTrace
from testbed.scenario.timeline import late_events
from testbed.scenario.workload.datasets import DATASETS, Dataset, Example, load
from testbed.scenario.workload.trace_file import TRACE_SPLIT, Request, read_trace
from testbed.scenario.workload.trace_time import pauses, require_believable


@dataclass(frozen=True)
class TraceSummary:
    """A trace at a glance. ``repeated_prompts`` counts requests whose prompt an earlier one had."""

    requests: int
    duration_s: float
    rate_per_s: float
    by_device: dict[str, int]
    by_reference: dict[str, int]
    repeated_prompts: int
    prompt_bytes: int


def build_trace(scenario: Scenario) -> list[Request]:
    """The scenario's trace, in order of time: the file's, or one drawn by its seed.

    Raises:
        TestbedError: the file does not fit the scenario, or may be in another unit than seconds.
    """
    trace = scenario.trace
    lowest = scenario.tiers[0]
    devices = [f"{lowest.name}{number}" for number in range(1, lowest.nodes + 1)]
    if trace.kind == "file":
        path = Path(trace.file)
        requests = read_trace(path, devices, scenario.task.trace_labels, trace.unit, scenario.task.datasets)
        if trace.requests is not None and trace.requests > len(requests):
            raise TestbedError(
                f"{trace.file}: holds {len(requests)} requests, fewer than the {trace.requests} asked for"
            )
        replayed = requests[: trace.requests]
        if scenario.replay.mode == "open":  # in the other modes the trace's times mean nothing
            require_believable(replayed, path, unit_is_given="unit" in trace.model_fields_set)
        return replayed
    return draw_trace(trace, scenario.task.data, devices)


def draw_trace(
    trace: DrawnTrace, dataset: str | Dataset, devices: Sequence[str], rows: Sequence[int] | None = None
) -> list[Request]:
    """Draw a trace from the data set's ``test`` split, or from these ``rows``; the same on every host.

    Arrivals, devices and rows each have a random stream of their own, so that the first N requests of a
    longer trace are the trace of N requests. Devices are drawn uniformly and independently. Rows come in
    random order without replacement; once all have been used, in another random order, so that a prompt
    repeats only when there are more requests than rows (:func:`summarise` counts those).
    """
    times = _arrivals(trace.arrivals, _stream(trace.seed, "arrivals"))
    draws = _stream(trace.seed, "devices")
    order = row_order(dataset, trace.seed, rows)
    name = dataset if isinstance(dataset, str) else dataset.name
    return [
        Request(
            id=f"r{number:06d}",
            at_s=round(next(times), 6),
            device=devices[_below(len(devices), draws)],
            dataset=name,
            split=TRACE_SPLIT,
            row=next(order),
        )
        for number in range(1, trace.requests + 1)
    ]


def prompts_for(trace: Sequence[Request], datasets: Mapping[str, Dataset] = DATASETS) -> dict[str, Example]:
    """Each request's prompt and reference, by request id; ``datasets`` are by name.

    Raises:
        TestbedError: a data set, split or row that does not exist.
    """
    wanted = {(request.dataset, request.split) for request in trace}
    examples = {
        (name, split): {example.row: example for example in load(datasets.get(name, name), split)}
        for name, split in wanted
    }
    prompts = {}
    for request in trace:
        example = examples[request.dataset, request.split].get(request.row)
        if example is None:
            raise TestbedError(
                f"request {request.id}: {request.dataset}'s {request.split} split has no row {request.row}"
            )
        prompts[request.id] = example
    return prompts


def time_notes(scenario: Scenario, trace: Sequence[Request]) -> list[str]:
    """Notes on times of the trace at which nothing happens, and on events after its end.

    None where requests are not sent at the trace's times.
    """
    if scenario.replay.mode != "open":
        return []
    return pauses(trace) + late_events(scenario.events, trace[-1].at_s)


def summarise(trace: Sequence[Request], datasets: Mapping[str, Dataset] = DATASETS) -> TraceSummary:
    """Size, time, rate, devices and references of a trace. The rate is over its time, 0 if it has none."""
    prompts = prompts_for(trace, datasets)
    duration_s = trace[-1].at_s if trace else 0.0
    distinct = {(request.dataset, request.split, request.row) for request in trace}
    return TraceSummary(
        requests=len(trace),
        duration_s=duration_s,
        rate_per_s=len(trace) / duration_s if duration_s else 0.0,
        by_device=dict(sorted(Counter(request.device for request in trace).items())),
        by_reference=dict(sorted(Counter(example.reference for example in prompts.values()).items())),
        repeated_prompts=len(trace) - len(distinct),
        prompt_bytes=sum(len(example.text.encode()) for example in prompts.values()),
    )


def row_order(dataset: str | Dataset, seed: int, rows: Sequence[int] | None = None) -> Iterator[int]:
    """The order in which a trace of that seed has the rows of the data set's held-out split, without end.

    Or ``rows``, if they are given: then the data set itself is not needed.
    """
    if rows is None:
        rows = [example.row for example in load(dataset, TRACE_SPLIT)]
    return _rows(rows, _stream(seed, "rows"))


def _stream(seed: int, name: str) -> random.Random:
    """A generator whose ``random()`` Python promises to keep, which NumPy's generators do not."""
    return random.Random(f"{seed}/{name}")


def _below(bound: int, draws: random.Random) -> int:
    """A uniform integer in [0, bound): by ``random()`` alone, for other methods may change."""
    return int(draws.random() * bound)


def _arrivals(arrivals: Arrivals, draws: random.Random) -> Iterator[float]:
    if arrivals.process == "uniform":
        yield from (number / arrivals.rate_per_s for number in itertools.count())
    at_s = 0.0
    while True:
        at_s -= math.log1p(-draws.random()) / arrivals.rate_per_s
        yield at_s


def _rows(rows: Sequence[int], draws: random.Random) -> Iterator[int]:
    """The rows in random order (Fisher and Yates), then in another, without end."""
    while True:
        order = list(rows)
        for last in range(len(order) - 1, 0, -1):
            chosen = _below(last + 1, draws)
            order[last], order[chosen] = order[chosen], order[last]
        yield from order
