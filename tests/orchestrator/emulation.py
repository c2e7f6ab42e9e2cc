"""A scenario's network with a real server in each node's namespace: all of a run but the containers."""

from __future__ import annotations

import random
import string
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from testbed.console import Reporter
from testbed.network.network import Network
from testbed.orchestrator.calibrate import calibrate
from testbed.orchestrator.nodes.tier_process import tier_processes
from testbed.orchestrator.nodes.tier_specs import container_specs
from testbed.orchestrator.prepare import Inputs
from testbed.orchestrator.session import Session
from testbed.results.directory import RunDirectory
from testbed.scenario.calibration import calibration_rows
from testbed.scenario.requests import build_trace, prompts_for
from testbed.scenario.scenario import Scenario, load_scenario


def scenario_of(text: str, folder: Path) -> Scenario:
    path = folder / "scenario.yaml"
    path.write_text(text)
    return load_scenario(path)


@contextmanager
def emulated(scenario: Scenario, out: Path, reporter: Reporter) -> Iterator[Session]:
    """The scenario up and ready for ``run_method``; its models must be recorded ones."""
    topology = scenario.topology
    trace = build_trace(scenario)
    rows = calibration_rows(scenario, trace)
    inputs = Inputs(scenario, trace, prompts_for(trace), asked_cpus={}, calibration=rows)
    run_id = "".join(random.choices(string.ascii_lowercase + string.digits, k=4))
    environments = {spec.node: spec.env for spec in container_specs(scenario, topology, None)}
    with ExitStack() as stack:
        network = stack.enter_context(Network(topology, run_id, hosts="namespace"))
        paths = {host.name: host.netns_path for host in network.hosts}
        nodes = stack.enter_context(tier_processes(paths, environments))
        directory = RunDirectory.create(out, scenario.name)
        calibrated = calibrate(nodes, inputs, directory, reporter)
        yield Session(inputs, network, nodes, network.links, directory, reporter, calibrated=calibrated)
