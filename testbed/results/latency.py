"""Collects what speaks against a run's latencies: links, sender, clocks and CPUs not as they should be."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from testbed.results.columns import EventRow
from testbed.results.evidence import CpuReport, Evidence, ProbeReport, TierLimit, Unexplained
from testbed.results.limits import Limits
from testbed.results.standstill import against_standstill
from testbed.scenario.expected import time_bounds
from testbed.scenario.reports import NO_REAL_TIME, NOT_LOCKED, Finding, ProcessReport

PENDING = (
    "pending: the links have not been measured again since the replay; it is judged at the next measurement "
    "of this network, which other runs share, and false if there is none"
)
"""The reason for which a run's latencies are not believed yet."""


def against_latency(evidence: Evidence, limits: Limits) -> Iterator[str]:
    """Each reason why latencies may not be the emulated network's.

    Required are links as configured before and after, requests sent on time, and an emulator that is not
    short of CPU.
    """
    yield from _links("before", evidence.links_before)
    if evidence.links_pending:
        yield PENDING
    else:
        yield from _links("after", evidence.links_after)
    yield from _link_process(evidence.link_process, limits)
    yield from dropped_frames(evidence)
    yield from _lateness(evidence, limits)
    yield from _unexplained(evidence.unexplained, limits)
    if not evidence.events:  # killed tiers take records with them: a note then
        yield from explained_too_few(evidence.unexplained or (), limits)
    yield from _cpu(evidence.cpu, limits)
    yield from _probes(evidence.probes, limits)
    yield from _tiers(evidence, limits)
    yield from against_standstill(evidence, limits)
    yield from _events(evidence.events, limits)
    for overflow in evidence.overflows:
        if overflow.waited:
            yield (
                f"{overflow.method}: at {overflow.node} {overflow.waited} requests waited for a thread, "
                f"{overflow.waited_max_ms:.0f} ms at most: more were outstanding than a node handles at a "
                "time"
            )


def _links(when: str, findings: Sequence[Finding] | None) -> Iterator[str]:
    if findings is None:
        yield f"the links were not measured {when} the replay"
        return
    for finding in findings:
        if finding.ok is False:
            yield f"{when} the replay, {finding}"


def _link_process(reports: Mapping[str, ProcessReport | None] | None, limits: Limits) -> Iterator[str]:
    if reports is None:
        yield "how late the link process was is not known"
        return
    for method, report in reports.items():
        if report is None:
            yield f"{method}: the link process did not say how late it was"
            continue
        for act, late in (("put on the wire", report.put_on_wire), ("handed on", report.handed_on)):
            if late.p99_ms > limits.link_late_p99_ms:
                yield (
                    f"{method}: the link process was late: frames were {act} {late.p99_ms:.2f} ms late at "
                    f"p99 and {late.max_ms:.2f} ms at most, with {limits.link_late_p99_ms:g} ms allowed at "
                    "p99"
                )
        if too_busy := [share for share in report.cpu_by_second if share > limits.link_busy]:
            yield (
                f"{method}: the link process used up to {max(too_busy):.0%} of a CPU, and more than "
                f"{limits.link_busy:.0%} in {len(too_busy)} of {len(report.cpu_by_second)} seconds"
            )
        if report.clock_jumps:
            yield (
                f"{method}: the host's clock was set {report.clock_jumps} times, and the kernel's stamps of "
                "frames with it"
            )


def dropped_frames(evidence: Evidence) -> Iterator[str]:
    """Frames that only the emulator dropped; they speak against bytes and latency."""
    for account in evidence.accounts or ():
        where = f"{account.method}, {account.link} {account.direction}"
        if account.dropped_frames:
            yield f"{where}: the kernel had no room for {account.dropped_frames} frames and dropped them"
        if account.process_dropped_frames:
            yield (
                f"{where}: the link process dropped {account.process_dropped_frames} frames, which it could "
                "not carry"
            )
    for method, report in (evidence.link_process or {}).items():
        if report is not None and report.socket_dropped_frames:
            yield (
                f"{method}: the link process's sockets had no room for {report.socket_dropped_frames} frames "
                "and dropped them"
            )


