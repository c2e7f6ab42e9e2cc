"""Trace files: JSON Lines, one request each, checked line by line.

The first line may be a header, ``{"trace": {…}}``: it says where the requests come from, and that their times
are in seconds. What ``testbed trace`` writes has one, a run's own ``trace.jsonl`` has none.
"""

from __future__ import annotations

import dataclasses
import json
import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, get_type_hints

from testbed.errors import TestbedError
from testbed.scenario.reading.line_file import read_values
from testbed.scenario.reading.mistakes import nearest
from testbed.scenario.workload.datasets import DATASETS, Dataset, load
from testbed.scenario.workload.trace_unit import MEANING, Unit, in_seconds
from tiers.protocol import REQUEST_ID_MAX_LENGTH

TRACE_SPLIT = "test"
"""The only split that a trace may name: no model was trained on a sentence of it."""


@dataclass(frozen=True, slots=True)
class Request:
    """One line of a trace: a prompt by name, never by text, due ``at_s`` seconds after the start."""

    id: str
    at_s: float
    device: str
    dataset: str
    split: str
    row: int


MAX_LINE_BYTES = 4096
MAX_LINES = 1_000_000
"""Requests of a trace."""
_ID = re.compile(rf"[A-Za-z0-9._-]{{1,{REQUEST_ID_MAX_LENGTH}}}")
_TYPES = get_type_hints(Request)


@dataclass(frozen=True)
class TraceFile:
    """What a trace file holds; ``header`` is ``None`` without one."""

    header: dict[str, Any] | None
    requests: list[Request]


HEADER = "trace"
"""The only key of a header's line."""
SECONDS = "s"


def write_trace(trace: Iterable[Request], path: Path, header: Mapping[str, Any] | None = None) -> None:
    """Write a trace, one line for each request, after its header; it reads back equal.

    Raises:
        TestbedError: the file cannot be written.
    """
    try:
        with path.open("w", encoding="utf-8") as file:
            file.writelines(trace_lines(trace, header))
    except OSError as error:
        raise TestbedError(f"{path}: cannot be written ({error.strerror})") from None


def trace_lines(trace: Iterable[Request], header: Mapping[str, Any] | None = None) -> Iterator[str]:
    """The lines of a trace file."""
    if header is not None:
        yield json.dumps({HEADER: {"unit": SECONDS, **header}}, ensure_ascii=False) + "\n"
    yield from map(trace_line, trace)


def trace_line(request: Request) -> str:
    """A request as its line in a trace file."""
    return json.dumps({key: getattr(request, key) for key in _TYPES}) + "\n"


def read_trace(
    path: Path,
    devices: Sequence[str] | None = None,
    labels: Sequence[str] | None = None,
    unit: Unit = "s",
    datasets: Mapping[str, Dataset] = DATASETS,
) -> list[Request]:
    """The requests of :func:`read_trace_file`."""
    return read_trace_file(path, devices, labels, unit, datasets).requests


def read_trace_file(
    path: Path,
    devices: Sequence[str] | None = None,
    labels: Sequence[str] | None = None,
    unit: Unit = "s",
    datasets: Mapping[str, Dataset] | None = DATASETS,
) -> TraceFile:
    """Read and check a trace, in order of time.

    Args:
        path: the file.
        devices: names that requests may have as ``device``; any, if not given.
        labels: the labels that the data sets must have; any, if not given.
        unit: of ``at_s`` in the file. The requests have it in seconds.
        datasets: by name, those that requests may be of; ``None`` to leave data sets and rows unchecked.

    Raises:
        TestbedError: with file and line, what is wrong there and how to mend it.
    """
    header: dict[str, Any] | None = None
    requests: list[Request] = []
    ids: set[str] = set()

    def parse(line: bytes, number: int) -> Request | None:
        nonlocal header
        if not line.strip():
            return None
        entry = _object(line, number)
        if not requests and header is None and HEADER in entry:
            header = _header(entry, unit)
            return None
        request = _request(entry, unit)
        _check(request, requests[-1].at_s if requests else 0.0, ids, devices)
        if datasets is not None:
            _check_row(request, datasets, labels)
        return request

    for request in read_values(path, parse, "trace file", MAX_LINE_BYTES + 1, "JSON"):
        if request is not None:
            requests.append(request)
            ids.add(request.id)
    if not requests:
        raise TestbedError(f"{path}: holds no request; write one JSON object a line")
    try:
        times_s = in_seconds([request.at_s for request in requests], unit)
    except ValueError as error:
        raise TestbedError(f"{path}: {error}") from None
    if unit != SECONDS:
        requests = [
            dataclasses.replace(request, at_s=at_s) for request, at_s in zip(requests, times_s, strict=True)
        ]
    return TraceFile(header, requests)


