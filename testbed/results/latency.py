"""What speaks against a run's latencies: links, sender, clocks, CPUs: why they are not the WAN's."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from testbed.results.columns import EventRow
from testbed.results.evidence import CpuReport, Evidence, ProbeReport, TierLimit, Unexplained
from testbed.scenario.expected import time_bounds
from testbed.scenario.reports import Finding, ProcessReport


@dataclass(frozen=True)
class Limits:
    """Where the emulator's own doing begins to show in latencies; shares in [0, 1].

    A probe may feel ``probe_slack_ms``, or ``probe_slack_share`` of its round trip if that is more, on top of
    what the link gives it: how long a process that becomes ready may wait for a CPU. A container may wait
    for a CPU for ``waited_share`` of the time that it ran or waited, and in any case for ``waited_ms`` a
    request and ``waited_least_s`` in all: beside short work the few waits of an idle host weigh much.
    """

    lateness_p99_ms: float = 10.0
    unexplained_p99_ms: float = 10.0
    explained_share: float = 0.99
    contended: float = 0.10
    busy: float = 0.95
    steal: float = 0.02
    probe_slack_ms: float = 5.0
    probe_slack_share: float = 0.10
    probe_least_answers: int = 10
    event_late_ms: float = 50.0
    link_late_p99_ms: float = 1.0
    link_busy: float = 0.80
    waited_share: float = 0.10
    waited_ms: float = 10.0
    waited_least_s: float = 0.2


def against_latency(evidence: Evidence, limits: Limits) -> Iterator[str]:
    """Links as configured before and after, requests sent on time, an emulator that is not short of CPU."""
    yield from _links("before", evidence.links_before)
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
    yield from _events(evidence.events, limits)
    for full in evidence.overflows:
        if full.waited:
            yield (
                f"{full.method}: at {full.node} {full.waited} requests waited for a thread, "
                f"{full.waited_max_ms:.0f} ms at most: more were outstanding than a node handles at a time"
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
    """Frames that no link as asked for would have dropped: they speak against bytes and latency."""
    for one in evidence.accounts or ():
        where = f"{one.method}, {one.link} {one.direction}"
        if one.dropped_frames:
            yield f"{where}: the kernel had no room for {one.dropped_frames} frames and dropped them"
        if one.process_dropped_frames:
            yield (
                f"{where}: the link process dropped {one.process_dropped_frames} frames, which it could not "
                "carry"
            )
    for method, report in (evidence.link_process or {}).items():
        if report is not None and report.socket_dropped_frames:
            yield (
                f"{method}: the link process's sockets had no room for {report.socket_dropped_frames} frames "
                "and dropped them"
            )


def link_process_notes(reports: Mapping[str, ProcessReport | None]) -> Iterator[str]:
    """What the host did not let the link process have, and what that costs."""
    shown = [report for report in reports.values() if report is not None]
    if not all(report.real_time for report in shown):
        yield (
            "the link process had no real-time priority: where CPUs are busy, frames wait for one, and links "
            "are slower than asked"
        )
    if not all(report.locked for report in shown):
        yield (
            "the link process's memory was not locked: where memory is short, frames wait until the kernel "
            "has read it back"
        )


def _lateness(evidence: Evidence, limits: Limits) -> Iterator[str]:
    if evidence.lockstep:
        return
    if evidence.lateness is None:
        yield "the orchestrator's lateness was not recorded"
        return
    for one in evidence.lateness:
        if one.p99_ms > limits.lateness_p99_ms:
            yield (
                f"{one.method}: requests were sent late, p99 {one.p99_ms:.1f} ms and {one.max_ms:.1f} ms "
                f"at most, with {limits.lateness_p99_ms:g} ms allowed at p99"
            )


def _unexplained(spreads: Sequence[Unexplained] | None, limits: Limits) -> Iterator[str]:
    if spreads is None:
        yield "what of the latencies is no tier's and no link's was not worked out"
        return
    for one in spreads:
        if one.p99_ms is not None and one.p99_ms > limits.unexplained_p99_ms:
            yield (
                f"{one.method}: {one.p99_ms:.1f} ms of the latencies at p99 are no tier's and no link's, "
                f"with {limits.unexplained_p99_ms:g} ms allowed"
            )
        if one.p1_ms is not None and one.p1_ms < -limits.unexplained_p99_ms:
            yield (
                f"{one.method}: tiers and links recorded {-one.p1_ms:.1f} ms more than latencies hold at p1, "
                f"with {limits.unexplained_p99_ms:g} ms allowed"
            )


def explained_too_few(spreads: Sequence[Unexplained], limits: Limits) -> Iterator[str]:
    """Of too many requests it is not known where the time went: a reason, and with events a note."""
    for one in spreads:
        if one.requests < limits.explained_share * one.expected:
            yield (
                f"{one.method}: where the time went is known of {one.requests} of {one.expected} requests, "
                f"with {limits.explained_share:.0%} asked for"
            )


def _cpu(reports: Mapping[str, CpuReport] | None, limits: Limits) -> Iterator[str]:
    if reports is None:
        yield "the machine's CPUs were not watched"
        return
    for method, one in reports.items():
        if one.samples == 0:
            continue  # over before the first look: too short to be short of anything
        if one.contended > limits.contended:
            yield (
                f"{method}: {one.contended:.0%} of the time more was runnable than the machine's "
                f"{one.cpus} CPU{'s' if one.cpus > 1 else ''} could run, with {limits.contended:.0%} allowed"
            )
        if one.busy > limits.busy:
            yield f"{method}: the machine's CPUs were busy for {one.busy:.0%} of the time"
        if one.steal > limits.steal:
            yield f"{method}: the hypervisor took away {one.steal:.1%} of the machine's CPU time"


def _probes(probes: Mapping[str, Sequence[ProbeReport]] | None, limits: Limits) -> Iterator[str]:
    if probes is None:
        yield "no idle link was probed"
        return
    for method, reports in probes.items():
        for one in reports:
            for complaint in _probe(one, limits):
                yield f"{method}: an idle link like {one.link} {complaint}"


def _probe(one: ProbeReport, limits: Limits) -> Iterator[str]:
    if one.ended_early:
        yield "was not watched to the end: the probe broke off"
        return
    if one.sent < limits.probe_least_answers:
        return  # a method of two seconds: the measurements before and after speak for it
    if one.median_ms is None or one.felt_p99_ms is None or one.felt_median_ms is None:
        yield f"answered none of {one.sent} pings"
        return
    if one.loss == 0 and one.answered < one.sent:
        yield f"lost {one.sent - one.answered} of {one.sent} pings"
    low, high = time_bounds(one.expected_ms, one.jitter_ms, one.answered)
    if not low <= one.median_ms <= high:
        yield f"had a median round trip of {one.median_ms:.2f} ms, expected {low:.2f} to {high:.2f}"
    slack_ms = max(limits.probe_slack_ms, limits.probe_slack_share * one.expected_ms)
    latest_ms = one.expected_ms + 3.5 * one.jitter_ms + slack_ms
    if one.felt_p99_ms > latest_ms:
        yield f"had a p99 round trip of {one.felt_p99_ms:.2f} ms, expected {latest_ms:.2f} at most"
    if one.late_p99_ms is not None and one.late_p99_ms > limits.probe_slack_ms:
        yield f"was pinged {one.late_p99_ms:.2f} ms late at p99: the machine itself stood still"


def _tiers(evidence: Evidence, limits: Limits) -> Iterator[str]:
    """A node got what it was to have, and waited for no CPU that its limit allowed. Where the kernel does not
    tell how long a container waited, the tiers' limits together must fit the machine.
    """
    if evidence.tiers is None:
        yield "the tiers' CPU limits are not known"
        return
    for tier in evidence.tiers:
        if tier.cpus < tier.cpus_asked:
            yield f"{tier.node} was to have {tier.cpus_asked:g} CPUs and got {tier.cpus:g}: there are no more"
        yield from _waited(tier, limits)
    told = all(waited_s is not None for tier in evidence.tiers for waited_s in tier.waited_s.values())
    total = _cpus_together(evidence.tiers)
    if not told and total > evidence.machine_cpus:
        yield (
            f"this kernel does not tell how long containers waited for a CPU, and the tiers may use "
            f"{total:g} CPUs together, where the machine has {evidence.machine_cpus}"
        )


def _waited(tier: TierLimit, limits: Limits) -> Iterator[str]:
    for method, waited_s in tier.waited_s.items():
        ran_s, requests = tier.ran_s.get(method), tier.requests.get(method)
        if waited_s is None or ran_s is None or not requests:
            continue
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
            f"the tiers may use {total:g} CPUs together, and the machine has {evidence.machine_cpus}: what "
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
    for one in events:
        if one.error is not None:
            yield f"{one.method}: {one} failed: {one.error}"
        late_ms = max(one.late_ms or 0.0, one.end_late_ms or 0.0, one.steps_late_p99_ms or 0.0)
        if late_ms > limits.event_late_ms:
            yield (f"{one.method}: {one} was {late_ms:.0f} ms late, with {limits.event_late_ms:g} ms allowed")
