"""Compares methods of one run, or the same methods of several runs, over the requests that they share."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations
from typing import Any, Literal

from testbed.errors import TestbedError
from testbed.results.columns import Row
from testbed.results.comparable import Asked, Loaded, labels, load, notes, require_comparable
from testbed.results.directory import RunDirectory
from testbed.results.fidelity import CLAIMS
from testbed.results.paired import holm
from testbed.results.scorers import Scorer, chosen_scorer
from testbed.results.statistics import MeanOfRuns, interval_to_json, mean_of_runs


@dataclass(frozen=True)
class Compared:
    """The second of two less the first, over the requests that both replayed.

    Attributes:
        requests: pairs of them, of all seeds.
        prompts: how many different ones they ask.
        quality: difference of the score with its paired interval; None without a common request.
        p_value: of no difference in quality; None where the task has no score.
        adjusted_p: the same, for as many comparisons as were made together (Holm, Scand. J. Statist. 1979).
        latency_ms: difference of mean latencies over the requests that both answered, in ms; of several
            seeds the mean of theirs.
        latency_by: what its interval and its p-values rest on: the requests, or the runs of several seeds.
        prompt_bytes: over all links and seeds, of each; so are ``frame_bytes``.
        like_served: the share of the common requests that the same tier answered.
        faithful: by claim, whether all runs hold it.
        settings: by key, a sweep's values at which both were run; so many ``seeds`` are taken together.
    """

    first: str
    second: str
    requests: int
    prompts: int
    quality: Mapping[str, Any] | None
    p_value: float | None
    adjusted_p: float | None
    latency_ms: float | None
    latency_ci_ms: Sequence[float | None] | None
    latency_p: float | None
    latency_adjusted_p: float | None
    latency_by: Literal["requests", "runs"] | None
    prompt_bytes: tuple[int, int]
    frame_bytes: tuple[int, int]
    like_served: float | None
    faithful: Mapping[str, bool]
    settings: Mapping[str, str] = field(default_factory=dict)
    seeds: int = 1


@dataclass(frozen=True)
class Comparison:
    """All that was compared together, and what the reader must know of it."""

    scorer: Scorer
    compared: Sequence[Compared]
    notes: Sequence[str]


@dataclass(frozen=True)
class Side:
    """A method, in one run or in those of several seeds."""

    label: str
    runs: Sequence[Loaded]
    method: str

    def total(self, figure: str) -> int:
        """The sum over its runs of a figure of ``summary.json``."""
        return sum(run.summary["methods"][self.method][figure] for run in self.runs)


def compare_runs(
    directories: Sequence[RunDirectory], methods: Sequence[str] | None = None, score: str | None = None
) -> Comparison:
    """Compare each run with the first, method by method; of a single run, each method with each.

    Args:
        methods: only these.
        score: by this one of the task's scores, not by the first.

    Raises:
        TestbedError: they cannot be compared, and why: other tasks, other prompts, no method in common; or a
            directory lacks a file.
    """
    paths = [directory.path for directory in directories]
    first, *others = map(load, directories, labels([path.name for path in paths], paths))
    require_comparable([first, *others])
    if others:
        sides = [pair for other in others for pair in pairs_of_runs([first], [other], methods)]
    else:
        sides = list(pairs_of_methods([first], methods))
    scorer = chosen_scorer(first.scenario.task.kind, score)
    compared = [compare_sides(scorer, *pair) for pair in sides]
    return Comparison(scorer, adjusted(compared), [note for other in others for note in notes(first, other)])


def pairs_of_methods(
    runs: Sequence[Loaded], methods: Sequence[str] | None, where: str | None = None
) -> Iterator[tuple[Side, Side]]:
    """Each method with each that come after it, in the same runs, which differ in their seeds.

    Raises:
        TestbedError: a method is not there, or is alone.
    """
    where = where or runs[0].label
    names = _chosen(_shared([run.methods for run in runs]), methods, where)
    if len(names) < 2:
        alone = f"{names[0]} alone" if names else "no method"
        raise TestbedError(f"{where} has {alone}; give another to compare it with, or more methods")
    for one, other in combinations(names, 2):
        yield Side(one, runs, one), Side(other, runs, other)


def pairs_of_runs(
    firsts: Sequence[Loaded],
    others: Sequence[Loaded],
    methods: Sequence[str] | None,
    labels: tuple[str, str] | None = None,
) -> Iterator[tuple[Side, Side]]:
    """Each method in some runs with itself in others; both have the same seeds in the same order.

    Raises:
        TestbedError: they have no method in common, or not one of those wanted.
    """
    one, other = labels or (firsts[0].label, others[0].label)
    there = [_shared([run.methods for run in runs]) for runs in (firsts, others)]
    if not (shared := _shared(there)):
        raise TestbedError(
            f"{one} and {other} have no method in common ({', '.join(there[0])}; {', '.join(there[1])})"
        )
    for name in _chosen(shared, methods, f"{one} and {other}"):
        yield Side(f"{one}: {name}", firsts, name), Side(f"{other}: {name}", others, name)


def _shared(lists: Sequence[Sequence[str]]) -> list[str]:
    return [name for name in lists[0] if all(name in others for others in lists)]


def _chosen(there: Sequence[str], methods: Sequence[str] | None, where: str) -> list[str]:
    for name in methods or ():
        if name not in there:
            raise TestbedError(f"--methods: no method {name!r} in {where}; there are {', '.join(there)}")
    return [name for name in there if methods is None or name in methods]


Pair = tuple[Row, Row]


def compare_sides(
    scorer: Scorer, one: Side, other: Side, settings: Mapping[str, str] | None = None
) -> Compared:
    """Compare two methods, request by request; those of all their seeds are taken together."""
    runs = list(zip(one.runs, other.runs, strict=True))
    by_run = [
        (first.asked, _common(first.requests.get(one.method, {}), second.requests.get(other.method, {})))
        for first, second in runs
    ]
    prompts = [asked[pair[0]["request_id"]] for asked, pairs in by_run for pair in pairs]
    quality = _quality(scorer, [pair for _, pairs in by_run for pair in pairs], prompts)
    answered = [[pair for pair in pairs if all(map(_is_answered, pair))] for _, pairs in by_run]
    latency = _latency(answered)
    like = [first["tier"] == second["tier"] for pairs in answered for first, second in pairs]
    return Compared(
        first=one.label,
        second=other.label,
        requests=len(prompts),
        prompts=len(set(prompts)),
        quality=quality,
        p_value=(quality or {}).get("p_value"),
        adjusted_p=None,
        latency_ms=latency and latency.mean,
        latency_ci_ms=latency and interval_to_json(latency.interval),
        latency_p=latency and latency.p_value,
        latency_adjusted_p=None,
        latency_by=latency and latency.units,
        prompt_bytes=(one.total("prompt_bytes"), other.total("prompt_bytes")),
        frame_bytes=(one.total("frame_bytes"), other.total("frame_bytes")),
        like_served=sum(like) / len(like) if like else None,
        faithful={
            claim: all(run.summary["faithful"][claim] for pair in runs for run in pair) for claim in CLAIMS
        },
        settings=settings or {},
        seeds=len(runs),
    )


def _common(first: Mapping[str, Row], second: Mapping[str, Row]) -> list[Pair]:
    return [(row, second[name]) for name, row in first.items() if name in second]


def _is_answered(row: Row) -> bool:
    return bool(row["outcome"] == "answered")


def _quality(scorer: Scorer, pairs: Sequence[Pair], prompts: Sequence[Asked]) -> Mapping[str, Any] | None:
    if not pairs:
        return None
    first, second = ([scorer.judged(row) for row in side] for side in zip(*pairs, strict=True))
    return scorer.difference(first, second, [row["reference"] for row, _ in pairs], prompts)


def _latency(answered: Sequence[Sequence[Pair]]) -> MeanOfRuns | None:
    """How much later the second answers, over the requests of each run that both answered."""
    later_ms = [
        [second["latency_ms"] - first["latency_ms"] for first, second in pairs] for pairs in answered if pairs
    ]
    return mean_of_runs(later_ms) if later_ms else None


def adjusted(compared: Sequence[Compared]) -> list[Compared]:
    """With p-values for all of them together, those of quality and those of latency each by themselves."""
    quality = _holm_where_known([one.p_value for one in compared])
    latency = _holm_where_known([one.latency_p for one in compared])
    return [
        replace(one, adjusted_p=of_quality, latency_adjusted_p=of_latency)
        for one, of_quality, of_latency in zip(compared, quality, latency, strict=True)
    ]


def _holm_where_known(p_values: Sequence[float | None]) -> list[float | None]:
    found = iter(holm([p_value for p_value in p_values if p_value is not None]))
    return [None if p_value is None else next(found) for p_value in p_values]