def _header(entry: Mapping[str, Any], unit: Unit) -> dict[str, Any]:
    """What a header's line says."""
    said = entry[HEADER]
    if len(entry) > 1 or not isinstance(said, dict):
        raise ValueError(f"a header is an object with the key {HEADER} alone, and that is an object")
    if said.get("unit") != SECONDS:
        raise ValueError(
            f"a header's unit must be {SECONDS!r}, not {said.get('unit')!r}; write times in seconds"
        )
    if unit != SECONDS:
        raise ValueError(f"its header says that times are in seconds; remove unit: {unit}")
    return said


def _object(line: bytes, number: int) -> dict[str, Any]:
    if len(line) > MAX_LINE_BYTES:
        raise ValueError(f"the line is longer than {MAX_LINE_BYTES} bytes; a trace holds no text")
    if number > MAX_LINES + 1:  # one is the header's
        raise ValueError(f"a trace has {MAX_LINES} requests at most; split it")
    try:
        entry: Any = json.loads(line.decode("utf-8"), object_pairs_hook=_once_each)
    except _GivenTwiceError:
        raise
    except (ValueError, RecursionError):
        raise ValueError("is not JSON in UTF-8; write one object a line") from None
    if not isinstance(entry, dict):
        raise ValueError(f"must be an object with {', '.join(_TYPES)}")
    return entry


def _request(entry: dict[str, Any], unit: Unit) -> Request:
    for key in entry:
        if key not in _TYPES:
            raise ValueError(f"unknown key {key!r}; {nearest(key, _TYPES)}")
    for key, kind in _TYPES.items():
        if key not in entry:
            raise ValueError(f"{key} is missing; add it")
        value = entry[key]
        if isinstance(value, bool) or not isinstance(value, (int, float) if kind is float else kind):
            words = {str: "text", float: "a number", int: "a whole number"}[kind]
            raise ValueError(f"{key} must be {words}, not {value!r}")
    return Request(**{**entry, "at_s": _time(entry["at_s"], unit)})


class _GivenTwiceError(ValueError):
    """A key stands twice in an object, of which JSON's reader would take the last."""


def _once_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    entry = dict(pairs)
    if len(entry) < len(pairs):
        key = next(key for key, count in Counter(key for key, _ in pairs).items() if count > 1)
        raise _GivenTwiceError(f"key {key!r} is given twice; remove one")
    return entry


def _time(value: int | float, unit: Unit) -> float:
    try:
        time = float(value)
    except OverflowError:
        time = math.inf
    if not math.isfinite(time) or time < 0:
        raise ValueError(f"at_s must be {MEANING[unit]}, 0 or more")
    return time


def _check(
    request: Request,
    previous_s: float,
    ids: set[str],
    devices: Sequence[str] | None,
) -> None:
    if not _ID.fullmatch(request.id):
        raise ValueError(
            f"id {request.id!r} must be 1 to {REQUEST_ID_MAX_LENGTH} letters, digits, '.', '-' or '_'"
        )
    if request.id in ids:
        raise ValueError(f"id {request.id!r} was used before; give each request its own")
    if request.at_s < previous_s:
        raise ValueError(f"at_s {request.at_s} is before the line above ({previous_s}); sort by time")
    if devices is not None and request.device not in devices:
        raise ValueError(
            f"no device {request.device!r} in the lowest tier; {nearest(request.device, devices)}"
        )


def _check_row(request: Request, datasets: Mapping[str, Dataset], labels: Sequence[str] | None) -> None:
    """The prompt is there, held out, and its reference is one of the task's labels."""
    dataset = datasets.get(request.dataset)
    if dataset is None:
        raise ValueError(f"no data set {request.dataset!r}; {nearest(request.dataset, datasets)}")
    if labels is not None and dataset.labels != tuple(labels):
        raise ValueError(f"data set {request.dataset} has not the scenario's labels [{', '.join(labels)}]")
    if request.split != TRACE_SPLIT:
        raise ValueError(
            f"split {request.split!r} is refused, for models may have learnt it; "
            f"name rows of the {TRACE_SPLIT} split"
        )
    if request.row in _rows(dataset, TRACE_SPLIT):
        return
    if request.row in _rows(dataset, "train"):
        raise ValueError(
            f"row {request.row} of {request.dataset} is in its train split, which models have learnt; "
            f"name rows of the {TRACE_SPLIT} split"
        )
    raise ValueError(f"{request.dataset} has no row {request.row}; name rows of its {TRACE_SPLIT} split")


@cache
def _rows(dataset: Dataset, split: str) -> frozenset[int]:
    return frozenset(example.row for example in load(dataset, split))
