"""Leads a run from scenario to sealed directory: network up, links measured, each method replayed, judged.

Whatever ends it, all that it made in the kernel and in Docker is removed, and what it measured is on disk.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from testbed.console import Reporter
from testbed.errors import TestbedError
from testbed.host.cgroup import ContainerGroup
from testbed.host.engine import engine
from testbed.host.processes.run_lock import new_run_id, run_lock
from testbed.host.processes.signals import Terminated, undisturbed
from testbed.network.container import ContainerSpec, TierHost
from testbed.network.link_process.client import LinkProcess
from testbed.network.measure.measure import measure
from testbed.network.measure.paths import paths_of, probe_path
from testbed.network.network import Network
from testbed.orchestrator.calibrate import calibrate
from testbed.orchestrator.conclude import Measured, conclude, save_tables
from testbed.orchestrator.estimate import estimated_seconds
from testbed.orchestrator.manifest import Manifest
from testbed.orchestrator.method import run_method
from testbed.orchestrator.nodes.control import NodeControl, on_all, wait_ready
from testbed.orchestrator.nodes.mounts import readable
from testbed.orchestrator.nodes.tier_specs import container_specs
from testbed.orchestrator.prepare import Inputs, inputs_of, make_parts
from testbed.orchestrator.session import Session
from testbed.results.directory import RunDirectory
from testbed.scenario.reports import Finding
from testbed.scenario.scenario import Scenario
from testbed.scenario.workload.datasets import warm_up_texts
from testbed.scenario.workload.trace_file import write_trace

READY_TIMEOUT_S = 300.0
MAX_PROBES = 4


def run(scenario: Scenario, out: Path | None = None, reporter: Reporter | None = None) -> RunDirectory:
    """Run ``scenario`` on this host, and return its run directory.

    Args:
        out: the directory to make; ``results/<scenario>-<UTC time>`` by default.
        reporter: shows progress; by default on standard error.

    Raises:
        TestbedError: the host cannot, another run is going on, or something failed on the way; the directory,
            if it was made, says in ``manifest.json`` how far the run came.
    """
    reporter = reporter or Reporter()
    inputs = inputs_of(scenario)
    for note in inputs.notes:
        reporter.say(note)
    run_id = new_run_id()
    with run_lock(run_id):
        RunDirectory.check(out)
        reporter.say(str(estimated_seconds(inputs.scenario, inputs.trace, inputs.topology)))
        parts = make_parts(inputs.scenario, reporter.say)
        specs = container_specs(inputs.scenario, inputs.topology, parts.models)
        directory = RunDirectory.create(out, scenario.name)
        manifest = Manifest(directory, run_id, inputs, parts)
        write_trace(inputs.trace, directory.path / "trace.jsonl")
        measured = Measured()
        with _concluded(manifest, inputs, measured, reporter), ExitStack() as stack:
            session = _bring_up(stack, inputs, parts.image.tag, specs, manifest, reporter)
            _replay_methods(session, manifest, measured)
    return directory


@contextmanager
def _concluded(manifest: Manifest, inputs: Inputs, measured: Measured, reporter: Reporter) -> Iterator[None]:
    """Write to the manifest how the block ended, and conclude with what was measured until then."""
    status = "failed"
    try:
        yield
        status = "finished"
    except KeyboardInterrupt:
        status = "interrupted"
        raise
    except Terminated:
        status = "terminated"
        raise
    finally:
        with undisturbed():  # however impatient the user is
            manifest.end(status)
            conclude(manifest.directory, inputs, measured)
        if status != "finished":
            reporter.say(f"what was measured so far is in {manifest.directory.path}")


def _bring_up(
    stack: ExitStack,
    inputs: Inputs,
    image: str,
    specs: Sequence[ContainerSpec],
    manifest: Manifest,
    reporter: Reporter,
) -> Session:
    """Bring up network and containers until every tier is warm; ``stack`` takes it all down again."""
    topology = inputs.topology
    count = len(topology.nodes)
    starting = f"starting {count} containers and their links"
    with readable(specs, reporter.say) as mounted, reporter.counting(starting, count) as progress:
        network = stack.enter_context(
            Network(
                topology,
                manifest.run_id,
                image=image,
                containers=mounted,
                client=engine(reporter.say),
                progress=progress,
            )
        )
    stack.enter_context(_links_alive(network.link_process))
    for lack in network.link_process.lacks:
        reporter.say(lack)
    nodes = [NodeControl(host) for host in network.hosts if isinstance(host, TierHost)]
    calibrated = _warm_up(nodes, inputs, manifest.directory, reporter)
    groups = {node.name: ContainerGroup(str(node.host.container.id)) for node in nodes}
    statuses = on_all(nodes, lambda node: node.status())
    for name, group in groups.items():
        statuses[name]["cgroup_anon_bytes"] = group.usage().anon_bytes
    manifest.add(network=network.settings(), nodes=statuses)
    shapes = dict.fromkeys((link.up.still, link.down.still) for link in topology.links)
    return Session(
        inputs,
        network,
        nodes,
        network.links,
        manifest.directory,
        reporter,
        groups=groups,
        probes=[probe_path(network.add_probe(*both)) for both in list(shapes)[:MAX_PROBES]],
        calibrated=calibrated,
    )


def _warm_up(
    nodes: Sequence[NodeControl], inputs: Inputs, directory: RunDirectory, reporter: Reporter
) -> Mapping[str, Mapping[str, Any]]:
    """Load the models, let them infer, calibrate methods, and limit CPUs; return what methods are given."""
    with reporter.counting("loading the tiers' models", len(nodes)) as progress:
        wait_ready(nodes, READY_TIMEOUT_S, progress)
    texts = warm_up_texts(inputs.scenario.task.dataset)
    reporter.say("warming up: inference only, then CPU limits")
    warmed = {node.name for node in inputs.topology.nodes if inputs.scenario.tier(node.tier).model.warms_up}
    on_all([node for node in nodes if node.name in warmed], lambda node: node.warm_up(texts))
    calibrated = calibrate(nodes, inputs, directory, reporter)
    on_all(nodes, lambda node: node.host.limit_cpus())
    return calibrated


def _replay_methods(session: Session, manifest: Manifest, measured: Measured) -> None:
    """Measure the links, replay each method, measure the links again; write each method's tables at once."""
    inputs, requests = session.inputs, len(session.inputs.trace)
    methods = inputs.scenario.methods
    measured.links_before = _measure(session, 1)
    for number, method in enumerate(methods, 1):
        what = f"{method.name}: replaying {requests} requests (method {number} of {len(methods)})"
        with session.reporter.counting(what, requests) as progress, _naming_ended_container(session.nodes):
            result = run_method(session, method, progress)
        measured.methods.append(result)
        offsets_ns = {result.method: result.observed.clock_offsets_ns for result in measured.methods}
        manifest.add(clock_offsets_ns=offsets_ns)
        save_tables(session.directory, inputs, measured)
    measured.links_after = _measure(session, 2)


def _measure(session: Session, number: int) -> list[Finding]:
    network = session.network
    if not network.links:
        return []
    session.reporter.say(f"measuring the links {'before' if number == 1 else 'after'} the replay")
    seed = session.inputs.scenario.seed
    return measure(paths_of(network), network.link_process, seed, f"measurement-{number}")


@contextmanager
def _naming_ended_container(nodes: Sequence[NodeControl]) -> Iterator[None]:
    """Where the block fails because a container has ended, raise that, with the last line of its log."""
    try:
        yield
    except TestbedError:
        for node in nodes:
            node.host.require_running()
        raise


@contextmanager
def _links_alive(process: LinkProcess) -> Iterator[None]:
    """Interrupt the block when the link process ends, and all links with it; raise an error that says so."""
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
