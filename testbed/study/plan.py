"""How many requests an effect needs to be seen, and how long they take to run here."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
from scipy import stats

from testbed.errors import TestbedError
from testbed.orchestrator.estimate import estimated_seconds
from testbed.results.columns import Row
from testbed.results.directory import RunDirectory
from testbed.results.scorers import SCORERS, Right
from testbed.results.statistics import CONFIDENCE, effective_size
from testbed.scenario.requests import build_trace
from testbed.scenario.scenario import Scenario, with_requests
from testbed.scenario.workload.datasets import load
from testbed.scenario.workload.trace_file import TRACE_SPLIT

LEAST_PAIRS = 30
"""A run with fewer requests says little of how often methods differ."""
_TIMED_REQUESTS = 2_000
"""A run of more requests is taken to last longer in proportion."""

Pairs = Sequence[tuple[Row, Row]]
"""Two methods' rows of the same requests, in the order of the trace."""


@dataclass(frozen=True)
class Effect:
    """What is to be seen, in ``power`` of all runs: more right answers, and perhaps another mean latency."""

    difference: float
    latency_ms: float | None = None
    power: float = 0.8


@dataclass(frozen=True)
class Need:
    """What one comparison needs: ``requests`` under each of the two methods.

    ``seconds`` is how long a run of the scenario with so many takes here, ``prompts`` how many different ones
    its traces have: beyond them prompts repeat. As runs of the scenario as it is, of ``of_run`` requests, it
    takes ``repeat`` of them with other seeds, for ``repeat_seconds``; ``None`` where no number is enough.
    """

    what: str
    effect: str
    requests: int
    seconds: float
    prompts: int
    of_run: int
    repeat: int | None
    repeat_seconds: float | None


@dataclass(frozen=True)
class _Run:
    """A run of the scenario as it is: its requests, their different prompts, and those that it draws from."""

    requests: int
    asked: int
    prompts: int

    @classmethod
    def of(cls, scenario: Scenario) -> _Run:
        trace = build_trace(scenario)
        asked = len({(request.dataset, request.split, request.row) for request in trace})
        drawn = asked if scenario.trace.kind == "file" else len(load(scenario.task.data, TRACE_SPLIT))
        return cls(len(trace), asked, drawn)


def needs_of_shares(scenario: Scenario, effect: Effect, discordant: float) -> list[Need]:
    """What the scenario needs if two methods differ on a ``discordant`` share of the requests.

    Raises:
        TestbedError: shares that cannot be, or a latency, of which nothing is known before a run.
    """
    if effect.latency_ms is not None:
        raise TestbedError(
            "--latency: how much latencies vary must be seen; name a run of the scenario by --pilot"
        )
    _require(effect, discordant)
    known = f"{discordant:.0%} of the requests discordant"
    return [_share_need(scenario, _Run.of(scenario), known, effect, discordant)]


def needs_of_pilot(scenario: Scenario, effect: Effect, pilot: RunDirectory) -> list[Need]:
    """What each two methods of a run need, by how often they differed in it and how much their latencies did.

    Raises:
        TestbedError: the run has a single method or too few requests, is about another kind of task, or
            that has no right and wrong answers and no latency is asked for.
    """
    _require(effect)
    rows, right, doubted = _read(scenario, pilot)
    if right is None and effect.latency_ms is None:
        raise TestbedError(
            f"{pilot.path}: its task has no right and wrong answers to plan by; plan by --latency"
        )
    found, run = [], _Run.of(scenario)
    for names, pairs in _paired(rows):
        if len(pairs) < LEAST_PAIRS:
            raise TestbedError(
                f"{pilot.path}: {len(pairs)} requests are too few to plan by; run {LEAST_PAIRS} at least"
            )
        if right is not None:
            share = sum(_is_right(one, right) != _is_right(other, right) for one, other in pairs) / len(pairs)
            known = f"{names}: {share:.1%} of {len(pairs)} discordant"
            found.append(_share_need(scenario, run, known, effect, max(share, effect.difference)))
        if effect.latency_ms is not None:
            need = _latency_need(scenario, run, names, pairs, effect.latency_ms, effect.power)
            doubt = "; the run's verdict on latency is false" if doubted else ""
            found.append(replace(need, what=need.what + doubt))
    if not found:
        raise TestbedError(f"{pilot.path}: has a single method, so nothing to compare; run two")
    return found


