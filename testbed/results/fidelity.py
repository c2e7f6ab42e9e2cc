"""Judges whether a run may be believed: four verdicts of different strength, each with its reasons.

Evidence comes in as plain data and goes out again in ``fidelity.json``, beside the verdicts; the rules are
pure functions. A verdict without its evidence is false and says so.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from pydantic import TypeAdapter

from testbed.results.evidence import Evidence, Outcomes
from testbed.results.latency import (
    PENDING,
    against_latency,
    dropped_frames,
    explained_too_few,
    link_process_notes,
    tier_notes,
)
from testbed.results.limits import Limits
from testbed.scenario.scenario import Scenario

SCHEMA = 5
JUDGED = ("fidelity.json", "summary.json")
"""Files that hold verdicts, and are written again when one that was pending is given."""
MAX_ANSWER_CHARACTERS = 40
"""How much of a strange answer a reason shows."""
NO_DECISION = "no decision was recorded, so that there was none to audit"
NOTHING_REPLAYED = "no method was replayed"
SAME_NAMES = (
    "audit", "outcomes", "lateness", "unexplained", "backlog", "cpu", "probes", "tiers", "events",
    "overflows", "breakers", "link_process", "stood_still", "own_times", "quotas", "changed_files",
    "broken_off", "not_replayed",
)  # fmt: skip
"""Evidence whose name is the same in ``fidelity.json``."""
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
        seen = asdict(self.evidence)
        return {
            "schema": SCHEMA,
            "faithful": self.faithful,
            "reasons": {claim: list(self.reasons[claim]) for claim in CLAIMS},
            "notes": list(self.notes),
            "limits": asdict(self.limits),
            "bytes": seen["accounts"],
            "links": {"before": seen["links_before"], "after": seen["links_after"]},
            **{name: seen[name] for name in SAME_NAMES},
            "machine": {"cpus": seen["machine_cpus"]},
        }


def evidence_of(written: Mapping[str, Any], scenario: Scenario) -> Evidence:
    """The evidence that a ``fidelity.json`` of this schema holds.

    Raises:
        ValidationError: it holds none.
    """
    seen: dict[str, Any] = {name: written[name] for name in SAME_NAMES if name in written}
    seen |= {
        "accounts": written.get("bytes"),
        "links_before": (written.get("links") or {}).get("before"),
        "links_after": (written.get("links") or {}).get("after"),
        "links_pending": is_pending(written),
        "machine_cpus": (written.get("machine") or {}).get("cpus"),
        "lockstep": scenario.replay.mode == "lockstep",
        "closed_users": scenario.replay.users,
    }
    return TypeAdapter(Evidence).validate_python(seen)


def is_pending(written: Mapping[str, Any]) -> bool:
    """Whether the verdict on latency of a ``fidelity.json`` is yet to come."""
    return PENDING in written["reasons"]["latency"]


def judge(evidence: Evidence, limits: Limits | None = None) -> Fidelity:
    """Hold the evidence against the rules."""
    limits = limits or Limits()
    reasons: dict[Claim, tuple[str, ...]] = dict.fromkeys(CLAIMS, (NOTHING_REPLAYED,))
    noted: tuple[str, ...] = ()
    if evidence.outcomes or not evidence.not_replayed:
        reasons = {
            "bytes": tuple(against_bytes(evidence)),
            "decisions": tuple(against_decisions(evidence)),
            "quality": tuple(against_quality(evidence)),
            "latency": tuple(against_latency(evidence, limits)),
        }
        noted = tuple(notes(evidence, limits))
    for file in evidence.changed_files:
        reasons[file.claim] += (
            f"{file.field}: {file.path} {file.how} during the run: what was used may not be what the "
            "manifest's SHA-256 is of",
        )
    return Fidelity(reasons, noted, evidence, limits)


def against_bytes(evidence: Evidence) -> Iterator[str]:
    """Each reason why the bytes by cause, or what requests put on links, may be wrong.

    Required are: nothing unaccounted; no text of other requests than the trace's, for burdens are sums over
    those; no frame lost by a capture; counting that began and ended on a quiet link; and a link process whose
    counts are the kernel's. Dropped frames are a reason although what crossed is counted exactly: the link
    that was asked for would have carried more.
    """
    if evidence.accounts is None:
        yield "no link was captured"
    for account in evidence.accounts or ():
        link = f"{account.method}, {account.link}"
        where = f"{link} {account.direction}"
        if account.unaccounted_bytes or account.unaccounted_frames:
            yield (
                f"{where}: {account.unaccounted_bytes} of {account.frame_bytes} bytes "
                f"and {account.unaccounted_frames} of {account.frames} frames are not accounted for"
            )
        if account.unattributed_bytes:
            yield f"{where}: {account.unattributed_bytes} bytes of text belong to no request of the trace"
        if account.capture_dropped_frames:
            yield f"{link}: the capture lost {account.capture_dropped_frames} frames"
        for fault in account.faults:
            yield f"{link}: {fault}"
        for text in account.contradictions:
            yield f"{where}: {text}"
        if not account.quiet:
            yield f"{where}: the link never came to rest, so that frames of something else may be counted"
    yield from dropped_frames(evidence)


def against_decisions(evidence: Evidence) -> Iterator[str]:
    """Each threshold and decision that the rules, applied to all the records, give otherwise."""
    audit = evidence.audit
    if audit is None:
        yield "decisions were not audited"
        return
    if not audit.decisions and not audit.differences:
        yield NO_DECISION
    yield from audit.differences
    for broken in evidence.broken_off:
        if broken.lost:
            yield f"{broken.method}: the records of {', '.join(broken.lost)} are lost"
    for overflow in evidence.overflows:
        if overflow.forgotten:
            yield (
                f"{overflow.method}: {overflow.node} had no room for {overflow.forgotten} of its records "
                "and forgot them"
            )


def against_quality(evidence: Evidence) -> Iterator[str]:
    """Each method in which a request has not exactly one outcome, an answer is none of the labels, a tier
    made answers up because its recordings lack them, or requests failed for one that stood still or ended
    unasked.
    """
    if evidence.outcomes is None:
        yield "outcomes were not counted"
        return
    yield from (f"{method} was not replayed" for method in evidence.not_replayed)
    for outcome in evidence.outcomes:
        ended = sum(outcome.ended.values())
        if outcome.repeated:
            yield f"{outcome.method}: {outcome.repeated} requests have more than one outcome"
        if ended != outcome.requests:
            yield f"{outcome.method}: {outcome.requests} requests have {ended} outcomes"
        if outcome.strange_answers:
            shown = outcome.strange_answer and outcome.strange_answer[:MAX_ANSWER_CHARACTERS]
            yield (
                f"{outcome.method}: {outcome.strange_answers} answers are none of the task's labels, "
                f"{'null' if shown is None else repr(shown)} for one"
            )
        if outcome.unscored:
            yield f"{outcome.method}: {outcome.unscored} answers have no score: {outcome.unscored_why}"
        for tier, times in outcome.made_up.items():
            if times and tier not in outcome.tiers_made_up:
                yield f"{outcome.method}: {tier} made up {times} answers that its recordings lack"
    yield from _against_failed_requests(evidence, evidence.outcomes)


def _against_failed_requests(evidence: Evidence, outcomes: Sequence[Outcomes]) -> Iterator[str]:
    """Requests that failed for a tier that ended unasked, or while one stood still."""
    lost = {broken.method: broken.lost for broken in evidence.broken_off if broken.lost}
    for outcome in outcomes:
        failed = sum(outcome.ended.values()) - outcome.ended.get("answered", 0) + outcome.degraded
        if failed and outcome.method in lost:
            yield (
                f"{outcome.method}: {failed} requests failed, or got a stand-in answer, and "
                f"{', '.join(lost[outcome.method])} had ended or did not answer"
            )
    for stood in evidence.stood_still or ():
        if stood.failed:
            yield (
                f"{stood.method}: {stood.failed} requests failed, or got a stand-in answer, that were under "
                f"way while {stood.node} stood still, and no event of the scenario asked for that"
            )


def notes(evidence: Evidence, limits: Limits) -> Iterator[str]:
    """What a reader should know although it decides nothing."""
    if (audit := evidence.audit) is not None and audit.not_shown:
        yield (
            f"{audit.not_shown} of {audit.decisions} decisions are not audited: they rest on what a killed "
            "node took with it, or had not told yet when its method was broken off"
        )
    yield from link_process_notes(evidence.link_process or {})
    for when, findings in (("before", evidence.links_before), ("after", evidence.links_after)):
        for finding in findings or ():
            if finding.ok and finding.note:
                yield f"{when} the replay, {finding}"
    yield from tier_notes(evidence)
    yield from _quality_notes(evidence.outcomes or ())
    yield from _degraded_notes(evidence)
    for event in evidence.events:
        if event.skipped:
            yield f"{event.method}: {event} was skipped, for the replay ended before it"
        if (event.flow_attempts or 1) > 1 and event.flow_payload_at_s is not None:
            late_s = event.flow_payload_at_s - event.at_s
            yield f"{event.method}: {event} sent from {late_s:.1f} s later, in attempt {event.flow_attempts}"
    if evidence.events:
        yield from explained_too_few(evidence.unexplained or (), limits)
    if evidence.lockstep:
        yield "in lockstep each request waits for the one before: latencies are those of idle tiers"
    if evidence.closed_users is not None:
        yield (
            f"a closed loop of {evidence.closed_users} users: no more requests than that are outstanding, "
            "and a slow tier is asked less often; latencies lack the queue that independent users would meet"
        )


def _quality_notes(outcomes: Sequence[Outcomes]) -> Iterator[str]:
    if any(not outcome.judged for outcome in outcomes):
        yield (
            "the task has no references, so there is nothing to judge: the verdict on quality speaks of "
            "outcomes alone"
        )
    yield from _made_up_notes(outcomes)


def _degraded_notes(evidence: Evidence) -> Iterator[str]:
    for outcome in evidence.outcomes or ():
        if outcome.degraded:
            yield (
                f"{outcome.method}: {outcome.degraded} answers are degraded: they were to come from a tier "
                "above, which could not be reached"
            )
    for breaker in evidence.breakers:
        yield (
            f"{breaker.method}: the breaker of {breaker.node} opened (times: {breaker.opened}), and kept "
            f"requests from a tier above that did not answer ({breaker.refused})"
        )


def _made_up_notes(outcomes: Sequence[Outcomes]) -> Iterator[str]:
    tiers = [tier for outcome in outcomes for tier in outcome.tiers_made_up if outcome.made_up.get(tier)]
    if tiers:
        yield (
            f"all answers and confidences of {', '.join(dict.fromkeys(tiers))} are made up, for the scenario "
            "has no recordings for them: quality says nothing of a model"
        )
