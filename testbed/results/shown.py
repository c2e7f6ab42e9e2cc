"""Holds the evidence of a run's verdicts against what its tables show."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict

from testbed.results.columns import total
from testbed.results.evidence import Evidence, Lateness, Outcomes, Unexplained
from testbed.results.made_up import made_up_inferences
from testbed.results.recorded import Recorded, alike
from testbed.results.times import served_s, unexplained

_ACCOUNTED = (
    "frames", "frame_bytes", "unaccounted_bytes", "unattributed_bytes", "queue_dropped_frames", "lost_frames",
)  # fmt: skip
"""Columns of ``links.parquet`` that are evidence too."""


def against_evidence(run: Recorded, evidence: Evidence) -> Iterator[str]:
    """Where the evidence is not what the tables show."""
    if evidence.audit is not None and evidence.audit.decisions != run.decisions:
        yield f"audit.decisions is {evidence.audit.decisions}, and requests.parquet has {run.decisions}"
    yield from _accounts(run, evidence)
    yield from _findings(evidence)
    for outcomes in evidence.outcomes or ():
        yield from _outcomes(run, outcomes)
    yield from _times(run, evidence)
    yield from _nodes(run, evidence)
    if run.events is not None and run.events != [asdict(event) for event in evidence.events]:
        yield "its events are not those of events.parquet"


def _accounts(run: Recorded, evidence: Evidence) -> Iterator[str]:
    if evidence.accounts is None or run.links is None:
        return
    links = {(row["method"], row["link"], row["direction"]): row for row in run.links}
    accounts = {(one.method, one.link, one.direction): asdict(one) for one in evidence.accounts}
    if accounts.keys() != links.keys() or len(accounts) < len(evidence.accounts):
        yield "its account of bytes has not one entry for each row of links.parquet"
    for key in accounts.keys() & links.keys():
        account, row, (method, link, direction) = accounts[key], links[key], key
        for name in _ACCOUNTED:
            if account[name] != row[name]:
                told = f"{name} is {account[name]:,}, and in links.parquet {row[name]:,}"
                yield f"{link} {direction} under {method}: {told}"


def _findings(evidence: Evidence) -> Iterator[str]:
    for finding in (*(evidence.links_before or ()), *(evidence.links_after or ())):
        low, measured, high = finding.low, finding.measured, finding.high
        if low is None or measured is None or high is None:
            continue
        if finding.ok and not low <= measured <= high:
            yield f"{finding}: is called right"


def _outcomes(run: Recorded, outcomes: Outcomes) -> Iterator[str]:
    rows, labels = run.by_method.get(outcomes.method, []), run.scenario.task.labels
    shown = (
        Counter(row["outcome"] for row in rows),
        sum(bool(row["degraded"]) for row in rows),
        made_up_inferences(rows, run.scenario.topology),
    )
    if (outcomes.ended, outcomes.degraded, outcomes.made_up) != shown:
        yield f"outcomes of {outcomes.method} are not those of requests.parquet"
    answers = [row["answer"] for row in rows if row["outcome"] == "answered"]
    strange = sum(answer is None or bool(labels and answer not in labels) for answer in answers)
    if strange > outcomes.strange_answers:
        yield f"{outcomes.strange_answers} answers of {outcomes.method} are no labels, and {strange} are none"


def _times(run: Recorded, evidence: Evidence) -> Iterator[str]:
    for late in evidence.lateness or ():
        times_ms = [row["lateness_ms"] for row in run.by_method.get(late.method, [])]
        yield from _as_shown("lateness", late, Lateness.of(late.method, times_ms))
    for rest in evidence.unexplained or ():
        shown = unexplained(rest.method, run.by_method.get(rest.method, []))
        yield from _as_shown("unexplained", rest, shown)


def _as_shown(name: str, told: Lateness | Unexplained, shown: Lateness | Unexplained) -> Iterator[str]:
    there = asdict(told)
    for key, value in asdict(shown).items():
        if not alike(there[key], value):
            yield f"{name} of {told.method}: {key} is {there[key]}, and requests.parquet gives {value}"


def _nodes(run: Recorded, evidence: Evidence) -> Iterator[str]:
    if run.tiers is None:
        return
    for limit in evidence.tiers or ():
        rows, told = [row for row in run.tiers if row["node"] == limit.node], asdict(limit)
        for name in ("periods", "throttled_periods", "throttled_s"):
            if not alike(told[name], total(rows, name)):
                yield f"{name} of {limit.node} is {told[name]}, and in tiers.parquet {total(rows, name)}"
        for name, column in (("ran_s", "cpu_seconds"), ("waited_s", "waited_s")):
            if told[name] != (there := {row["method"]: row[column] for row in rows}):
                yield f"{name} of {limit.node} is {told[name]}, and in tiers.parquet {there}"
        for method, served in limit.served_s.items():
            if not alike(served, shown := served_s(limit.node, run.by_method.get(method, []))):
                told_as = f"served_s of {limit.node} under {method} is {served}"
                yield f"{told_as}, and requests.parquet gives {shown}"
    opened = {
        (row["method"], row["node"]): (row["breaker_opened"], row["breaker_refused"])
        for row in run.tiers
        if row["breaker_opened"]
    }
    if opened != {(one.method, one.node): (one.opened, one.refused) for one in evidence.breakers}:
        yield "its breakers are not those of tiers.parquet"