def _read(scenario: Scenario, pilot: RunDirectory) -> tuple[Sequence[Row], Right | None, bool]:
    """A pilot's rows, which answers are right in it, and whether its latencies may not be believed."""
    with pilot.understood():
        rows = pilot.read_table("requests.parquet")
        kind = pilot.read_scenario().task.kind
        doubted = not pilot.read_summary()["faithful"]["latency"]
    if kind != scenario.task.kind:
        raise TestbedError(
            f"--pilot: {pilot.path} is about {kind}, and the scenario about {scenario.task.kind}; "
            "name a run of the scenario"
        )
    return rows, SCORERS[kind].right, doubted


def _paired(rows: Sequence[Row]) -> Iterator[tuple[str, Pairs]]:
    by_method: dict[str, dict[str, Row]] = {}
    for row in rows:
        by_method.setdefault(row["method"], {})[row["request_id"]] = row
    for one, other in combinations(by_method, 2):
        common = [name for name in by_method[one] if name in by_method[other]]
        yield f"{one}, {other}", [(by_method[one][name], by_method[other][name]) for name in common]


def _is_right(row: Row, right: Right) -> bool:
    return row["outcome"] == "answered" and right(row["answer"], row["reference"])


def _share_need(scenario: Scenario, run: _Run, known: str, effect: Effect, discordant: float) -> Need:
    requests = pairs_needed(effect.difference, discordant, effect.power)
    repeat = repeats_needed(requests, run.asked, run.prompts)
    return _need(scenario, run, known, f"{100 * effect.difference:g} points more right", requests, repeat)


def _latency_need(
    scenario: Scenario, run: _Run, names: str, pairs: Pairs, latency_ms: float, power: float
) -> Need:
    answered = [pair for pair in pairs if all(row["outcome"] == "answered" for row in pair)]
    later_ms = np.array([other["latency_ms"] - one["latency_ms"] for one, other in answered])
    deviation_ms = float(later_ms.std(ddof=1)) if len(later_ms) > 1 else math.nan
    if not deviation_ms > 0:
        raise TestbedError(f"{names}: their latencies do not vary, or were not seen; plan by another run")
    in_a_row = len(later_ms) / effective_size(later_ms)
    what = f"{names}: {deviation_ms:.0f} ms (sd), {in_a_row:.1f} requests tell as much as one"
    requests = means_needed(latency_ms, deviation_ms, in_a_row, power)
    of_mean_ms = deviation_ms * math.sqrt(in_a_row / run.requests)
    repeat = 1 if requests <= run.requests else runs_needed(latency_ms, of_mean_ms, power)
    return _need(scenario, run, what, f"{latency_ms:g} ms in the mean", requests, repeat)


def _need(scenario: Scenario, run: _Run, what: str, effect: str, requests: int, repeat: int | None) -> Need:
    repeat_s = None if repeat is None else repeat * _seconds(scenario, run.requests)
    return Need(
        what, effect, requests, _seconds(scenario, requests), run.prompts, run.requests, repeat, repeat_s
    )


def _seconds(scenario: Scenario, requests: int) -> float:
    """How long a run takes here; a longer one than can be laid out takes longer in proportion."""
    timed = min(requests, _TIMED_REQUESTS)
    if scenario.trace.kind == "file":
        timed = len(build_trace(scenario))
    else:
        scenario = with_requests(scenario, timed)
    estimate = estimated_seconds(scenario, build_trace(scenario), scenario.topology)
    growing = sum(estimate.replays_s) + estimate.accounting_s
    return estimate.total_s + growing * (requests / timed - 1)


