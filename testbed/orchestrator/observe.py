"""One method on a network that is up: observed while it runs.

The sum of bytes is exact because its ends are sharp: captures live first, counters read twice until equal
on a quiet link, replay, connections between tiers closed, counters equal twice again, and captures stopped
only when they have written all that the kernel received for them.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace
from typing import Any

from testbed.console import Count
from testbed.errors import TestbedError
from testbed.host.cgroup import Usage
from testbed.host.processes.waiting import wait_until
from testbed.network.link import WanLink
from testbed.network.network import Network
from testbed.orchestrator.backend_captures import BackendCaptures
from testbed.orchestrator.breaking_off import BREAKS, WAIT_S, BreakingOff
from testbed.orchestrator.estimate import NOTHING_AHEAD, Ahead
from testbed.orchestrator.events.player import EventPlayer
from testbed.orchestrator.events.stage import Stage
from testbed.orchestrator.nodes.control import on_all
from testbed.orchestrator.nodes.tier_specs import policy_spec, round_trips
from testbed.orchestrator.quiet import QUIET_TIMEOUT_S, read_when_quiet, wait_until_connections_closed
from testbed.orchestrator.replay.closed_loop import draw_closed_loop
from testbed.orchestrator.replay.going import Going
from testbed.orchestrator.replay.replay import Outcome, replay
from testbed.orchestrator.replay.shared_windows import SharedWindows
from testbed.orchestrator.rows.links import Reading, frames_between
from testbed.orchestrator.rows.requests import NodeRecords, with_lives
from testbed.orchestrator.session import Session
from testbed.orchestrator.watch.cpu import CpuWatch
from testbed.orchestrator.watch.glances import glances
from testbed.orchestrator.watch.probes import ProbeWatch
from testbed.orchestrator.watch.run_delay import run_delay_watch
from testbed.orchestrator.watch.standstill import Seen, StandstillWatch
from testbed.results.audit import CUT_OFF
from testbed.results.columns import EventRow
from testbed.results.evidence import (
    CpuReport,
    ProbeReport,
)
from testbed.scenario.patience import round_trip_s
from testbed.scenario.reports import ProcessReport
from testbed.scenario.sections.events import NodeEvent
from testbed.scenario.sections.methods import Method
from testbed.wire.capture import Capture, CaptureReport, capturing, stop_all
from tiers.records import MAX_RECORDS


@dataclass(frozen=True)
class Traffic:
    """What was asked while a method was observed.

    Attributes:
        killed: what nodes had recorded when they were killed.
        start_s: when its time 0 was, of ``time.monotonic()``.
    """

    outcomes: Sequence[Outcome]
    start_s: float
    events: Sequence[EventRow] = ()
    killed: Mapping[str, Any] = field(default_factory=dict)


RECORDED_POLL_S = 0.1
Asking = Callable[[], Traffic]
"""Asks a network that is up, under a method that has begun."""


@dataclass(frozen=True)
class Observation:
    """Everything that was recorded of a method while it ran; its captures are in the run directory.

    Attributes:
        records: what each node recorded of requests, killed ones of it included.
        forgotten: how many records each node had no room for.
        before: all counters at the start, ``after`` at the end.
        used: what the containers used of CPU and memory.
        captures: what became of each capture, by link.
        clock_offsets_ns: realtime less monotonic clock, at the start and the end; captures are stamped by
            the first.
        start_s: when its time 0 was, of ``time.monotonic()``.
        started_ns: the same by the clock that stamps captures: ns since 1970.
        seen: by node, what its container was seen to do; ``behind``: of engines and relays, by name.
        backend_faults: why captures of backend links may lack frames.
        lost: the nodes whose records are lost, since they have ended or do not answer.
        broken_off: whether the method did not come to its end.
    """

    method: str
    outcomes: Sequence[Outcome]
    events: Sequence[EventRow]
    records: NodeRecords
    forgotten: Mapping[str, int]
    before: Reading
    after: Reading
    used: Mapping[str, Usage]
    captures: Mapping[str, CaptureReport]
    link_process: ProcessReport | None
    clock_offsets_ns: tuple[int, int]
    start_s: float
    started_ns: int
    cpu: CpuReport
    probes: Sequence[ProbeReport]
    seen: Mapping[str, Seen]
    behind: Mapping[str, Seen]
    backend_faults: Sequence[str] = ()
    lost: Sequence[str] = ()
    broken_off: bool = False


def try_policies(session: Session) -> None:
    """Make each method's policy on every node, so that one that cannot be made is known of before a request.

    Raises:
        TestbedError: a node refuses one.
    """
    for method in session.inputs.scenario.methods:
        try:
            begin(session, method)
        except TestbedError as error:
            raise TestbedError(f"methods.{method.name}: {error}") from None


def begin(session: Session, method: Method, requests: int | None = None) -> dict[str, Any]:
    """Let every node begin a method; return its policy as nodes are given it.

    ``requests`` is of how many nodes keep records; of as many as the trace has, if it is not given.
    """
    inputs = session.inputs
    spec = policy_spec(method, inputs.scenario.seed, session.calibrated.get(method.name))
    longest = {node.name: round_trips(node, inputs.under_events) for node in inputs.topology.nodes}
    kept = requests or len(inputs.trace) or None
    on_all(session.nodes, lambda node: node.reset(method.name, spec, longest[node.name], kept))
    return spec


def observe(
    session: Session,
    method: Method,
    progress: Count,
    ahead: Ahead = NOTHING_AHEAD,
    asking: Asking | None = None,
    *,
    broken: BreakingOff,
) -> Observation:
    """Replay the trace under ``method`` on a network that is up, or let ``asking`` do what it does instead.

    What breaks it off once requests are sent is noted in ``broken``, and what was seen until then returned.

    Raises:
        TestbedError: a container has ended or a capture cannot start, before a request was sent.
    """
    network, nodes = session.network, session.nodes
    spec = begin(session, method, None if asking is None else MAX_RECORDS)
    with ExitStack() as stack:
        captures = {link.name: _capture(session, method.name, link) for link in session.captured}
        stack.enter_context(capturing(captures.values()))
        backends = stack.enter_context(BackendCaptures(network.backends, session.directory, method.name))
        network.link_process.begin(session.inputs.scenario.seed, method.name)
        slowest_s = round_trip_s(session.inputs.under_events.links)
        with session.reporter.waiting("the links to come to rest", QUIET_TIMEOUT_S):
            before = read_when_quiet(network, slowest_s)
        probe_watch, cpu_watch = ProbeWatch(session.probes), CpuWatch()
        at_start, start_offset_ns = _usage(session), _clock_offset_ns()
        asked = {event.target for event in session.inputs.scenario.events if isinstance(event, NodeEvent)}
        standstill = StandstillWatch(
            session.groups, network.relays, tell=session.reporter.say, asked=asked, why=network.why_ended
        )
        with standstill, probe_watch, cpu_watch, run_delay_watch(session.groups.values()):
            traffic = asking() if asking else _replay(session, method, spec, progress, ahead, broken)
            _hold_signals(session, method, broken)
        if broken.error is not None:
            _wait_for_records(session, traffic.outcomes, _rest_s(network, broken))
        broken.tried(lambda: on_all(nodes, lambda node: node.disconnect()))
        timeout_s = _rest_s(network, broken)
        with session.reporter.waiting("connections to close, and the links to come to rest", timeout_s):
            closed = not session.inputs.scenario.events or wait_until_connections_closed(
                network, slowest_s, timeout_s
            )
            after = read_when_quiet(network, slowest_s, timeout_s)
        used = {
            name: usage.since(at_start[name])
            for name, usage in (broken.tried(lambda: _usage(session)) or {}).items()
        }
        link_process = broken.tried(network.link_process.report) if network.links else None
        reports = stop_all(captures, {name: frames_between(before, after, name) for name in captures})
        backend_faults = backends.stop()
    records = on_all(nodes, lambda node: broken.tried(node.records))
    forgotten = on_all(nodes, lambda node: broken.tried(lambda: int(node.status()["records_forgotten"])))
    return Observation(
        method=method.name,
        outcomes=traffic.outcomes,
        events=traffic.events,
        records=with_lives({name: found or [] for name, found in records.items()}, traffic.killed),
        forgotten={name: count or 0 for name, count in forgotten.items()},
        before=before,
        after=replace(after, quiet=after.quiet and closed),
        used=used,
        captures=reports,
        link_process=link_process,
        clock_offsets_ns=(start_offset_ns, _clock_offset_ns()),
        start_s=traffic.start_s,
        started_ns=round(traffic.start_s * 1e9) + start_offset_ns,
        cpu=cpu_watch.report,
        probes=probe_watch.reports,
        seen=standstill.seen,
        behind=standstill.behind,
        backend_faults=backend_faults,
        lost=[name for name, found in records.items() if found is None],
        broken_off=broken.error is not None,
    )


def _hold_signals(session: Session, method: Method, broken: BreakingOff) -> None:
    broken.hold_signals(lambda: session.reporter.say(f"{method.name} is accounted for first"))


def _rest_s(network: Network, broken: BreakingOff) -> float:
    """How long the links may take to come to rest; not long where something has gone that they need."""
    if broken.error is None:
        return QUIET_TIMEOUT_S
    return 0.0 if network.link_process.has_ended else WAIT_S


def _wait_for_records(session: Session, outcomes: Sequence[Outcome], timeout_s: float) -> None:
    """Wait until each device has recorded the requests that were cut off, as it does at their end.

    Then those above have recorded them too.
    """
    devices = {node.name: node for node in session.nodes}
    waiting = [outcome for outcome in outcomes if outcome.outcome == CUT_OFF]

    def are_recorded() -> bool:
        waiting[:] = [one for one in waiting if not devices[one.device].records(one.request_id)]
        return not waiting

    with suppress(TestbedError):  # a node that has ended, which is told where its records are asked for
        wait_until(are_recorded, timeout_s, RECORDED_POLL_S)


def _capture(session: Session, method: str, link: WanLink) -> Capture:
    fastest_bps = session.inputs.fastest_bps[link.name]
    pcap = session.directory.pcap(method, link.name)
    rate_bps = None if math.isinf(fastest_bps) else int(fastest_bps)
    return Capture(link.capture_interface, link.netns_path, pcap, rate_bps)


def _usage(session: Session) -> dict[str, Usage]:
    return {name: group.usage() for name, group in session.groups.items()}


def _clock_offset_ns() -> int:
    return time.time_ns() - time.monotonic_ns()


def _replay(
    session: Session,
    method: Method,
    policy: Mapping[str, Any],
    progress: Count,
    ahead: Ahead,
    broken: BreakingOff,
) -> Traffic:
    """Replay the trace while its events happen; if that is broken off, what was asked until then."""
    inputs = session.inputs
    settings = inputs.scenario.replay
    stage = Stage(inputs.scenario.events, session.network, session.nodes, policy)
    start_s = math.nan

    def started(at_s: float) -> None:
        nonlocal start_s
        start_s = at_s
        player.start(at_s)

    windows = SharedWindows(inputs.topology, session.nodes, method.relay) if method.shared else None
    going = Going()
    ended: dict[str, Outcome] = {}
    with session.reporter.watching(glances(session, going, ahead)), EventPlayer(stage, method.name) as player:
        try:
            replay(
                inputs.trace,
                {request_id: example.text for request_id, example in inputs.examples.items()},
                {request.device: session.network.node(request.device).netns_path for request in inputs.trace},
                mode=settings.mode,
                deadline_s=settings.deadline_s,
                closed=draw_closed_loop(settings, len(inputs.trace), inputs.scenario.seed),
                windows=windows,
                progress=lambda done: progress(done, len(inputs.trace)),
                started=started,
                going=going,
                ended=ended,
            )
        except BREAKS as error:
            if not ended:
                raise
            broken.by(error)
        _hold_signals(session, method, broken)  # what events did is put back first, which may take seconds
    outcomes = [ended[request.id] for request in inputs.trace if request.id in ended]
    return Traffic(outcomes, start_s, player.reports, stage.records)
