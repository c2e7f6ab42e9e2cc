"""May a run be believed: four verdicts of different strength, each with its reasons.

Evidence comes in as plain data and goes out again in ``fidelity.json``, beside what was made of it; the
rules are pure functions. What was not shown does not count as shown: a verdict without its evidence is
false and says so.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from testbed.results.evidence import Audit, Evidence, Outcomes, Overflow
from testbed.results.latency import (
    Limits,
    against_latency,
    dropped_frames,
    explained_too_few,
    link_process_notes,
    tier_notes,
)

SCHEMA = 2
MOST_SHOWN = 40
"""Characters of a strange answer."""
Claim = Literal["bytes", "decisions", "quality", "latency"]
CLAIMS: tuple[Claim, ...] = ("bytes", "decisions", "quality", "latency")


@dataclass(frozen=True)
class Fidelity:
    """The verdicts: a claim is true if nothing speaks against it. ``notes`` decide nothing."""

    reasons: Mapping[Claim, tuple[str, ...]]
    notes: tuple[str, ...]
    evidence: Evidence = field(repr=False)
    limits: Limits = field(default_factory=Limits, repr=False)

    @property
    def faithful(self) -> dict[Claim, bool]:
        return {claim: not self.reasons[claim] for claim in CLAIMS}

    def to_json(self) -> dict[str, Any]:
        """What ``fidelity.json`` holds."""
        seen = self.evidence
        return {
            "schema": SCHEMA,
            "faithful": self.faithful,
            "reasons": {claim: list(self.reasons[claim]) for claim in CLAIMS},
            "notes": list(self.notes),
            "limits": asdict(self.limits),
            "bytes": _plain(seen.accounts),
            "audit": None if seen.audit is None else asdict(seen.audit),
            "outcomes": _plain(seen.outcomes),
            "links": {"before": _plain(seen.links_before), "after": _plain(seen.links_after)},
            "lateness": _plain(seen.lateness),
            "unexplained": _plain(seen.unexplained),
            "backlog": _plain_each(seen.backlog),
            "cpu": _plain_reports(seen.cpu),
            "probes": _plain_each(seen.probes),
            "tiers": _plain(seen.tiers),
            "events": _plain(seen.events),
            "overflows": _plain(seen.overflows),
            "link_process": _plain_reports(seen.link_process),
            "machine": {"cpus": seen.machine_cpus},
        }  # fmt: skip


def _plain(items: Sequence[Any] | None) -> list[dict[str, Any]] | None:
    return None if items is None else [asdict(item) for item in items]


def _plain_each(items: Mapping[str, Sequence[Any]] | None) -> dict[str, Any] | None:
    return None if items is None else {name: _plain(some) for name, some in items.items()}


def _plain_reports(reports: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """By method; ``None`` stays what it is."""
    return None if reports is None else {name: one and asdict(one) for name, one in reports.items()}


def judge(evidence: Evidence, limits: Limits | None = None) -> Fidelity:
    """Hold the evidence against the rules."""
    limits = limits or Limits()
    reasons: dict[Claim, tuple[str, ...]] = {
        "bytes": tuple(against_bytes(evidence)),
        "decisions": tuple(against_decisions(evidence.audit, evidence.overflows)),
        "quality": tuple(against_quality(evidence.outcomes)),
        "latency": tuple(against_latency(evidence, limits)),
    }
    return Fidelity(reasons, tuple(notes(evidence, limits)), evidence, limits)


def against_bytes(evidence: Evidence) -> Iterator[str]:
    """Nothing unaccounted, no text of a stranger's (burdens are sums over requests), no frame lost by a
    capture, counting that began and ended on a quiet link, and a link process whose counts are the kernel's.

    What crossed is counted exactly where frames were dropped too; but a link as asked for would have carried
    more.
    """
    if evidence.accounts is None:
        yield "no link was captured"
    for one in evidence.accounts or ():
        where = f"{one.method}, {one.link} {one.direction}"
        if one.unaccounted_bytes or one.unaccounted_frames:
            yield (
                f"{where}: {one.unaccounted_bytes} of {one.frame_bytes} bytes "
                f"and {one.unaccounted_frames} of {one.frames} frames are not accounted for"
            )
        if one.unattributed_bytes:
            yield f"{where}: {one.unattributed_bytes} bytes of text belong to no request of the trace"
        if one.capture_dropped_frames:
            yield f"{one.method}, {one.link}: the capture lost {one.capture_dropped_frames} frames"
        for fault in one.faults:
            yield f"{one.method}, {one.link}: {fault}"
        for text in one.contradictions:
            yield f"{where}: {text}"
        if not one.quiet:
            yield f"{where}: the link never came to rest, so that frames of something else may be counted"
    yield from dropped_frames(evidence)


def against_decisions(audit: Audit | None, overflows: Sequence[Overflow] = ()) -> Iterator[str]:
    """Every threshold and decision comes out the same when the rules are replayed over all the records."""
    if audit is None:
        yield "decisions were not audited"
        return
    yield from audit.differences
    for one in overflows:
        if one.forgotten:
            yield f"{one.method}: {one.node} had no room for {one.forgotten} of its records and forgot them"


def against_quality(outcomes: Sequence[Outcomes] | None) -> Iterator[str]:
    """Every request of the trace has exactly one outcome, and every answer is one that can be right."""
    if outcomes is None:
        yield "outcomes were not counted"
        return
    for one in outcomes:
        ended = sum(one.ended.values())
        if one.repeated:
            yield f"{one.method}: {one.repeated} requests have more than one outcome"
        if ended != one.requests:
            yield f"{one.method}: {one.requests} requests have {ended} outcomes"
        if one.strange_answers:
            yield (
                f"{one.method}: {one.strange_answers} answers are none of the task's labels, "
                f"{(one.strange_answer or '')[:MOST_SHOWN]!r} for one"
            )


def notes(evidence: Evidence, limits: Limits) -> Iterator[str]:
    """What a reader should know and what decides nothing."""
    if (audit := evidence.audit) is not None and audit.not_shown:
        yield (
            f"{audit.not_shown} of {audit.decisions} decisions are not audited: they rest on what a killed "
            "node took with it"
        )
    yield from link_process_notes(evidence.link_process or {})
    for when, findings in (("before", evidence.links_before), ("after", evidence.links_after)):
        for finding in findings or ():
            if finding.ok and finding.note:
                yield f"{when} the replay, {finding}"
    yield from tier_notes(evidence)
    for event in evidence.events:
        if event.skipped:
            yield f"{event.method}: {event} was skipped, for the replay ended before it"
    if evidence.events:
        yield from explained_too_few(evidence.unexplained or (), limits)
    if evidence.lockstep:
        yield "in lockstep each request waits for the one before: latencies are those of idle tiers"
    if evidence.closed_users is not None:
        yield (
            f"a closed loop of {evidence.closed_users} users: no more requests than that are outstanding, "
            "and a slow tier is asked less often; latencies lack the queue that independent users would meet"
        )
