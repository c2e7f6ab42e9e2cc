"""One method on a network that is up: the same start, replay, captures, and an account of every byte.

The sum of bytes is exact because its ends are sharp: captures live first, counters read twice until equal
on a quiet link, replay, connections between tiers closed, counters equal twice again, and captures stopped
only when they have written all that the kernel received for them.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from testbed.accounting import account_captures
from testbed.closed_loop import ClosedLoop, draw_closed_loop
from testbed.console import Reporter
from testbed.containers import policy_spec
from testbed.control import NodeControl, on_all
from testbed.events import EventPlayer, Stage
from testbed.flow import flow_ports
from testbed.host.cgroup import ContainerGroup, Usage
from testbed.joined import attribute, request_rows, with_lives
from testbed.network.kernel.connections import unsettled, wait_until_closed
from testbed.network.link import WanLink
from testbed.network.measure.measure import paths_of, wait_until_quiet
from testbed.network.network import Network
from testbed.overflow import overflows
from testbed.reconcile import Reading, backlogs, frames_between, reconcile
from testbed.replay import Outcome, replay
from testbed.results.directory import RunDirectory
from testbed.results.evidence import (
    BacklogReport,
    CpuReport,
    EventReport,
    Lateness,
    LinkAccount,
    Outcomes,
    Overflow,
    ProbeReport,
    Unexplained,
)
from testbed.results.times import unexplained
from testbed.run_delay_watch import RunDelayWatch
from testbed.scenario.reports import ProcessReport
from testbed.scenario.scenario import Scenario
from testbed.scenario.timeline import under_events
from testbed.scenario.topology import DIRECTIONS, Direction, Link, Topology
from testbed.scenario.workload.datasets import Example
from testbed.scenario.workload.trace_file import Request
from testbed.tier_use import tier_rows
from testbed.watch import CpuWatch, ProbeWatch
from testbed.wire.account import LinkEnds
from testbed.wire.capture import Capture

QUIET_TIMEOUT_S = 60.0
RETRIES_UNTIL_QUIET = 20
CLOSED_LEAST_S = 20.0


@dataclass(frozen=True)
class Setting:
    """What all methods of a run share."""

    scenario: Scenario
    network: Network
    nodes: Sequence[NodeControl]
    trace: Sequence[Request]
    examples: Mapping[str, Example]
    directory: RunDirectory
    probes: Sequence[Any]
    reporter: Reporter
    groups: Mapping[str, ContainerGroup] = field(default_factory=dict)
    """Control groups of the nodes that are containers."""
    stage: Stage | None = None
    """Where events play; ``None`` without any."""
    capturing: bool = True
    """To see what capturing costs; without it no byte has a cause, and the verdict on bytes says so."""


@dataclass(frozen=True)
class MethodResult:
    """What one method left: rows for the tables, and evidence for the verdicts."""

    requests: list[dict[str, Any]]
    links: list[dict[str, Any]]
    tiers: list[dict[str, Any]]
    accounts: list[LinkAccount]
    outcomes: Outcomes
    lateness: Lateness
    unexplained: Unexplained
    backlog: list[BacklogReport]
    link_process: ProcessReport | None
    clock_offsets_ns: tuple[int, int]
    """Realtime less monotonic clock, at the method's start and end: captures are stamped by the first."""
    cpu: CpuReport
    probes: list[ProbeReport]
    findings: list[str]
    events: list[EventReport] = field(default_factory=list)
    overflows: list[Overflow] = field(default_factory=list)


def run_method(setting: Setting, method: Any, progress: Callable[[int, int], None]) -> MethodResult:
    """Replay the trace under ``method``.

    Raises:
        TestbedError: a container has ended, a capture cannot start, the disk is full.
    """
    spec = policy_spec(method, setting.scenario.seed)
    on_all(setting.nodes, lambda node: node.reset(method.name, spec))
    links = setting.network.links
    with ExitStack() as stack:
        captures = {
            link.name: stack.enter_context(_capture(setting, method.name, link))
            for link in (links if setting.capturing else ())
        }
        setting.network.link_process.begin(setting.scenario.seed, method.name)
        before = _read(setting)
        probe_watch, cpu_watch = ProbeWatch(setting.probes), CpuWatch()
        at_start, offset_ns = _usage(setting), time.time_ns() - time.monotonic_ns()
        with probe_watch, cpu_watch, RunDelayWatch(setting.groups.values()):
            outcomes, events, killed = _replay(setting, method.name, spec, progress)
        on_all(setting.nodes, lambda node: node.disconnect())
        closed = setting.stage is None or _closed(setting)
        after = _read(setting)
        used = {name: usage.since(at_start[name]) for name, usage in _usage(setting).items()}
        after = replace(after, quiet=after.quiet and closed)
        link_process = setting.network.link_process.report() if links else None
        reports = {name: tap.stop(frames_between(before, after, name)) for name, tap in captures.items()}
    records = with_lives(on_all(setting.nodes, lambda node: node.records()), killed)
    forgotten = on_all(setting.nodes, lambda node: int(node.status()["records_forgotten"]))
    captured = account_captures(
        [_captured(setting, method.name, link) for link in links], method.name, setting.reporter
    )
    accounted = [
        reconcile(method.name, link.name, before, after, one, reports.get(link.name))
        for link, one in zip(links, captured, strict=True)
    ]
    crossed = {link.name: found.requests for link, found in zip(links, accounted, strict=True)}
    topology = setting.network.topology
    rows = request_rows(method.name, outcomes, records, setting.examples, topology, crossed)
    link_rows = attribute([row for found in accounted for row in found.rows], rows)
    accounts = [one for found in accounted for one in found.accounts]
    findings = [text for found in accounted for text in found.findings]
    return MethodResult(
        requests=rows,
        links=link_rows,
        tiers=tier_rows(method.name, records, used, topology),
        accounts=[
            replace(one, unattributed_bytes=row["unattributed_bytes"])
            for one, row in zip(accounts, link_rows, strict=True)
        ],
        outcomes=count_outcomes(method.name, setting.trace, outcomes, setting.scenario.task.labels),
        lateness=Lateness.of(method.name, [row["lateness_ms"] for row in rows]),
        unexplained=unexplained(method.name, rows),
        backlog=backlogs(after, {link.name: _queue_frames(link) for link in links}),
        link_process=link_process,
        clock_offsets_ns=(offset_ns, time.time_ns() - time.monotonic_ns()),
        cpu=cpu_watch.report,
        probes=probe_watch.reports,
        findings=[f"{method.name}: {text}" for text in findings],
        events=events,
        overflows=overflows(method.name, records, forgotten),
    )