def link_process_notes(reports: Mapping[str, ProcessReport | None]) -> Iterator[str]:
    """What the host denied the link process, and what that costs."""
    shown = [report for report in reports.values() if report is not None]
    if not all(report.real_time for report in shown):
        yield NO_REAL_TIME
    if not all(report.locked for report in shown):
        yield NOT_LOCKED


def _lateness(evidence: Evidence, limits: Limits) -> Iterator[str]:
    if evidence.lockstep:
        return
    if evidence.lateness is None:
        yield "the orchestrator's lateness was not recorded"
        return
    for lateness in evidence.lateness:
        if lateness.p99_ms > limits.lateness_p99_ms:
            yield (
                f"{lateness.method}: requests were sent late, p99 {lateness.p99_ms:.1f} ms and "
                f"{lateness.max_ms:.1f} ms at most, with {limits.lateness_p99_ms:g} ms allowed at p99"
            )


def _unexplained(spreads: Sequence[Unexplained] | None, limits: Limits) -> Iterator[str]:
    if spreads is None:
        yield "what of the latencies is no tier's and no link's was not worked out"
        return
    for spread in spreads:
        if spread.p99_ms is not None and spread.p99_ms > limits.unexplained_p99_ms:
            yield (
                f"{spread.method}: {spread.p99_ms:.1f} ms of the latencies at p99 are no tier's and no "
                f"link's, with {limits.unexplained_p99_ms:g} ms allowed"
            )
        if spread.p1_ms is not None and spread.p1_ms < -limits.unexplained_p99_ms:
            yield (
                f"{spread.method}: tiers and links recorded {-spread.p1_ms:.1f} ms more than latencies hold "
                f"at p1, with {limits.unexplained_p99_ms:g} ms allowed"
            )


def explained_too_few(spreads: Sequence[Unexplained], limits: Limits) -> Iterator[str]:
    """Methods in which the time of too many requests is not explained: a reason, and with events a note."""
    for spread in spreads:
        if spread.requests < limits.explained_share * spread.expected:
            yield (
                f"{spread.method}: where the time went is known of {spread.requests} of {spread.expected} "
                f"requests, with {limits.explained_share:.0%} asked for"
            )


def _cpu(reports: Mapping[str, CpuReport] | None, limits: Limits) -> Iterator[str]:
    if reports is None:
        yield "the machine's CPUs were not watched"
        return
    for method, report in reports.items():
        if report.samples == 0:
            continue  # over before the first look: too short to be short of anything
        if report.contended > limits.contended:
            yield (
                f"{method}: {report.contended:.0%} of the time more was runnable than the machine's "
                f"{report.cpus} CPU{'s' if report.cpus > 1 else ''} could run, with {limits.contended:.0%} "
                "allowed"
            )
        if report.busy > limits.busy:
            yield f"{method}: the machine's CPUs were busy for {report.busy:.0%} of the time"
        if report.steal > limits.steal:
            yield f"{method}: the hypervisor took away {report.steal:.1%} of the machine's CPU time"


def _probes(probes: Mapping[str, Sequence[ProbeReport]] | None, limits: Limits) -> Iterator[str]:
    if probes is None:
        yield "no idle link was probed"
        return
    for method, reports in probes.items():
        for report in reports:
            for complaint in _probe(report, limits):
                yield f"{method}: an idle link like {report.link} {complaint}"


