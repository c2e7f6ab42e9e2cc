"""One method on a network that is up: observed while it runs.

The sum of bytes is exact because its ends are sharp: captures live first, counters read twice until equal
on a quiet link, replay, connections between tiers closed, counters equal twice again, and captures stopped
only when they have written all that the kernel received for them.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import Any

from testbed.console import Count
from testbed.errors import TestbedError
from testbed.host.cgroup import Usage
from testbed.network.link import WanLink
from testbed.orchestrator.backend_captures import BackendCaptures
from testbed.orchestrator.estimate import NOTHING_AHEAD, Ahead
from testbed.orchestrator.events.player import EventPlayer
from testbed.orchestrator.events.stage import Stage
from testbed.orchestrator.nodes.control import on_all
from testbed.orchestrator.nodes.tier_specs import policy_spec, round_trips
from testbed.orchestrator.quiet import read_when_quiet, wait_until_connections_closed
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
from testbed.results.columns import EventRow
from testbed.results.evidence import (
    CpuReport,
    ProbeReport,
)
from testbed.scenario.patience import round_trip_s
from testbed.scenario.reports import ProcessReport
from testbed.scenario.sections.methods import Method
from testbed.wire.capture import Capture, CaptureReport
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
        started_ns: when its time 0 was, by the clock that stamps captures: ns since 1970.
        backend_faults: why captures of backend links may lack frames.
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
    started_ns: int
    cpu: CpuReport
    probes: Sequence[ProbeReport]
    backend_faults: Sequence[str] = ()


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
) -> Observation:
    """Replay the trace under ``method`` on a network that is up, or let ``asking`` do what it does instead.

    Raises:
        TestbedError: a container has ended, a capture cannot start, the disk is full.
    """
    network, nodes = session.network, session.nodes
    spec = begin(session, method, None if asking is None else MAX_RECORDS)
    with ExitStack() as stack:
        captures = {
            link.name: stack.enter_context(_capture(session, method.name, link)) for link in session.captured
        }
        backends = stack.enter_context(BackendCaptures(network.backends, session.directory, method.name))
        network.link_process.begin(session.inputs.scenario.seed, method.name)
        slowest_s = round_trip_s(session.inputs.under_events.links)
        before = read_when_quiet(network, slowest_s)
        probe_watch, cpu_watch = ProbeWatch(session.probes), CpuWatch()
        at_start, start_offset_ns = _usage(session), _clock_offset_ns()
        with probe_watch, cpu_watch, run_delay_watch(session.groups.values()):
            traffic = _replay(session, method, spec, progress, ahead) if asking is None else asking()
        on_all(nodes, lambda node: node.disconnect())
        closed = not session.inputs.scenario.events or wait_until_connections_closed(network, slowest_s)
        after = read_when_quiet(network, slowest_s)
        used = {name: usage.since(at_start[name]) for name, usage in _usage(session).items()}
        link_process = network.link_process.report() if network.links else None
        reports = {
            name: capture.stop(frames_between(before, after, name)) for name, capture in captures.items()
        }
        backend_faults = backends.stop()
    return Observation(
        method=method.name,
        outcomes=traffic.outcomes,
        events=traffic.events,
        records=with_lives(on_all(nodes, lambda node: node.records()), traffic.killed),
        forgotten=on_all(nodes, lambda node: int(node.status()["records_forgotten"])),
        before=before,
        after=replace(after, quiet=after.quiet and closed),
        used=used,
        captures=reports,
        link_process=link_process,
        clock_offsets_ns=(start_offset_ns, _clock_offset_ns()),
        started_ns=round(traffic.start_s * 1e9) + start_offset_ns,
        cpu=cpu_watch.report,
        probes=probe_watch.reports,
        backend_faults=backend_faults,
    )


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
    session: Session, method: Method, policy: Mapping[str, Any], progress: Count, ahead: Ahead
) -> Traffic:
    """Replay the trace while its events happen."""
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
    with session.reporter.watching(glances(session, going, ahead)), EventPlayer(stage, method.name) as player:
        outcomes = replay(
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
        )
    return Traffic(outcomes, start_s, player.reports, stage.records)