def _require(effect: Effect, discordant: float = 1.0) -> None:
    """Refuse an effect that cannot be, in the units of the options."""
    if not 0 < effect.power < 1:
        raise TestbedError(f"--power: must be above 0 and below 100 percent, not {100 * effect.power:g}")
    if not 0 < effect.difference <= discordant <= 1:
        raise TestbedError(
            f"--difference, --discordant: a difference of {100 * effect.difference:g} points must be above 0 "
            f"and at most the discordant share, which is {100 * discordant:g} percent, of 100 at most"
        )
    if effect.latency_ms is not None and not 0 < effect.latency_ms < math.inf:
        raise TestbedError(f"--latency: must be a difference above 0 ms, not {effect.latency_ms:g}")


def pairs_needed(difference: float, discordant: float, power: float = 0.8) -> int:
    """How many pairs McNemar's test at 5 % needs (Connor, Biometrics 1987, 43:207).

    Args:
        difference: of two shares, such as 0.02.
        discordant: share of the pairs in which one is right and the other wrong.
        power: how often the difference is to be seen.

    Raises:
        ValueError: a share outside its bounds.
    """
    if not 0 < difference <= discordant <= 1:
        raise ValueError(
            f"a difference of {difference:g} takes a discordant share between that and 1, not {discordant:g}"
        )
    level, beyond = _quantiles(power)
    root = level * math.sqrt(discordant) + beyond * math.sqrt(discordant - difference**2)
    return math.ceil((root / difference) ** 2)


def means_needed(difference: float, deviation: float, in_a_row: float = 1.0, power: float = 0.8) -> int:
    """How many pairs a test of a mean difference at 5 % needs.

    Args:
        difference: of the means, and ``deviation`` of the paired differences, in one unit.
        in_a_row: how many pairs in a row tell as much as one independent one.
        power: how often the difference is to be seen.

    Raises:
        ValueError: no difference, or a power outside (0, 1).
    """
    if not difference > 0:
        raise ValueError("a difference must be above 0")
    return math.ceil(in_a_row * (sum(_quantiles(power)) * deviation / difference) ** 2)


def repeats_needed(pairs: int, asked: int, prompts: int) -> int | None:
    """How many runs with other seeds tell as much as so many pairs of different prompts.

    Each run draws ``asked`` of the ``prompts`` anew, and a prompt drawn again is taken to be answered as
    before. Then R runs, whose share of the prompts is q each, tell as much as R asked / (1 + (R - 1) q) pairs
    (the design effect of clusters). ``None`` where no number of runs is enough.
    """
    if pairs <= asked:
        return 1
    if pairs >= prompts or asked == prompts:
        return None
    return math.ceil(pairs * (1 - asked / prompts) / (asked * (1 - pairs / prompts)))


def runs_needed(difference: float, deviation: float, power: float = 0.8) -> int:
    """How many runs, 2 at least, Student's t over their means needs at 5 % to see a mean difference.

    Args:
        difference: of the means, and ``deviation`` of one run's mean difference, in one unit.
        power: how often the difference is to be seen.
    """
    runs = max(2, means_needed(difference, deviation, power=power))
    while _power_of_t(runs, difference / deviation) < power:
        runs += 1
    return runs


def _power_of_t(runs: int, effect: float) -> float:
    beyond, centre = stats.t.ppf((1 + CONFIDENCE) / 2, runs - 1), effect * math.sqrt(runs)
    chances = stats.nct.sf(beyond, runs - 1, centre), stats.nct.cdf(-beyond, runs - 1, centre)
    return float(np.nansum(chances))  # of the far tail, which scipy cannot always tell, nothing


def _quantiles(power: float) -> tuple[float, float]:
    if not 0 < power < 1:
        raise ValueError(f"a power lies between 0 and 1, not {power:g}")
    return float(stats.norm.ppf((1 + CONFIDENCE) / 2)), float(stats.norm.ppf(power))
