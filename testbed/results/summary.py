"""Sums up a run: makes the content of ``summary.json`` from the rows of its tables alone."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Container, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from testbed.results.burden import burden_paper_bytes
from testbed.results.columns import Row
from testbed.results.cost import cost_figures
from testbed.results.fidelity import Claim
from testbed.results.made_up import made_up_answers, made_up_inferences
from testbed.results.offload import offload_figures
from testbed.results.scorers import SCORERS, Scorer
from testbed.results.statistics import interval_to_json, paired_mean_difference, percentile
from testbed.results.theory import theory_figures
from testbed.results.times import HOP_COLUMNS, NODE_COLUMNS, is_explained
from testbed.scenario.scenario import Scenario
from testbed.scenario.sections.methods import Method

NO_CLOUD_ONLY = "the run has no method in which the top tier alone serves"
NONE_IN_COMMON = "no request was answered under both"
NOT_THE_SAME = "the two did not replay the same requests, and frames are not told apart by request"
NOTHING_CROSSED = "no prompt of theirs crossed a link under it"
PERCENTILES = (50, 95, 99)
BURDENS = (
    "burden_vs_cloud_only",
    "burden_vs_direct_cloud",
    "burden_paper_vs_cloud_only",
    "frame_bytes_vs_cloud_only",
)


class _Method(NamedTuple):
    """One method: its rows of ``requests.parquet``, and its figures so far."""

    method: Method
    rows: Sequence[Row]
    figures: dict[str, Any]


def summarise(
    scenario: Scenario,
    requests: Sequence[Row],
    links: Sequence[Row],
    faithful: Mapping[Claim, bool],
    tiers: Sequence[Row] = (),
    *,
    judged: bool = True,
) -> dict[str, Any]:
    """Summarise every method of which there are rows; those of ``tiers`` are needed where tiers have prices.

    ``judged`` says whether answers have references.

    Burdens count prompt bytes over the requests that the method and cloud-only both answered.
    """
    scorer = SCORERS[scenario.task.kind]
    methods: dict[str, _Method] = {}
    topology = scenario.topology
    for method in scenario.methods:
        name = method.name
        rows = [row for row in requests if row["method"] == name]
        if rows:
            crossed = [row for row in links if row["method"] == name]
            figures = _figures(scorer, scenario.tier_names, rows, crossed)
            if not judged:  # an answer that nothing is known of is not wrong
                figures |= dict.fromkeys(scorer.score([], []))
            figures["burden_paper_bytes"] = burden_paper_bytes(method, scenario.tier_names, rows)
            figures["offload"] = offload_figures(method, rows, topology)
            figures["made_up_inferences"] = made_up_inferences(rows, topology)
            figures["made_up_answers"] = made_up_answers(rows, topology)
            figures["theory"] = theory_figures(method, rows, topology, scorer.right if judged else None)
            used = [row for row in tiers if row["method"] == name]
            figures.update(cost_figures(scenario, method, rows, used))
            methods[name] = _Method(method, rows, figures)
    cloud_only = _cloud_only(scenario, methods)
    for made in methods.values():
        made.figures.update(_against_cloud_only(scorer, scenario.tier_names, made, cloud_only))
    return {
        "methods": {name: made.figures for name, made in methods.items()},
        "faithful": dict(faithful),
    }


def _cloud_only(scenario: Scenario, methods: Mapping[str, _Method]) -> _Method | None:
    """The first method in which the top tier alone serves."""
    policy = f"{scenario.tier_names[-1]}-only"
    names = (method.name for method in scenario.methods if method.policy == policy and method.name in methods)
    return next((methods[name] for name in names), None)


def _figures(
    scorer: Scorer, tiers: Sequence[str], rows: Sequence[Row], links: Sequence[Row]
) -> dict[str, Any]:
    """What a method achieved by itself."""
    ended = Counter(row["outcome"] for row in rows)
    answered = [row for row in rows if row["outcome"] == "answered"]
    return {
        "requests": len(rows),
        "answered": len(answered),
        "errors": {name: count for name, count in sorted(ended.items()) if name != "answered"},
        "degraded": _degraded(rows),
        "skipped": _skipped(answered),
        **scorer.score(_judged(scorer, rows), _references(rows)),
        **_latency(rows),
        "spent_ms": _spent_ms(rows),
        "spent_requests": len(_explained(rows)),
        "served_by": {tier: sum(row["tier"] == tier for row in answered) for tier in tiers},
        **{name: sum(row[name] for row in links) for name in ("frame_bytes", "prompt_bytes", "answer_bytes")},
        "unaccounted_bytes": sum(abs(row["unaccounted_bytes"]) for row in links),
    }


def _judged(scorer: Scorer, rows: Sequence[Row]) -> list[Any]:
    """What the scorer looks at: answers, or what was recorded of how good each is."""
    return [scorer.judged(row) for row in rows]


def _degraded(rows: Sequence[Row]) -> int | None:
    """Answers in place of an unreachable tier's; ``None`` if the rows, being older, do not tell."""
    told = [row.get("degraded") for row in rows]
    return None if None in told else told.count(True)


