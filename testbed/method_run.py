"""One method on a network that is up: the same start, replay, captures, and an account of every byte.

The sum of bytes is exact because its ends are sharp: captures live first, counters read twice until equal
on a quiet link, replay, connections between tiers closed, counters equal twice again, and captures stopped
only when they have written all that the kernel received for them (DESIGN, "Bytes").
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from testbed.accounting import account_captures
from testbed.capture import Capture, CaptureReport
from testbed.closed_loop import ClosedLoop, draw_closed_loop
from testbed.console import Reporter
from testbed.containers import policy_spec
from testbed.control import NodeControl, on_all
from testbed.counters import Counters
from testbed.datasets import Example
from testbed.evidence import Lateness, LinkAccount, Outcomes
from testbed.joined import request_rows
from testbed.link import QueueDrops, WanLink
from testbed.measure import paths_of, wait_until_quiet
from testbed.network import Network
from testbed.replay import Outcome, replay
from testbed.results import BYTE_PARTS, RunDirectory
from testbed.scenario import Scenario
from testbed.tcp_table import unsettled
from testbed.topology import DIRECTIONS, Direction
from testbed.trace import Request
from testbed.watch import CpuReport, CpuWatch, ProbeReport, ProbeWatch
from testbed.wire import LinkAccount as CaptureAccount
from testbed.wire import LinkEnds

QUIET_TIMEOUT_S = 60.0
RETRIES_UNTIL_QUIET = 20


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
    capturing: bool = True
    """To see what capturing costs; without it no byte has a cause, and the verdict on bytes says so."""


@dataclass(frozen=True)
class MethodResult:
    """What one method left: rows for the tables, and evidence for the verdicts."""

    requests: list[dict[str, Any]]
    links: list[dict[str, Any]]
    prompts: dict[str, dict[str, int]]
    """Prompt bytes by request id and link, from the captures."""
    accounts: list[LinkAccount]
    outcomes: Outcomes
    lateness: Lateness
    cpu: CpuReport
    probes: list[ProbeReport]
    findings: list[str]


@dataclass(frozen=True)
class _Reading:
    """All counters of all links at one quiet moment."""

    wire: dict[str, dict[Direction, Counters]]
    drops: dict[str, dict[Direction, QueueDrops]]
    quiet: bool


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
        before = _read(setting)
        probe_watch, cpu_watch = ProbeWatch(list(setting.probes)), CpuWatch()
        with probe_watch, cpu_watch:
            outcomes = _replay(setting, progress)
        on_all(setting.nodes, lambda node: node.disconnect())
        after = _read(setting)
        reports = {name: tap.stop(_frames(before, after, name)) for name, tap in captures.items()}
    records = on_all(setting.nodes, lambda node: node.records())
    rows = request_rows(method.name, outcomes, records, setting.examples, setting.network.topology)
    captured = account_captures(
        [_captured(setting, method.name, link) for link in links], method.name, setting.reporter
    )
    accounted = [
        _account(method.name, link, before, after, one, reports.get(link.name))
        for link, one in zip(links, captured, strict=True)
    ]
    prompts: dict[str, dict[str, int]] = {}
    for link, found in zip(links, accounted, strict=True):
        for request_id, count in found.prompts.items():
            prompts.setdefault(request_id, {})[link.name] = count
    return MethodResult(
        requests=rows,
        links=[row for found in accounted for row in found.rows],
        prompts=prompts,
        accounts=[one for found in accounted for one in found.accounts],
        outcomes=_outcomes(method.name, setting.trace, outcomes),
        lateness=Lateness.of(method.name, [(one.sent_at_s - one.scheduled_at_s) * 1000 for one in outcomes]),
        cpu=cpu_watch.report,
        probes=probe_watch.reports,
        findings=[f"{method.name}: {text}" for found in accounted for text in found.findings],
    )


def _replay(setting: Setting, progress: Callable[[int, int], None]) -> list[Outcome]:
    mode = setting.scenario.replay
    devices = {request.device for request in setting.trace}
    return replay(
        setting.trace,
        {request_id: example.text for request_id, example in setting.examples.items()},
        {name: setting.network.node(name).netns_path for name in devices},
        mode=mode.mode,
        deadline_s=mode.deadline_s,
        closed=_closed_loop(setting.scenario, len(setting.trace)),
        progress=lambda done: progress(done, len(setting.trace)),
    )


def _closed_loop(scenario: Scenario, requests: int) -> ClosedLoop | None:
    mode = scenario.replay
    if mode.users is None or mode.think_s is None or mode.think_distribution is None:
        return None
    return draw_closed_loop(mode.users, requests, mode.think_s, mode.think_distribution, scenario.seed)


def _capture(setting: Setting, method: str, link: WanLink) -> Capture:
    rates = [link.spec.shape(direction).rate_bps for direction in DIRECTIONS]
    rate_bps = None if None in rates else max(rate for rate in rates if rate is not None)
    pcap = setting.directory.pcap(method, link.name)
    return Capture(link.capture_interface, link.netns_path, pcap, rate_bps)


def _read(setting: Setting) -> _Reading:
    """The counters once nothing moves, read until two readings are equal."""
    links = setting.network.links
    quiet = not links or (_settled(setting) and wait_until_quiet(paths_of(setting.network), QUIET_TIMEOUT_S))
    wire = {link.name: link.counters() for link in links}
    for _ in range(RETRIES_UNTIL_QUIET):
        again = {link.name: link.counters() for link in links}
        if again == wire:
            break
        wire = again
        quiet = quiet and wait_until_quiet(paths_of(setting.network), QUIET_TIMEOUT_S)
    else:
        quiet = False
    return _Reading(wire, {link.name: link.drops() for link in links}, quiet)


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


def _frames(before: _Reading, after: _Reading, link: str) -> int:
    return sum(after.wire[link][one].frames - before.wire[link][one].frames for one in DIRECTIONS)


@dataclass(frozen=True)
class _Accounted:
    rows: list[dict[str, Any]]
    accounts: list[LinkAccount]
    prompts: dict[str, int]
    findings: list[str]


def _captured(setting: Setting, method: str, link: WanLink) -> tuple[Path, LinkEnds]:
    topology = setting.network.topology
    ends = LinkEnds(topology.node(link.spec.child).mac, topology.node(link.spec.parent).mac)
    return setting.directory.pcap(method, link.name), ends


def _account(
    method: str,
    link: WanLink,
    before: _Reading,
    after: _Reading,
    found: CaptureAccount,
    report: CaptureReport | None,
) -> _Accounted:
    """Hold what the capture says against what the kernel counted, in both directions."""
    faults = list(dict.fromkeys([*(report.faults if report else ()), *found.doubts]))
    rows, accounts = [], []
    for direction in DIRECTIONS:
        parts = found.parts(direction)
        start, end = before.wire[link.name][direction], after.wire[link.name][direction]
        was, now = before.drops[link.name][direction], after.drops[link.name][direction]
        frames, frame_bytes = end.frames - start.frames, end.bytes - start.bytes
        queue_dropped = now.queue_dropped_frames - was.queue_dropped_frames
        lost = now.lost_frames - was.lost_frames
        if dropped := now.emulator_dropped_frames - was.emulator_dropped_frames:
            faults.append(f"the kernel had no room for {dropped} frames {direction}")
        rows.append(
            {
                "link": link.name,
                "direction": direction,
                "method": method,
                "frames": frames,
                "frame_bytes": frame_bytes,
                "ip_bytes": parts.ip_bytes,
                **{name: getattr(parts, name) for name in BYTE_PARTS},
                "unaccounted_bytes": frame_bytes - parts.accounted_bytes,
                "retried_prompt_bytes": parts.retried_prompt_bytes,
                "queue_dropped_frames": queue_dropped,
                "lost_frames": lost,
            }
        )
        accounts.append(
            LinkAccount(
                method=method,
                link=link.name,
                direction=direction,
                frames=frames,
                frame_bytes=frame_bytes,
                unaccounted_bytes=frame_bytes - parts.accounted_bytes,
                unaccounted_frames=frames - parts.accounted_frames,
                capture_dropped_frames=report.dropped_by_kernel if report else 0,
                queue_dropped_frames=queue_dropped,
                lost_frames=lost,
                quiet=before.quiet and after.quiet,
                faults=tuple(faults) if direction == "up" else (),
            )
        )
    prompts = {name: one.prompt_bytes for name, one in found.requests.items() if name and one.prompt_bytes}
    return _Accounted(rows, accounts, prompts, [f"{link.name}: {text}" for text in found.findings])


def _outcomes(method: str, trace: Sequence[Request], outcomes: Sequence[Outcome]) -> Outcomes:
    times = Counter(one.request_id for one in outcomes)
    return Outcomes(
        method,
        requests=len(trace),
        ended=dict(Counter(one.outcome for one in outcomes)),
        repeated=sum(count > 1 for count in times.values()),
    )
