"""A run from scenario to sealed directory: set up, measure, replay each method, measure again, judge.

Whatever ends it, what the kernel and Docker were given is taken back and what was measured so far is on disk.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from testbed.console import Reporter
from testbed.errors import TestbedError
from testbed.host.cgroup import ContainerGroup
from testbed.host.engine import engine
from testbed.host.facts import host_facts, usable_cpus
from testbed.host.image import ImageRef
from testbed.host.processes.run_lock import new_run_id, run_lock
from testbed.host.processes.signals import Terminated, undisturbed
from testbed.network.container import TierHost
from testbed.network.feasibility import host_lacks
from testbed.network.link_process.client import LinkProcess
from testbed.network.measure.measure import Finding, measure, paths_of, probe_path
from testbed.network.network import Network
from testbed.orchestrator.estimate import estimated_seconds
from testbed.orchestrator.events.stage import Stage
from testbed.orchestrator.method import MethodResult, run_method
from testbed.orchestrator.nodes.control import NodeControl, on_all, wait_ready
from testbed.orchestrator.nodes.tier_specs import container_specs
from testbed.orchestrator.prepare import prepare
from testbed.orchestrator.session import Setting
from testbed.results.audit import audit
from testbed.results.columns import EVENTS, LINKS, REQUESTS, SCHEMA_VERSION, TIERS, total
from testbed.results.directory import RunDirectory
from testbed.results.evidence import Evidence, TierLimit
from testbed.results.fidelity import judge
from testbed.results.summary import summarise
from testbed.scenario.capacity import capacity_notes
from testbed.scenario.requests import build_trace, prompts_for
from testbed.scenario.scenario import Scenario, clamp_cpus
from testbed.scenario.timeline import late_events, under_events
from testbed.scenario.topology import Topology
from testbed.scenario.workload.datasets import Example, load
from testbed.scenario.workload.trace_file import Request, write_trace

READY_TIMEOUT_S = 300.0
WARMUP_TEXTS = 3
MAX_PROBES = 4


def run(scenario: Scenario, out: Path | None, reporter: Reporter) -> RunDirectory:
    """Run ``scenario`` on this kernel and return its run directory.

    Raises:
        TestbedError: the host cannot, another run is going on, or something failed on the way; the directory,
            if it was made, says in ``manifest.json`` how far the run came.
    """
    asked = {tier.name: tier.cpus for tier in scenario.tiers}
    scenario, notes = clamp_cpus(scenario, usable_cpus())
    topology = scenario.topology
    if reasons := host_lacks(topology):
        raise TestbedError(f"{reasons[0]}; see `testbed doctor`")
    notes += capacity_notes(under_events(scenario.events, topology))
    for note in notes:
        reporter.say(note)
    trace = build_trace(scenario)
    if scenario.replay.mode != "lockstep":  # there the trace's times mean nothing
        late = late_events(scenario.events, trace[-1].at_s)
        notes += late
        for note in late:
            reporter.say(note)
    run_id = new_run_id()
    with run_lock(run_id):
        RunDirectory.check(out)
        reporter.say(str(estimated_seconds(scenario, trace, topology)))
        image, models = prepare(scenario, reporter)
        directory = RunDirectory.create(out, scenario.name)
        return _Run(scenario, topology, trace, run_id, image, models, directory, asked, notes, reporter).go()


@contextmanager
def _ended_told(nodes: Sequence[NodeControl]) -> Iterator[None]:
    """Where a step fails because a container has ended, say that, with the container's last words."""
    try:
        yield
    except TestbedError:
        for node in nodes:
            node.host.require_running()
        raise


@contextmanager
def _links_alive(process: LinkProcess) -> Iterator[None]:
    """End what goes on, with one sentence, where the link process has ended and all links with it."""
    main = threading.main_thread()
    if threading.current_thread() is main:
        process.ended = lambda: signal.pthread_kill(int(main.ident or 0), signal.SIGINT)
    try:
        yield
    except (KeyboardInterrupt, TestbedError):
        process.require_alive()
        raise
    finally:
        process.ended = lambda: None