def _skipped(answered: Sequence[Row]) -> int | None:
    """Answers that came past an unreachable tier; ``None`` as above."""
    if any(row.get("skipped") is None for row in answered):
        return None
    pairs = [zip(row["skipped"], row["forward_errors"], strict=True) for row in answered]
    return sum(any(why and not error for why, error in ways) for ways in pairs)


def _references(rows: Sequence[Row]) -> list[str]:
    return [row["reference"] for row in rows]


def _latency(rows: Sequence[Row]) -> dict[str, Any]:
    """Percentiles over all requests; one without an answer took for ever.

    A percentile that falls among the unanswered, or that the sample is too small for, is ``None``, and so is
    its interval in ``latency_ms_ci``; an upper end among the unanswered is ``None`` by itself.
    """
    latencies_ms = _latencies_ms(rows)
    values: dict[str, float | None] = {}
    intervals: dict[str, list[float | None] | None] = {}
    for percent in PERCENTILES:
        with np.errstate(invalid="ignore"):  # between two that never came
            latency = percentile(latencies_ms, percent)
        if latency is not None and not math.isfinite(latency.value):
            latency = None
        values[f"p{percent}"] = latency and latency.value
        intervals[f"p{percent}"] = interval_to_json(latency and latency.interval)
    return {"latency_ms": values, "latency_ms_ci": intervals}


def plain_percentile(rows: Sequence[Row], percent: float) -> float | None:
    """A percentile of the latencies of rows, however few they are; ``None`` if it is among the unanswered."""
    with np.errstate(invalid="ignore"):
        value = float(np.percentile(_latencies_ms(rows), percent))
    return value if math.isfinite(value) else None


def _latencies_ms(rows: Sequence[Row]) -> list[float]:
    return [row["latency_ms"] if row["outcome"] == "answered" else math.inf for row in rows]


def _explained(rows: Sequence[Row]) -> list[Row]:
    return [row for row in rows if row["outcome"] == "answered" and is_explained(row)]


def _spent_ms(rows: Sequence[Row]) -> dict[str, float] | None:
    """Mean time by cause of the answered requests of which everything was recorded; sums to their latency."""
    explained = _explained(rows)
    if not explained:
        return None
    by_cause = {
        "lateness": [row["lateness_ms"] for row in explained],
        **{
            name.removesuffix("_ms"): [math.fsum(row[name]) for row in explained]
            for name in NODE_COLUMNS + HOP_COLUMNS
        },
        "unexplained": [row["unexplained_ms"] for row in explained],
    }
    return {cause: math.fsum(times_ms) / len(explained) for cause, times_ms in by_cause.items()}


