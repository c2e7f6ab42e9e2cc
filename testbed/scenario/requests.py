"""What is asked, of which device, when: drawn from a data set by seed, or read from a file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from testbed.errors import TestbedError
from testbed.scenario.draws import arrival_times, device_draws, shuffled_forever, stream
from testbed.scenario.scenario import Scenario
from testbed.scenario.sections.trace import DrawnTrace
from testbed.scenario.timeline import late_events
from testbed.scenario.workload.compact import numbered_id
from testbed.scenario.workload.datasets import DATASETS, Dataset, Example, load
from testbed.scenario.workload.trace_file import TRACE_SPLIT, Request, read_trace_file
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
    return list(requests_of(scenario))


def requests_of(scenario: Scenario) -> Iterable[Request]:
    """The requests of :func:`build_trace`; those that are drawn only as they are asked for.

    Raises:
        TestbedError: the file does not fit the scenario, or may be in another unit than seconds.
    """
    trace = scenario.trace
    lowest = scenario.tiers[0]
    devices = [f"{lowest.name}{number}" for number in range(1, lowest.nodes + 1)]
    if trace.kind == "file":
        path = Path(trace.file)
        task = scenario.task
        read = read_trace_file(path, devices, task.trace_labels, trace.unit, task.datasets)
        requests = read.requests
        if trace.requests is not None and trace.requests > len(requests):
            raise TestbedError(
                f"{trace.file}: holds {len(requests)} requests, fewer than the {trace.requests} asked for"
            )
        replayed = requests[: trace.requests]
        if scenario.replay.mode == "open":  # in the other modes the trace's times mean nothing
            told = "unit" in trace.model_fields_set or read.header is not None
            require_believable(replayed, path, unit_is_given=told)
        return replayed
    return _drawn(trace, scenario.task.data, devices)


def draw_trace(
    trace: DrawnTrace, dataset: str | Dataset, devices: Sequence[str], rows: Sequence[int] | None = None
) -> list[Request]:
    """Draw a trace from the data set's ``test`` split, or from these ``rows``; the same on every host.

    Arrivals, devices and rows each have a random stream of their own, so that the first N requests of a
    longer trace are the trace of N requests. Devices are drawn uniformly and independently. Rows come in
    random order without replacement; once all have been used, in another random order, so that a prompt
    repeats only when there are more requests than rows (:func:`summarise` counts those).
    """
    return list(_drawn(trace, dataset, devices, rows))


def _drawn(
    trace: DrawnTrace, dataset: str | Dataset, devices: Sequence[str], rows: Sequence[int] | None = None
) -> Iterator[Request]:
    name = dataset if isinstance(dataset, str) else dataset.name
    named = ((name, row) for row in row_order(dataset, trace.seed, rows))
    times = arrival_times(trace.arrivals, trace.seed)
    return islice(numbered(times, device_draws(devices, trace.seed), named), trace.requests)


def numbered(
    times: Iterable[float], devices: Iterable[str], rows: Iterable[tuple[str, int]]
) -> Iterator[Request]:
    """Requests by what their times, devices and rows (data set and number) are; as many as the shortest has.

    Times are rounded to microseconds.
    """
    for number, (at_s, device, (dataset, row)) in enumerate(zip(times, devices, rows, strict=False), start=1):
        yield Request(numbered_id(number), round(at_s, 6), device, dataset, TRACE_SPLIT, row)


def prompts_for(trace: Sequence[Request], datasets: Mapping[str, Dataset] = DATASETS) -> dict[str, Example]:
    """Each request's prompt and reference, by request id; ``datasets`` are by name.

    Raises:
        TestbedError: a data set, split or row that does not exist.
    """
    found = examples_for(trace, datasets)
    return {request.id: example for request, example in zip(trace, found, strict=True)}


def examples_for(trace: Sequence[Request], datasets: Mapping[str, Dataset] = DATASETS) -> list[Example]:
    """Each request's prompt and reference, in the trace's order; ``datasets`` are by name.

    Raises:
        TestbedError: a data set, split or row that does not exist.
    """
    wanted = {(request.dataset, request.split) for request in trace}
    examples = {
        (name, split): {example.row: example for example in load(datasets.get(name, name), split)}
        for name, split in wanted
    }
    found = []
    for request in trace:
        example = examples[request.dataset, request.split].get(request.row)
        if example is None:
            raise TestbedError(
                f"request {request.id}: {request.dataset}'s {request.split} split has no row {request.row}"
            )
        found.append(example)
    return found


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
    return shuffled_forever(rows, stream(seed, "rows"))
