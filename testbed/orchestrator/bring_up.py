"""Brings up a network with its containers until every tier is warm, and lends it to one run after another."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from testbed.console import Reporter
from testbed.errors import TestbedError
from testbed.host.cgroup import ContainerGroup, NodeGroup
from testbed.host.engine import engine
from testbed.host.processes.signals import Terminated, interrupt_main
from testbed.network.backend import Backend
from testbed.network.container import ContainerSpec, TierHost
from testbed.network.measure.paths import LinkPath, probe_path
from testbed.network.network import Network, ProbeLink
from testbed.orchestrator.calibrate import calibrate
from testbed.orchestrator.manifest import Manifest
from testbed.orchestrator.nodes.control import NodeControl, on_all, wait_ready
from testbed.orchestrator.nodes.mounts import readable
from testbed.orchestrator.prepare import Inputs
from testbed.orchestrator.session import Session
from testbed.results.directory import LOGS, RunDirectory
from testbed.scenario.topology import Shape
from testbed.scenario.workload.datasets import warm_up_texts

READY_TIMEOUT_S = 300.0
MAX_PROBES = 4


@dataclass(frozen=True)
class Standing:
    """A network that is up, its nodes warm and limited, with the figures of the run that has it now.

    ``engines`` are by the node that asks them. ``idle``: the links that are probed, and those that an
    earlier run had probed.
    """

    network: Network
    nodes: Sequence[NodeControl]
    groups: Mapping[str, NodeGroup]
    engines: Mapping[str, NodeControl] = field(default_factory=dict)
    idle: list[ProbeLink] = field(default_factory=list)

    def session(
        self,
        inputs: Inputs,
        manifest: Manifest,
        reporter: Reporter,
        calibrated: Mapping[str, Mapping[str, Any]],
        *,
        probed: bool = True,
        logged: bool = True,
    ) -> Session:
        """Give the network the figures of a run; its manifest says what network and nodes are now.

        Args:
            probed: whether there are to be idle links, to see what the emulator does to frames.
            logged: whether its directory is to have the ends of the containers' logs.

        Raises:
            TestbedError: the network or a node has ended.
        """
        self.network.log_to(manifest.directory.path / LOGS if logged else None)
        self.network.become(inputs.topology)
        statuses = on_all(self.nodes, lambda node: node.status())
        for name, group in self.groups.items():
            statuses[name]["cgroup_anon_bytes"] = group.usage().anon_bytes
        for name, behind in self.engines.items():
            statuses[name]["engine"] = behind.describe_engine()
        manifest.add(network=self.network.settings(), nodes=statuses)
        shapes = dict.fromkeys((link.up.still, link.down.still) for link in inputs.topology.links)
        return Session(
            inputs,
            self.network,
            self.nodes,
            self.network.links,
            manifest.directory,
            reporter,
            groups=self.groups,
            probes=self._probes(list(shapes)[:MAX_PROBES]) if probed else (),
            calibrated=calibrated,
            phases=manifest.phases,
        )

    def _probes(self, shapes: Sequence[tuple[Shape, Shape]]) -> list[LinkPath]:
        for probe, (up, down) in zip(self.idle, shapes, strict=False):
            probe.link.become(replace(probe.link.spec, up=up, down=down))
        self.idle.extend(self.network.add_probe(*both) for both in shapes[len(self.idle) :])
        return [probe_path(probe) for probe in self.idle[: len(shapes)]]


def bring_up(
    stack: ExitStack,
    inputs: Inputs,
    image: str,
    specs: Sequence[ContainerSpec],
    backends: Sequence[Backend],
    manifest: Manifest,
    reporter: Reporter,
    *,
    logged: bool = True,
) -> tuple[Standing, Mapping[str, Mapping[str, Any]]]:
    """Bring up network and containers until every tier is warm; ``stack`` takes it all down again.

    Also returns what methods are given beside their parameters, which some learn before CPUs are limited.
    ``logged``: the ends of the containers' logs are kept in the run's directory, whatever happens.

    Raises:
        TestbedError: the kernel or Docker cannot do it, or a tier's model does not load.
    """
    engines = [backend.engine for backend in backends if backend.engine is not None]
    count = len(inputs.topology.nodes) + len(engines)
    starting = f"starting {count} containers and their links"
    with (
        manifest.phases.timed("starting"),
        readable([*specs, *engines], reporter.say) as mounted,
        reporter.counting(starting, count) as progress,
    ):
        network = stack.enter_context(
            Network(
                inputs.topology,
                manifest.run_id,
                image=image,
                containers=mounted[: len(specs)],
                backends=_mounted(backends, mounted[len(specs) :]),
                client=engine(reporter.say),
                progress=progress,
                logs=manifest.directory.path / LOGS if logged else None,
            )
        )
    for lack in network.link_process.lacks:
        reporter.say(lack)
    nodes = [NodeControl(host, reporter.say) for host in network.hosts if isinstance(host, TierHost)]
    behind = {host.spec.node: NodeControl(host, reporter.say) for host in network.engines}
    with network_alive(network), manifest.phases.timed("loading"):
        calibrated = _warm_up(nodes, list(behind.values()), inputs, manifest.directory, reporter)
        groups = {node.name: _group(node, behind.get(node.name)) for node in nodes}
    return Standing(network, nodes, groups, behind), calibrated


def _mounted(backends: Sequence[Backend], engines: Iterable[ContainerSpec]) -> list[Backend]:
    """The backends with the specs of their engines, in the same order, as those can be mounted."""
    left = iter(engines)
    return [
        backend if backend.engine is None else replace(backend, engine=next(left)) for backend in backends
    ]


def _group(node: NodeControl, behind: NodeControl | None) -> NodeGroup:
    own, *others = (ContainerGroup(str(one.host.container.id)) for one in (node, behind) if one is not None)
    return NodeGroup(own, *others)


def _warm_up(
    nodes: Sequence[NodeControl],
    engines: Sequence[NodeControl],
    inputs: Inputs,
    directory: RunDirectory,
    reporter: Reporter,
) -> Mapping[str, Mapping[str, Any]]:
    """Load the models, let them infer, calibrate methods, and limit CPUs; return what methods are given."""
    with reporter.counting("loading the tiers' models", len(nodes) + len(engines)) as progress:
        wait_ready([*nodes, *engines], READY_TIMEOUT_S, progress)
    texts = warm_up_texts(inputs.scenario.task.data)
    reporter.say("warming up: inference only, then CPU limits")
    warmed = {node.name for node in inputs.topology.nodes if inputs.scenario.tier(node.tier).model.warms_up}
    on_all([node for node in nodes if node.name in warmed], lambda node: node.warm_up(texts))
    calibrated = calibrate(nodes, inputs, directory, reporter)
    on_all([*nodes, *engines], lambda node: node.host.limit_cpus())
    return calibrated


@contextmanager
def network_alive(network: Network) -> Iterator[None]:
    """Interrupt the block when the link process ends, and all links with it; raise an error that says so.

    Where the block fails because a container has ended, that is raised, with why and with its last words.
    """
    process = network.link_process
    if threading.current_thread() is threading.main_thread():
        process.ended = interrupt_main
    try:
        process.require_alive()
        yield
    except (KeyboardInterrupt, Terminated):
        process.require_alive()
        raise
    except (TestbedError, OSError):
        process.require_alive()
        network.require_running()
        raise
    finally:
        process.ended = lambda: None
