"""A scenario's network with a real server in each node's namespace: all of a run but the containers."""

from __future__ import annotations

import random
import string
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from testbed.console import Reporter
from testbed.network.container import ContainerSpec
from testbed.network.network import Network
from testbed.orchestrator.calibrate import calibrate
from testbed.orchestrator.nodes.backend_specs import backend_specs
from testbed.orchestrator.nodes.extract import extract
from testbed.orchestrator.nodes.tier_process import tier_processes
from testbed.orchestrator.nodes.tier_specs import PLUGIN_MOUNT, container_specs
from testbed.orchestrator.observe import try_policies
from testbed.orchestrator.prepare import Inputs
from testbed.orchestrator.session import Session
from testbed.results.directory import RunDirectory
from testbed.scenario.calibration import calibration_rows
from testbed.scenario.foreknowledge import foreknow
from testbed.scenario.recorded_rows import tier_rows
from testbed.scenario.requests import build_trace, prompts_for
from testbed.scenario.scenario import Scenario, load_scenario
from tiers.config import NODE_VARIABLE


def scenario_of(text: str, folder: Path) -> Scenario:
    path = folder / "scenario.yaml"
    path.write_text(text)
    return load_scenario(path)


def _extracted(inputs: Inputs, folder: Path) -> dict[str, Path]:
    """By tier what it serves of its answer matrix; not in the cache, where it is for whoever has the lock."""
    folder.mkdir(parents=True, exist_ok=True)
    files = {}
    for tier in inputs.scenario.tiers:
        if (rows := tier_rows(inputs.scenario, tier)) is not None:
            files[tier.name] = folder / f"{tier.name}.sqlite"
            own_times = "default" not in tier.model.options  # the scenario has a service time
            extract(rows, inputs.asked, files[tier.name], own_times=own_times)
    return files


def _on_host(spec: ContainerSpec, folder: Path) -> dict[str, str]:
    """A node's environment with the host's files where a container has them mounted."""
    folder.mkdir(parents=True, exist_ok=True)
    node = spec.env[NODE_VARIABLE].replace(f'"{PLUGIN_MOUNT}"', f'"{folder}{PLUGIN_MOUNT}"')
    for source, inside in spec.mounts.items():
        if inside.startswith(PLUGIN_MOUNT):
            there = Path(f"{folder}{inside}")
            there.parent.mkdir(parents=True, exist_ok=True)
            there.unlink(missing_ok=True)
            there.symlink_to(source)
        node = node.replace(f'"{inside}"', f'"{source}"')
    return {**spec.env, NODE_VARIABLE: node}


def inputs_for(scenario: Scenario) -> Inputs:
    trace = build_trace(scenario)
    examples = prompts_for(trace)
    return Inputs(
        scenario,
        trace,
        examples,
        asked_cpus={tier.name: tier.cpus for tier in scenario.tiers},
        calibration=calibration_rows(scenario, trace),
        foreknown=foreknow(scenario, examples),
    )


@contextmanager
def emulated(scenario: Scenario, out: Path, reporter: Reporter) -> Iterator[Session]:
    """The scenario up and ready for ``run_method``; its models must be recorded ones, or engines outside."""
    topology, inputs = scenario.topology, inputs_for(scenario)
    run_id = "".join(random.choices(string.ascii_lowercase + string.digits, k=4))
    inside = out.parent / "inside"
    specs = container_specs(scenario, topology, None, _extracted(inputs, inside))
    environments = {spec.node: _on_host(spec, inside) for spec in specs}
    with ExitStack() as stack:
        supervised = [spec.node for spec in specs if spec.command]
        backends = backend_specs(scenario, topology)
        network = stack.enter_context(Network(topology, run_id, backends=backends, hosts="namespace"))
        paths = {host.name: host.netns_path for host in network.hosts}
        nodes = stack.enter_context(tier_processes(paths, environments, supervised))
        directory = RunDirectory.create(out, scenario.name)
        calibrated = calibrate(nodes, inputs, directory, reporter)
        session = Session(inputs, network, nodes, network.links, directory, reporter, calibrated=calibrated)
        try_policies(session)
        yield session
