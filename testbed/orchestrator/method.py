"""One method from beginning to end: observed, then accounted for from what was recorded."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from testbed.console import Count, Reporter
from testbed.orchestrator.accounting import account_captures
from testbed.orchestrator.breaking_off import BreakingOff
from testbed.orchestrator.estimate import NOTHING_AHEAD, Ahead
from testbed.orchestrator.observe import Observation, observe
from testbed.orchestrator.prepare import Inputs
from testbed.orchestrator.rows.links import backlogs, reconcile
from testbed.orchestrator.rows.outcomes import count_outcomes
from testbed.orchestrator.rows.requests import request_rows
from testbed.orchestrator.rows.standstill import own_times, stood_still
from testbed.orchestrator.rows.tiers import breakers, overflows, tier_rows
from testbed.orchestrator.session import Session
from testbed.results.cost import with_costs
from testbed.results.directory import RunDirectory
from testbed.results.evidence import (
    BacklogReport,
    BreakerReport,
    BrokenOff,
    Lateness,
    LinkAccount,
    Outcomes,
    Overflow,
    OwnTime,
    StoodStill,
    Unexplained,
)
from testbed.results.made_up import made_up_inferences
from testbed.results.times import unexplained
from testbed.scenario.recordings import tiers_made_up
from testbed.scenario.scores import Scores, score_answers
from testbed.scenario.sections.kind import needs_reference
from testbed.scenario.sections.methods import Method
from testbed.wire.account import link_ends


@dataclass(frozen=True)
class MethodResult:
    """The rows of one method for the tables, and the evidence for the verdicts."""

    observed: Observation
    requests: list[dict[str, Any]]
    links: list[dict[str, Any]]
    tiers: list[dict[str, Any]]
    accounts: list[LinkAccount]
    outcomes: Outcomes
    lateness: Lateness
    unexplained: Unexplained
    backlog: list[BacklogReport]
    overflows: list[Overflow]
    breakers: list[BreakerReport]
    stood_still: list[StoodStill]
    own_times: list[OwnTime]
    findings: list[str]

    @property
    def method(self) -> str:
        """The method's name."""
        return self.observed.method

    @property
    def broken_off(self) -> BrokenOff | None:
        """How far it came, if it did not come to its end."""
        if not self.observed.broken_off:
            return None
        begun = len(self.observed.outcomes)
        return BrokenOff(self.method, begun, self.outcomes.requests, tuple(self.observed.lost))


def run_method(
    session: Session,
    method: Method,
    progress: Count,
    ahead: Ahead = NOTHING_AHEAD,
    broken: BreakingOff | None = None,
) -> MethodResult:
    """Replay the trace under ``method``, and account for it; ``ahead`` is for those who watch.

    What breaks it off once requests are sent is noted in ``broken``, if that is given, and what was measured
    until then returned.

    Raises:
        TestbedError: a container has ended, a capture cannot start, the disk is full.
    """
    if broken is None:
        with BreakingOff() as noted:
            return run_method(session, method, progress, ahead, noted)
    with session.phases.timed("replaying"):
        observed = observe(session, method, progress, ahead, broken=broken)
    if broken.error is not None:
        begun, requests = len(observed.outcomes), len(session.inputs.trace)
        session.reporter.say(f"{method.name} was broken off; accounting for {begun} of {requests} requests")
    with session.phases.timed("accounting"):
        return account(session.inputs, session.directory, observed, session.reporter)


def account(
    inputs: Inputs, directory: RunDirectory, observed: Observation, reporter: Reporter
) -> MethodResult:
    """Attribute every byte of a method to its cause, and make the rows of its tables.

    Needs no network: the captures are read from ``directory``, compressed or not. One that cannot be read
    accounts for nothing, and speaks against the verdict on bytes.
    """
    method, topology = observed.method, inputs.topology
    captures = {
        link.name: (
            directory.found_capture(method, link.name) or directory.pcap(method, link.name),
            link_ends(topology, link, inputs.flow_ports),
        )
        for link in topology.links
    }
    captured = account_captures(captures, method, reporter)
    crossed = {link: account.requests for link, account in captured.items()}
    task = inputs.scenario.task
    answers = [
        (one.answer if one.outcome == "answered" else None, inputs.examples[one.request_id].reference)
        for one in observed.outcomes
    ]
    scores = score_answers(task.kind, answers) if inputs.judged else _no_scores(len(answers))
    request_table = request_rows(
        method, observed.outcomes, observed.records, inputs.examples, topology, crossed, scores.scores
    )
    reconciled = reconcile(
        method, observed.before, observed.after, captured, observed.captures, request_table
    )
    tiers = [asdict(row) for row in tier_rows(method, observed.records, observed.used, topology)]
    requests = with_costs(inputs.scenario, method, [asdict(row) for row in request_table], tiers)
    return MethodResult(
        observed=observed,
        requests=requests,
        links=[asdict(row) for row in reconciled.rows],
        tiers=tiers,
        accounts=reconciled.accounts,
        outcomes=count_outcomes(
            method,
            inputs.trace,
            observed.outcomes,
            task.labels,
            made_up=made_up_inferences(requests, topology),
            tiers_made_up=tiers_made_up(inputs.scenario),
            judged=needs_reference(task.kind),
            scores=scores,
        ),
        lateness=Lateness.of(method, [row["lateness_ms"] for row in requests]),
        unexplained=unexplained(method, requests),
        backlog=backlogs(observed.after, topology),
        overflows=overflows(method, observed.records, observed.forgotten),
        breakers=breakers(method, observed.records),
        stood_still=stood_still(
            method, observed.seen, observed.behind, observed.events, observed.start_s, observed.outcomes
        ),
        own_times=own_times(method, observed.records, observed.seen, observed.events, observed.start_s),
        findings=[
            *(f"{method}: {link}: {text}" for link, account in captured.items() for text in account.findings),
            *(f"{method}: {fault}" for fault in observed.backend_faults),
        ],
    )


def _no_scores(count: int) -> Scores:
    why = "whoever asked did not say what a right answer is"
    return Scores([None] * count, count, why if count else None)
