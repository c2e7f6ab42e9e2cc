"""A scenario's network with a real server in each node's namespace: all of a run but the containers."""

from __future__ import annotations

import os
import random
import string
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from testbed.console import Reporter
from testbed.containers import container_specs
from testbed.control import NodeControl, wait_ready
from testbed.errors import TestbedError
from testbed.method_run import Setting
from testbed.netns import Popen_in
from testbed.network import Network
from testbed.node import SiteHost
from testbed.results import RunDirectory
from testbed.scenario import Scenario, load_scenario
from testbed.topology import build_topology
from testbed.trace import build_trace, prompts_for

READY_TIMEOUT_S = 240.0


class ServerHost:
    """What :class:`NodeControl` needs of a node, with a process where a run has a container."""

    def __init__(self, host: SiteHost, server: subprocess.Popen[bytes]) -> None:
        self.name: str = host.name
        self.netns_path = host.netns_path
        self.server = server

    def require_running(self) -> None:
        if (status := self.server.poll()) is not None:
            raise TestbedError(f"the server of {self.name} has ended with status {status}")


def scenario_of(text: str, folder: Path) -> Scenario:
    path = folder / "scenario.yaml"
    path.write_text(text)
    return load_scenario(path)


@contextmanager
def emulated(scenario: Scenario, out: Path, reporter: Reporter) -> Iterator[Setting]:
    """The scenario up and ready for ``run_method``; its models must be recorded ones."""
    topology = build_topology(scenario)
    run_id = "".join(random.choices(string.ascii_lowercase + string.digits, k=4))
    environments = {spec.node: spec.env for spec in container_specs(scenario, topology, None)}
    trace = build_trace(scenario)
    with ExitStack() as stack:
        network = stack.enter_context(Network(topology, run_id, hosts="namespace", switch="bridge"))
        nodes = []
        for host in network.hosts:
            server = Popen_in(
                host.netns_path,
                [sys.executable, "-m", "tiers.server"],
                env={**os.environ, **environments[host.name]},
                stderr=subprocess.DEVNULL,
            )
            stack.callback(server.wait, 20)
            stack.callback(server.kill)
            nodes.append(NodeControl(ServerHost(host, server)))  # type: ignore[arg-type]
        wait_ready(nodes, READY_TIMEOUT_S, lambda _ready, _of: None)
        directory = RunDirectory.create(out, scenario.name)
        yield Setting(scenario, network, nodes, trace, prompts_for(trace), directory, [], reporter)
