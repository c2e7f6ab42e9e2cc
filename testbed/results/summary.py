"""A run in figures: the content of ``summary.json``, from the rows of its tables alone."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Container, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from testbed.results.fidelity import Claim
from testbed.results.quality import accuracy, accuracy_answered, bleu, bleu_difference
from testbed.results.statistics import (
    Interval,
    paired_difference,
    paired_mean_difference,
    percentile,
    share_interval,
)
from testbed.results.times import HOP_COLUMNS, NODE_COLUMNS, is_explained
from testbed.scenario.scenario import Scenario

Row = Mapping[str, Any]

NO_CLOUD_ONLY = "the run has no method in which the top tier alone serves"
NONE_IN_COMMON = "no request was answered under both"
NOTHING_CROSSED = "no prompt of theirs crossed a link under it"
PERCENTILES = (50, 95, 99)


def summarise(
    scenario: Scenario,
    requests: Sequence[Row],
    links: Sequence[Row],
    faithful: Mapping[Claim, bool],
) -> dict[str, Any]:
    """Summarise every method of which there are rows.

    Burdens count prompt bytes over the requests that the method and cloud-only both answered.
    """
    rows = {
        method.name: [row for row in requests if row["method"] == method.name] for method in scenario.methods
    }
    reference = _cloud_only(scenario, rows)
    methods = {
        name: _method(scenario, own, [row for row in links if row["method"] == name])
        for name, own in rows.items()
        if own
    }
    for name, figures in methods.items():
        figures |= _against_cloud_only(scenario, name, reference, rows, methods)
    return {"methods": methods, "faithful": dict(faithful)}


def _cloud_only(scenario: Scenario, rows: Mapping[str, Sequence[Row]]) -> str | None:
    top = scenario.tier_names[-1]
    return next(
        (method.name for method in scenario.methods if method.only_tier == top and rows[method.name]),
        None,
    )


def _method(scenario: Scenario, rows: Sequence[Row], links: Sequence[Row]) -> dict[str, Any]:
    ended = Counter(row["outcome"] for row in rows)
    answered = [row for row in rows if row["outcome"] == "answered"]
    return {
        "requests": len(rows),
        "answered": len(answered),
        "errors": {name: count for name, count in sorted(ended.items()) if name != "answered"},
        **_quality(scenario, rows),
        **_latency(rows),
        "spent_ms": _spent(rows),
        "spent_requests": len(_explained(rows)),
        "served_by": {tier: sum(row["tier"] == tier for row in answered) for tier in scenario.tier_names},
        **{name: sum(row[name] for row in links) for name in ("frame_bytes", "prompt_bytes", "answer_bytes")},
        "unaccounted_bytes": sum(abs(row["unaccounted_bytes"]) for row in links),
    }


def _quality(scenario: Scenario, rows: Sequence[Row]) -> dict[str, Any]:
    answers, references = _answers(rows), [row["reference"] for row in rows]
    if scenario.task.kind != "classification":
        found = bleu(answers, references)
        return {
            "bleu": None if found is None else found.score,
            "bleu_ci": None if found is None else _ends(found.interval),
        }
    low, high = share_interval(sum(map(bool, _correct(rows))), len(rows))
    return {
        "accuracy": accuracy(answers, references),
        "accuracy_ci": [low, high],
        "accuracy_answered": accuracy_answered(answers, references),
    }


def _answers(rows: Sequence[Row]) -> list[str | None]:
    return [row["answer"] if row["outcome"] == "answered" else None for row in rows]


def _ends(interval: Interval | None) -> list[float | None] | None:
    """An interval as JSON has it: an end at infinity is null."""
    return None if interval is None else [end if math.isfinite(end) else None for end in interval]


def _correct(rows: Sequence[Row]) -> list[bool]:
    return [bool(row["correct"]) and row["outcome"] == "answered" for row in rows]


def _latency(rows: Sequence[Row]) -> dict[str, Any]:
    """Over all requests: one that failed took as long as it took, and never less than infinity if unanswered.

    A percentile that an unanswered request falls into, or that the sample is too small for, is ``None``, and
    so is its interval in ``latency_ms_ci``; an upper end among the unanswered is ``None`` by itself.
    """
    values = [row["latency_ms"] if row["outcome"] == "answered" else math.inf for row in rows]
    found, intervals = {}, {}
    for percent in PERCENTILES:
        with np.errstate(invalid="ignore"):  # between two that never came
            one = percentile(values, percent) if values else None
        shown = one if one is not None and math.isfinite(one.value) else None
        found[f"p{percent}"] = None if shown is None else shown.value
        intervals[f"p{percent}"] = None if shown is None else _ends(shown.interval)
    return {"latency_ms": found, "latency_ms_ci": intervals}


def _explained(rows: Sequence[Row]) -> list[Row]:
    return [row for row in rows if row["outcome"] == "answered" and is_explained(row)]


def _spent(rows: Sequence[Row]) -> dict[str, float] | None:
    """Mean time by cause of the answered requests of which everything was recorded; sums to their latency."""
    counted = _explained(rows)
    if not counted:
        return None
    by_cause = {
        "lateness": [row["lateness_ms"] for row in counted],
        **{
            name.removesuffix("_ms"): [math.fsum(row[name]) for row in counted]
            for name in NODE_COLUMNS + HOP_COLUMNS
        },
        "unexplained": [row["unexplained_ms"] for row in counted],
    }
    return {cause: math.fsum(times_ms) / len(counted) for cause, times_ms in by_cause.items()}


def _against_cloud_only(
    scenario: Scenario,
    name: str,
    reference: str | None,
    rows: Mapping[str, Sequence[Row]],
    methods: Mapping[str, Mapping[str, Any]],
) -> dict[str, Any]:
    """What is null has its reason; that cloud-only is not held against itself needs none."""
    compared = "accuracy" if scenario.task.kind == "classification" else "bleu"
    keys = ("burden_vs_cloud_only", "burden_vs_direct_cloud", "frame_bytes_vs_cloud_only")
    differences = (f"{compared}_vs_cloud_only", "latency_vs_cloud_only")
    if reference is None:
        return {**dict.fromkeys((*keys, *differences)), "vs_cloud_only_reason": NO_CLOUD_ONLY}
    both = _answered(rows[name]) & _answered(rows[reference])
    own = sum(map(sum, _hop_prompts(rows[name], both)))
    whole = _hop_prompts(rows[reference], both)
    every_hop = sum(map(sum, whole))
    once = sum(max(hops, default=0) for hops in whole)
    frames = methods[reference]["frame_bytes"]
    found: dict[str, Any] = {
        "burden_vs_cloud_only": own / every_hop if every_hop else None,
        "burden_vs_direct_cloud": own / once if once else None,
        "frame_bytes_vs_cloud_only": methods[name]["frame_bytes"] / frames if frames else None,
        **dict.fromkeys(differences),
    }
    if not every_hop:
        found["vs_cloud_only_reason"] = NOTHING_CROSSED if both else NONE_IN_COMMON
    if name != reference:
        quality = _paired_accuracy if compared == "accuracy" else _paired_bleu
        found[differences[0]] = quality(rows[reference], rows[name])
        found[differences[1]] = _paired_latency(rows[reference], rows[name], both)
    return found


def _answered(rows: Iterable[Row]) -> set[str]:
    return {row["request_id"] for row in rows if row["outcome"] == "answered"}


def _hop_prompts(rows: Iterable[Row], requests: Container[str]) -> list[Sequence[int]]:
    """Prompt bytes on each hop that these requests tried."""
    return [row["hop_prompt_bytes"] for row in rows if row["request_id"] in requests]


def _same_requests(reference: Sequence[Row], own: Sequence[Row]) -> list[tuple[Row, Row]] | None:
    """Rows of the same request under both; ``None`` where one is missing, as in a run cut off."""
    first = {row["request_id"]: row for row in reference}
    second = {row["request_id"]: row for row in own}
    if first.keys() != second.keys() or not first:
        return None
    return [(row, second[request_id]) for request_id, row in first.items()]


def _paired_accuracy(reference: Sequence[Row], own: Sequence[Row]) -> dict[str, Any] | None:
    """Difference in accuracy on the same requests with its paired interval."""
    if (pairs := _same_requests(reference, own)) is None:
        return None
    first, second = zip(*pairs, strict=True)
    found = paired_difference(_correct(first), _correct(second))
    return {"difference": found.difference, "ci": list(found.interval), "p_value": found.p_value}


def _paired_bleu(reference: Sequence[Row], own: Sequence[Row]) -> dict[str, Any] | None:
    """Difference in BLEU on the same requests with its paired interval."""
    if (pairs := _same_requests(reference, own)) is None:
        return None
    first, second = zip(*pairs, strict=True)
    found = bleu_difference(_answers(first), _answers(second), [row["reference"] for row in first])
    return None if found is None else {"difference": found.score, "ci": _ends(found.interval)}


def _paired_latency(
    reference: Sequence[Row], own: Sequence[Row], both: Container[str]
) -> dict[str, Any] | None:
    """Difference in mean latency, in ms, over the requests that both answered, with its paired interval."""
    first, second = (
        {row["request_id"]: row["latency_ms"] for row in rows if row["request_id"] in both}
        for rows in (reference, own)
    )
    if not first:
        return None
    one, other = list(first.values()), [second[request_id] for request_id in first]
    return {
        "difference_ms": math.fsum(b - a for a, b in zip(one, other, strict=True)) / len(one),
        "ci_ms": _ends(paired_mean_difference(one, other)),
        "requests": len(one),
    }