def _usage(setting: Setting) -> dict[str, Usage]:
    return {name: group.usage() for name, group in setting.groups.items()}


def _replay(
    setting: Setting, method: str, spec: Mapping[str, Any], progress: Callable[[int, int], None]
) -> tuple[list[Outcome], list[EventReport], Mapping[str, Any]]:
    """Outcomes, what became of the events, and what killed nodes had recorded."""
    mode = setting.scenario.replay
    devices = {request.device for request in setting.trace}

    def go(started: Callable[[float], None]) -> list[Outcome]:
        return replay(
            setting.trace,
            {request_id: example.text for request_id, example in setting.examples.items()},
            {name: setting.network.node(name).netns_path for name in devices},
            mode=mode.mode,
            deadline_s=mode.deadline_s,
            closed=_closed_loop(setting.scenario, len(setting.trace)),
            progress=lambda done: progress(done, len(setting.trace)),
            started=started,
        )

    if setting.stage is None:
        return go(lambda _start_s: None), [], {}
    with EventPlayer(setting.stage, method, spec) as player:
        outcomes = go(player.start)
    return outcomes, player.reports, player.records


def _closed(setting: Setting) -> bool:
    """Wait for what a dead link or a container that stood still left to TCP: repeats come seconds later."""
    paths = [host.netns_path for host in setting.network.hosts]
    return wait_until_closed(paths, QUIET_TIMEOUT_S, CLOSED_LEAST_S)


def _closed_loop(scenario: Scenario, requests: int) -> ClosedLoop | None:
    mode = scenario.replay
    if mode.users is None or mode.think_s is None or mode.think_distribution is None:
        return None
    return draw_closed_loop(mode.users, requests, mode.think_s, mode.think_distribution, scenario.seed)


def _capture(setting: Setting, method: str, link: WanLink) -> Capture:
    shaped = under_events(setting.scenario.events, setting.network.topology).links
    same = [one for one in shaped if one.name == link.name]
    rates = [one.shape(direction).rate_bps for one in same for direction in DIRECTIONS]
    rate_bps = None if None in rates else max(rate for rate in rates if rate is not None)
    pcap = setting.directory.pcap(method, link.name)
    return Capture(link.capture_interface, link.netns_path, pcap, rate_bps)


def _read(setting: Setting) -> Reading:
    """The counters once nothing moves, read until two readings are equal."""
    links = setting.network.links
    quiet = not links or (_settled(setting) and wait_until_quiet(paths_of(setting.network), QUIET_TIMEOUT_S))
    found = {link.name: link.read() for link in links}
    for _ in range(RETRIES_UNTIL_QUIET):
        again = {link.name: link.read() for link in links}
        if again == found:
            break
        found = again
        quiet = quiet and wait_until_quiet(paths_of(setting.network), QUIET_TIMEOUT_S)
    else:
        quiet = False
    return Reading(found, quiet)


def _queue_frames(link: WanLink) -> dict[Direction, int]:
    return {direction: link.shapes[direction].queue_frames for direction in DIRECTIONS}


def _settled(setting: Setting) -> bool:
    """Wait until no node has anything left to send: a link that stands still may only be between two attempts
    after a loss, a fifth of a second and more apart. ``False`` if it never came to that.
    """
    namespaces = [host.netns_path for host in setting.network.hosts]
    end_s = time.monotonic() + QUIET_TIMEOUT_S
    while any(map(unsettled, namespaces)):
        if time.monotonic() > end_s:
            return False
        time.sleep(0.02)
    return True


def link_ends(topology: Topology, link: Link, flow_ports: frozenset[int] = frozenset()) -> LinkEnds:
    """Who sends from which side of a link; below a shared one there are several."""
    child_mac, *siblings = (topology.node(name).mac for name in link.children)
    return LinkEnds(
        child_mac, topology.node(link.parent).mac, below=frozenset(siblings), flow_ports=flow_ports
    )


def _captured(setting: Setting, method: str, link: WanLink) -> tuple[Path, LinkEnds]:
    ends = link_ends(setting.network.topology, link.spec, flow_ports(setting.scenario.events))
    return setting.directory.pcap(method, link.name), ends


def count_outcomes(
    method: str, trace: Sequence[Request], outcomes: Sequence[Outcome], labels: Sequence[str]
) -> Outcomes:
    """How requests ended; ``labels`` are the answers that the task knows, none if it knows any."""
    times = Counter(one.request_id for one in outcomes)
    strange = [
        one.answer for one in outcomes if labels and one.answer is not None and one.answer not in labels
    ]
    return Outcomes(
        method,
        requests=len(trace),
        ended=dict(Counter(one.outcome for one in outcomes)),
        repeated=sum(count > 1 for count in times.values()),
        strange_answers=len(strange),
        strange_answer=strange[0] if strange else None,
    )