class _Run:
    """One run's state while it goes on; what it finds goes to its directory at once."""

    def __init__(
        self,
        scenario: Scenario,
        topology: Topology,
        trace: Sequence[Request],
        run_id: str,
        image: ImageRef,
        models: Path | None,
        directory: RunDirectory,
        asked_cpus: Mapping[str, float],
        notes: Sequence[str],
        reporter: Reporter,
    ) -> None:
        self.scenario, self.topology, self.trace = scenario, topology, trace
        self.run_id, self.image, self.models = run_id, image, models
        self.directory, self.asked_cpus, self.reporter = directory, asked_cpus, reporter
        self.results: list[MethodResult] = []
        self.before: list[Finding] | None = None
        self.after: list[Finding] | None = None
        self.manifest: dict[str, Any] = {
            "schema_version": SCHEMA_VERSION,
            "status": "running",
            "run_id": run_id,
            "started_at": _now(),
            "scenario": scenario.model_dump(mode="json"),
            "links": [asdict(link) for link in topology.links],
            "seed": scenario.seed,
            "notes": list(notes),
            "clock_offsets_ns": {},
            "image": {"tag": image.tag, "id": image.id, "size_bytes": image.size_bytes},
            "models": None if models is None else models.name,
            "host": host_facts(),
        }

    def go(self) -> RunDirectory:
        self._note()
        write_trace(self.trace, self.directory.path / "trace.jsonl")
        status = "failed"
        try:
            self._emulate()
            status = "finished"
        except KeyboardInterrupt:
            status = "interrupted"
            raise
        except Terminated:
            status = "terminated"
            raise
        finally:
            self.manifest |= {"status": status, "ended_at": _now()}
            with undisturbed():  # what was measured is written, however impatient the user is
                self._conclude()
            if status != "finished":
                self.reporter.say(f"what was measured so far is in {self.directory.path}")
        return self.directory

    def _note(self) -> None:
        self.directory.write_json("manifest.json", self.manifest)

    def _emulate(self) -> None:
        count = len(self.topology.nodes)
        specs = container_specs(self.scenario, self.topology, self.models)
        with ExitStack() as stack:
            with self.reporter.counting(f"starting {count} containers and their links", count) as progress:
                network = stack.enter_context(
                    Network(
                        self.topology,
                        self.run_id,
                        image=self.image.tag,
                        containers=specs,
                        client=engine(self.reporter.say),
                        progress=progress,
                    )
                )
            stack.enter_context(_links_alive(network.link_process))
            for lack in network.link_process.lacks:
                self.reporter.say(lack)
            nodes = [NodeControl(host) for host in network.hosts if isinstance(host, TierHost)]
            self._warm_up(nodes)
            self.manifest["network"] = network.settings()
            self.manifest["nodes"] = on_all(nodes, lambda node: node.status())
            groups = {node.name: ContainerGroup(str(node.host.container.id)) for node in nodes}
            for name, group in groups.items():
                self.manifest["nodes"][name]["cgroup_anon_bytes"] = group.usage().anon_bytes
            self._note()
            setting = self._setting(network, nodes, groups)
            self.before = self._measure(setting, "before")
            for number, method in enumerate(self.scenario.methods, 1):
                what = (
                    f"{method.name}: replaying {len(self.trace)} requests "
                    f"(method {number} of {len(self.scenario.methods)})"
                )
                with self.reporter.counting(what, len(self.trace)) as progress, _ended_told(nodes):
                    result = run_method(setting, method, progress)
                self.results.append(result)
                self.manifest["clock_offsets_ns"][method.name] = result.clock_offsets_ns
                self._save_tables()
            self.after = self._measure(setting, "after")

    def _warm_up(self, nodes: Sequence[NodeControl]) -> None:
        with self.reporter.counting("loading the tiers' models", len(nodes)) as progress:
            wait_ready(nodes, READY_TIMEOUT_S, progress)
        texts = [example.text for example in load(self.scenario.task.dataset, "train")[:WARMUP_TEXTS]]
        self.reporter.say("warming up: inference only, then CPU limits")
        on_all(nodes, lambda node: node.warm_up(texts))
        on_all(nodes, lambda node: node.host.limit_cpus())

    def _setting(
        self, network: Network, nodes: Sequence[NodeControl], groups: Mapping[str, ContainerGroup]
    ) -> Setting:
        shapes = dict.fromkeys((link.up.still, link.down.still) for link in self.topology.links)
        probes = [probe_path(network.add_probe(*both)) for both in list(shapes)[:MAX_PROBES]]
        examples: dict[str, Example] = prompts_for(self.trace)
        events = self.scenario.events
        return Setting(
            self.scenario,
            network,
            nodes,
            self.trace,
            examples,
            self.directory,
            probes,
            self.reporter,
            groups=groups,
            stage=Stage(events, network, nodes) if events else None,
        )

    def _measure(self, setting: Setting, when: str) -> list[Finding]:
        if not self.topology.links:
            return []
        self.reporter.say(f"measuring the links {when} the replay")
        method = f"measurement-{1 if when == 'before' else 2}"
        return measure(paths_of(setting.network), setting.network.link_process, self.scenario.seed, method)

    def _save_tables(self) -> None:
        requests = [row for result in self.results for row in result.requests]
        links = [row for result in self.results for row in result.links]
        tiers = [row for result in self.results for row in result.tiers]
        self.directory.write_table("requests.parquet", requests, REQUESTS)
        self.directory.write_table("links.parquet", links, LINKS)
        self.directory.write_table("tiers.parquet", tiers, TIERS)
        if self.scenario.events:
            events = [asdict(one) for result in self.results for one in result.events]
            self.directory.write_table("events.parquet", events, EVENTS)

    def _conclude(self) -> None:
        """Judge and write what there is; a run that was cut off is judged for what it lacks."""
        self._note()
        self._save_tables()
        requests = [row for result in self.results for row in result.requests]
        fidelity = judge(self._evidence(requests))
        found = fidelity.to_json()
        found["notes"] += [text for result in self.results for text in result.findings]
        self.directory.write_json("fidelity.json", found)
        links = [row for result in self.results for row in result.links]
        summary = summarise(self.scenario, requests, links, fidelity.faithful)
        self.directory.write_json("summary.json", summary)
        self.directory.seal()

    def _evidence(self, requests: Sequence[dict[str, Any]]) -> Evidence:
        lockstep = self.scenario.replay.mode == "lockstep"
        whole = len(self.results) == len(self.scenario.methods)
        return Evidence(
            accounts=[one for result in self.results for one in result.accounts] if whole else None,
            audit=audit(self.scenario, requests) if whole else None,
            outcomes=[result.outcomes for result in self.results] if whole else None,
            links_before=self.before,
            links_after=self.after,
            lateness=None if lockstep else [result.lateness for result in self.results],
            unexplained=[result.unexplained for result in self.results],
            backlog={result.outcomes.method: result.backlog for result in self.results},
            lockstep=lockstep,
            closed_users=self.scenario.replay.users,
            cpu={result.outcomes.method: result.cpu for result in self.results},
            probes={result.outcomes.method: result.probes for result in self.results},
            tiers=self._limits(),
            machine_cpus=usable_cpus(),
            link_process={
                result.outcomes.method: result.link_process for result in self.results if self.topology.links
            },
            events=[one for result in self.results for one in result.events],
            overflows=[one for result in self.results for one in result.overflows],
        )

    def _limits(self) -> list[TierLimit]:
        """Each node's limit, and how it was throttled over all methods."""
        limits = []
        for node in self.topology.nodes:
            rows = [row for result in self.results for row in result.tiers if row["node"] == node.name]
            limits.append(
                TierLimit(
                    node.name,
                    self.asked_cpus[node.tier],
                    self.scenario.tier(node.tier).cpus,
                    periods=total(rows, "periods"),
                    throttled_periods=total(rows, "throttled_periods"),
                    throttled_s=total(rows, "throttled_s"),
                    requests={
                        result.outcomes.method: sum(node.name in row["path"] for row in result.requests)
                        for result in self.results
                    },
                    ran_s={row["method"]: row["cpu_seconds"] for row in rows},
                    waited_s={row["method"]: row["waited_s"] for row in rows},
                )
            )
        return limits


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