def _probe(report: ProbeReport, limits: Limits) -> Iterator[str]:
    if report.ended_early:
        yield "was not watched to the end: the probe broke off"
        return
    if report.sent < limits.probe_least_answers:
        return  # a method of two seconds: the measurements before and after speak for it
    if report.median_ms is None or report.felt_p99_ms is None or report.felt_median_ms is None:
        yield f"answered none of {report.sent} pings"
        return
    if report.loss == 0 and report.answered < report.sent:
        yield f"lost {report.sent - report.answered} of {report.sent} pings"
    low, high = time_bounds(report.expected_ms, report.jitter_ms, report.answered)
    if not low <= report.median_ms <= high:
        yield f"had a median round trip of {report.median_ms:.2f} ms, expected {low:.2f} to {high:.2f}"
    slack_ms = max(limits.probe_slack_ms, limits.probe_slack_share * report.expected_ms)
    latest_ms = report.expected_ms + 3.5 * report.jitter_ms + slack_ms
    if report.felt_p99_ms > latest_ms:
        yield f"had a p99 round trip of {report.felt_p99_ms:.2f} ms, expected {latest_ms:.2f} at most"
    if report.late_p99_ms is not None and report.late_p99_ms > limits.probe_slack_ms:
        yield f"was pinged {report.late_p99_ms:.2f} ms late at p99: the machine itself stood still"


def _tiers(evidence: Evidence, limits: Limits) -> Iterator[str]:
    """Nodes that got fewer CPUs than asked for, or waited for a CPU that their limit allowed.

    Where the kernel does not tell how long a container waited, the tiers' limits together must fit the
    machine.
    """
    if evidence.tiers is None:
        yield "the tiers' CPU limits are not known"
        return
    for tier in evidence.tiers:
        if tier.cpus < tier.cpus_asked:
            yield f"{tier.node} was to have {tier.cpus_asked:g} CPUs and got {tier.cpus:g}: there are no more"
        yield from _waited(tier, limits)
    is_known = all(waited_s is not None for tier in evidence.tiers for waited_s in tier.waited_s.values())
    total = _cpus_together(evidence.tiers)
    if not is_known and total > evidence.machine_cpus:
        yield (
            f"this kernel does not tell how long containers waited for a CPU, and the tiers may use "
            f"{total:g} CPUs together, where the machine has {evidence.machine_cpus:g}"
        )


def _waited(tier: TierLimit, limits: Limits) -> Iterator[str]:
    for method, waited_s in tier.waited_s.items():
        ran_s, requests = tier.ran_s.get(method), tier.requests.get(method)
        if waited_s is None or ran_s is None or not requests:
            continue
        if (served_s := tier.served_s.get(method)) is not None:
            waited_s = min(waited_s, served_s)  # what waited while no request was there delayed none
        allowed_s = (limits.waited_share * (ran_s + waited_s), requests * limits.waited_ms / 1e3)
        if waited_s > max(*allowed_s, limits.waited_least_s):
            yield (
                f"{method}: {tier.node} waited {waited_s:.2f} s for a CPU that its limit of {tier.cpus:g} "
                f"allowed, {1e3 * waited_s / requests:.0f} ms a request and "
                f"{waited_s / (ran_s + waited_s):.0%} of the time that it ran or waited, with "
                f"{limits.waited_ms:g} ms or {limits.waited_share:.0%} allowed"
            )


def tier_notes(evidence: Evidence) -> Iterator[str]:
    """Limits that add up to more than there is, and limits that were reached."""
    tiers = evidence.tiers or ()
    if (total := _cpus_together(tiers)) > evidence.machine_cpus:
        yield (
            f"the tiers may use {total:g} CPUs together, and the machine has {evidence.machine_cpus:g}: what "
            "speaks against latency is a container that waited for a CPU"
        )
    for tier in tiers:
        if tier.periods and tier.throttled_periods:
            share = tier.throttled_periods / tier.periods
            yield (
                f"{tier.node} was throttled by its own limit of {tier.cpus:g} CPUs in {share:.0%} of its "
                "periods: that is the emulation at work"
            )


def _cpus_together(tiers: Sequence[TierLimit]) -> float:
    return round(sum(tier.cpus for tier in tiers), 9)


def _events(events: Sequence[EventRow], limits: Limits) -> Iterator[str]:
    for event in events:
        if event.error is not None:
            yield f"{event.method}: {event} failed: {event.error}"
        late_ms = max(event.late_ms or 0.0, event.end_late_ms or 0.0, event.steps_late_p99_ms or 0.0)
        if late_ms > limits.event_late_ms:
            yield (
                f"{event.method}: {event} was {late_ms:.0f} ms late, with {limits.event_late_ms:g} ms allowed"
            )