def _against_cloud_only(
    scorer: Scorer, tiers: Sequence[str], method: _Method, cloud_only: _Method | None
) -> dict[str, Any]:
    """How a method differs from cloud-only.

    A burden that is null has its reason. Cloud-only does not differ from itself, which needs none.
    """
    figures: dict[str, Any] = dict.fromkeys((*BURDENS, scorer.difference_key, "latency_vs_cloud_only"))
    if cloud_only is None:
        return {**figures, "vs_cloud_only_reason": NO_CLOUD_ONLY}
    both = _answered(method.rows) & _answered(cloud_only.rows)
    crossed = _hop_prompts(cloud_only.rows, both)
    every_hop = sum(map(sum, crossed))
    if every_hop:
        sent = sum(map(sum, _hop_prompts(method.rows, both)))
        figures["burden_vs_cloud_only"] = sent / every_hop
        figures["burden_vs_direct_cloud"] = sent / sum(max(hops, default=0) for hops in crossed)
    else:
        figures["vs_cloud_only_reason"] = NOTHING_CROSSED if both else NONE_IN_COMMON
    paper, direct = (burden_paper_bytes(made.method, tiers, made.rows, both) for made in (method, cloud_only))
    if paper is not None and direct:
        figures["burden_paper_vs_cloud_only"] = paper / direct
    if not _same_requests(cloud_only.rows, method.rows):
        figures.setdefault("vs_cloud_only_reason", NOT_THE_SAME)
    elif frame_bytes := cloud_only.figures["frame_bytes"]:
        figures["frame_bytes_vs_cloud_only"] = method.figures["frame_bytes"] / frame_bytes
    if method is not cloud_only:
        figures[scorer.difference_key] = _quality_difference(scorer, cloud_only.rows, method.rows)
        figures["latency_vs_cloud_only"] = _latency_difference(cloud_only.rows, method.rows, both)
    return figures


def _same_requests(one: Sequence[Row], other: Sequence[Row]) -> bool:
    """Whether two methods replayed the same requests; in a run that ended early they may not have."""
    return {row["request_id"] for row in one} == {row["request_id"] for row in other}


def _answered(rows: Iterable[Row]) -> set[str]:
    return {row["request_id"] for row in rows if row["outcome"] == "answered"}


def _hop_prompts(rows: Iterable[Row], requests: Container[str]) -> list[Sequence[int]]:
    """Prompt bytes on each hop that these requests tried."""
    return [row["hop_prompt_bytes"] for row in rows if row["request_id"] in requests]


def _quality_difference(
    scorer: Scorer, cloud_only: Sequence[Row], rows: Sequence[Row]
) -> dict[str, Any] | None:
    """Difference in quality on the same requests; ``None`` where one is missing, as in a run cut off."""
    if not _same_requests(cloud_only, rows):
        return None
    by_request = {row["request_id"]: row for row in rows}
    paired = [by_request[row["request_id"]] for row in cloud_only]
    both = _judged(scorer, cloud_only), _judged(scorer, paired)
    return scorer.difference(*both, _references(cloud_only))


def _latency_difference(
    cloud_only: Sequence[Row], rows: Sequence[Row], both: Container[str]
) -> dict[str, Any] | None:
    """Difference in mean latency over the requests that both answered, with its paired interval, in ms."""
    by_request = {row["request_id"]: row["latency_ms"] for row in rows}
    common = [row for row in cloud_only if row["request_id"] in both]
    if not common:
        return None
    first_ms = [row["latency_ms"] for row in common]
    second_ms = [by_request[row["request_id"]] for row in common]
    later_ms = [second - first for first, second in zip(first_ms, second_ms, strict=True)]
    return {
        "difference_ms": math.fsum(later_ms) / len(later_ms),
        "ci_ms": interval_to_json(paired_mean_difference(first_ms, second_ms)),
        "requests": len(later_ms),
    }
