"""One method on a network that is up: the same start, replay, captures, and an account of every byte.

The sum of bytes is exact because its ends are sharp: captures live first, counters read twice until equal
on a quiet link, replay, connections between tiers closed, counters equal twice again, and captures stopped
only when they have written all that the kernel received for them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from testbed.host.cgroup import Usage
from testbed.network.link import WanLink
from testbed.orchestrator.accounting import account_captures
from testbed.orchestrator.events.flow import flow_ports
from testbed.orchestrator.events.player import EventPlayer
from testbed.orchestrator.nodes.control import on_all
from testbed.orchestrator.nodes.tier_specs import policy_spec
from testbed.orchestrator.quiet import _closed, _read
from testbed.orchestrator.replay.closed_loop import ClosedLoop, draw_closed_loop
from testbed.orchestrator.replay.replay import Outcome, replay
from testbed.orchestrator.rows.links import backlogs, frames_between, reconcile
from testbed.orchestrator.rows.outcomes import count_outcomes
from testbed.orchestrator.rows.requests import request_rows, with_lives
from testbed.orchestrator.rows.tiers import overflows, tier_rows
from testbed.orchestrator.session import Setting
from testbed.orchestrator.watch.cpu import CpuWatch
from testbed.orchestrator.watch.probes import ProbeWatch
from testbed.orchestrator.watch.run_delay import RunDelayWatch
from testbed.results.columns import EventRow
from testbed.results.evidence import (
    BacklogReport,
    CpuReport,
    Lateness,
    LinkAccount,
    Outcomes,
    Overflow,
    ProbeReport,
    Unexplained,
)
from testbed.results.times import unexplained
from testbed.scenario.reports import ProcessReport
from testbed.scenario.scenario import Scenario
from testbed.scenario.timeline import under_events
from testbed.scenario.topology import DIRECTIONS, Direction, Link, Topology
from testbed.wire.account import LinkEnds
from testbed.wire.capture import Capture


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
    events: list[EventRow] = field(default_factory=list)
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
    accounts = account_captures(
        [_captured(setting, method.name, link) for link in links], method.name, setting.reporter
    )
    captured = {link.name: account for link, account in zip(links, accounts, strict=True)}
    crossed = {link: account.requests for link, account in captured.items()}
    topology = setting.network.topology
    request_table = request_rows(method.name, outcomes, records, setting.examples, topology, crossed)
    reconciled = reconcile(method.name, before, after, captured, reports, request_table)
    rows = [asdict(row) for row in request_table]
    return MethodResult(
        requests=rows,
        links=[asdict(row) for row in reconciled.rows],
        tiers=[asdict(row) for row in tier_rows(method.name, records, used, topology)],
        accounts=reconciled.accounts,
        outcomes=count_outcomes(method.name, setting.trace, outcomes, setting.scenario.task.labels),
        lateness=Lateness.of(method.name, [row["lateness_ms"] for row in rows]),
        unexplained=unexplained(method.name, rows),
        backlog=backlogs(after, {link.name: _queue_frames(link) for link in links}),
        link_process=link_process,
        clock_offsets_ns=(offset_ns, time.time_ns() - time.monotonic_ns()),
        cpu=cpu_watch.report,
        probes=probe_watch.reports,
        findings=[
            f"{method.name}: {link}: {text}"
            for link, account in captured.items()
            for text in account.findings
        ],
        events=events,
        overflows=overflows(method.name, records, forgotten),
    )


def _usage(setting: Setting) -> dict[str, Usage]:
    return {name: group.usage() for name, group in setting.groups.items()}


def _replay(
    setting: Setting, method: str, spec: Mapping[str, Any], progress: Callable[[int, int], None]
) -> tuple[list[Outcome], list[EventRow], Mapping[str, Any]]:
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


def _queue_frames(link: WanLink) -> dict[Direction, int]:
    return {direction: link.shapes[direction].queue_frames for direction in DIRECTIONS}


def link_ends(topology: Topology, link: Link, flow_ports: frozenset[int] = frozenset()) -> LinkEnds:
    """Who sends from which side of a link; below a shared one there are several."""
    child_mac, *siblings = (topology.node(name).mac for name in link.children)
    return LinkEnds(
        child_mac, topology.node(link.parent).mac, below=frozenset(siblings), flow_ports=flow_ports
    )


def _captured(setting: Setting, method: str, link: WanLink) -> tuple[Path, LinkEnds]:
    ends = link_ends(setting.network.topology, link.spec, flow_ports(setting.scenario.events))
    return setting.directory.pcap(method, link.name), ends
