"""What a trace looks like: rates, bursts, lengths, and who asks how much."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from testbed.errors import TestbedError
from testbed.scenario.traces.telling import spread
from testbed.scenario.workload.datasets import Dataset, load
from testbed.scenario.workload.trace_file import TRACE_SPLIT, Request

WINDOWS_S = (0.1, 1, 10, 60, 600, 3600)
LEAST_WINDOWS = 20
"""Of a length, that an index of dispersion over them tells something."""
BINS = 60
PARTS = 4


def shape_of(
    requests: Sequence[Request], datasets: Mapping[str, Dataset], header: Mapping[str, Any] | None
) -> dict[str, Any]:
    """The figures of a trace, for people and programs (docs/TRACES.md)."""
    times_s = np.array([request.at_s for request in requests])
    duration_s = float(times_s[-1])
    lengths, lacks = _prompt_bytes(requests, datasets)
    return {
        "requests": len(requests),
        "duration_s": duration_s,
        "rate_per_s": _or_none(len(requests) / duration_s if duration_s else None),
        "rate_over_time": rate_over_time(times_s),
        "gaps_s": _gaps(times_s),
        "dispersion": [
            {"window_s": window_s, "index": round(index, 3)}
            for window_s in WINDOWS_S
            if (index := dispersion(times_s, window_s)) is not None
        ],
        "prompt_bytes": None if lengths is None else _lengths(lengths),
        "prompt_bytes_lack": lacks,
        "devices": _shares(Counter(request.device for request in requests), len(requests)),
        "datasets": _shares(Counter(request.dataset for request in requests), len(requests)),
        "datasets_by_quarter": _by_quarter(requests),
        "repeated_prompts": len(requests) - len({(one.dataset, one.split, one.row) for one in requests}),
        "header": header,
    }


def rate_over_time(times_s: Sequence[float] | NDArray[Any], bins: int = BINS) -> dict[str, Any] | None:
    """Requests in so many equal parts of the trace's time; ``None`` if it has none."""
    duration_s = float(times_s[-1])
    if duration_s == 0:
        return None
    counts, _ = np.histogram(times_s, bins=bins, range=(0, duration_s))
    return {"bin_s": duration_s / bins, "requests": [int(count) for count in counts]}


def dispersion(times_s: Sequence[float] | NDArray[Any], window_s: float) -> float | None:
    """The index of dispersion of counts: their variance over their mean, in windows of that length.

    It is 1 for Poisson arrivals at any length, 0 for equal gaps, and grows with the length where bursts last.
    Only whole windows count; ``None`` if they are fewer than :data:`LEAST_WINDOWS`.
    """
    # In whole microseconds, as traces are written: of floats, 0.3 would lie in the window before 0.1 * 3.
    times_us, window_us = np.rint(np.asarray(times_s) * 1e6).astype(np.int64), round(window_s * 1e6)
    windows = int(times_us[-1]) // window_us
    if windows < LEAST_WINDOWS:
        return None
    # Of those with a request alone: of a sparse trace of months there are hundreds of millions.
    _, counts = np.unique(times_us[times_us < windows * window_us] // window_us, return_counts=True)
    mean = float(counts.sum()) / windows
    squares = float(((counts - mean) ** 2).sum()) + (windows - len(counts)) * mean**2
    return squares / (windows - 1) / mean if mean else None


def _gaps(times_s: NDArray[Any]) -> dict[str, float] | None:
    """Mean, coefficient of variation and the largest of the times between requests."""
    gaps_s = np.diff(times_s)
    if not len(gaps_s) or not (mean_s := float(np.mean(gaps_s))):
        return None
    return {
        "mean": mean_s,
        "variation": round(float(np.std(gaps_s)) / mean_s, 3),
        "largest": float(np.max(gaps_s)),
        "of_0": round(float(np.mean(gaps_s == 0)), 4),
    }


def _or_none(value: float | None) -> float | None:
    return None if value is None else round(value, 6)


def _prompt_bytes(
    requests: Sequence[Request], datasets: Mapping[str, Dataset]
) -> tuple[NDArray[Any] | None, str | None]:
    """The prompts' lengths in bytes of UTF-8; or why they are not known."""
    known: dict[str, dict[int, int]] = {}
    try:
        for name in {request.dataset for request in requests}:
            if name not in datasets:
                why = f"data set {name} is none of the testbed's; give --scenario, which names its file"
                return None, why
            examples = load(datasets[name], TRACE_SPLIT)
            known[name] = {example.row: len(example.text.encode()) for example in examples}
    except TestbedError as error:
        return None, str(error)
    try:
        return np.array([known[request.dataset][request.row] for request in requests]), None
    except KeyError as error:
        return None, f"a data set has no row {error}"


def _lengths(lengths: NDArray[Any]) -> dict[str, Any]:
    counts, edges = np.histogram(lengths, bins=10)
    return {
        **spread(lengths, 5, 50, 95),
        "largest": int(lengths.max()),
        "histogram": {
            "edges": [round(float(edge), 1) for edge in edges],
            "requests": [int(count) for count in counts],
        },
    }


def _shares(counts: Counter[str], total: int) -> dict[str, dict[str, float]]:
    """Requests and share by name, the most first."""
    return {
        name: {"requests": count, "share": round(count / total, 4)}
        for name, count in sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
    }


def _by_quarter(requests: Sequence[Request]) -> list[dict[str, int]]:
    """Requests by data set in each quarter of the requests, where there are several sets."""
    if len({request.dataset for request in requests}) < 2:
        return []
    ends = [len(requests) * part // PARTS for part in range(PARTS + 1)]
    return [
        dict(sorted(Counter(request.dataset for request in requests[low:high]).items()))
        for low, high in pairwise(ends)
    ]
