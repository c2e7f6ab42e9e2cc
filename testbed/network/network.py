"""The network of a run: up while its context lasts, then down with nothing left.

A scenario's topology becomes a Mininet topology: a host and a switch at each site, a WAN link between
neighbouring sites. Switches, links and the link process are in one network namespace of the run.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

import docker

from testbed.errors import TestbedError
from testbed.host.processes.run_lock import run_lock
from testbed.host.processes.signals import undisturbed
from testbed.network.backend import ENGINE_PORT, Backend, BackendLink, EngineHost, name_behind
from testbed.network.container import ContainerSpec, TierHost
from testbed.network.containers import Containers
from testbed.network.endpoint import Endpoint
from testbed.network.kernel.counters import CounterReader
from testbed.network.kernel.netns import add_namespaces, delete_namespaces, kill_processes_in, named
from testbed.network.kernel.settings import namespace_settings
from testbed.network.leftovers import remove_leftovers
from testbed.network.link import WanLink
from testbed.network.link_process.client import LinkProcess
from testbed.network.node import NamespaceHost, SiteHost
from testbed.network.relay import Relay
from testbed.network.switch import SiteSwitch
from testbed.network.topo import SiteNet, SiteTopo, passages
from testbed.network.wiring import Wiring, kernel_name
from testbed.scenario.topology import Link, Node, Shape, Topology


@dataclass(frozen=True)
class ProbeLink:
    """An idle link with a bare namespace at each end, to see what the emulator itself does to frames."""

    link: WanLink
    near: Endpoint
    far: Endpoint


class Network:
    """A topology's network while the context lasts.

    Args:
        run_id: four letters or digits; every name in the kernel and in Docker begins with it
            (:func:`testbed.network.wiring.kernel_name`).
        image: of the containers.
        containers: one :class:`ContainerSpec` for each node whose container is not like all others.
        backends: what is behind nodes.
        hosts: ``namespace`` gives each node a bare network namespace instead of a container, and
            each engine.
        client: of a Docker engine; by default the host's, started if need be.
        progress: called, from several threads, with the number of containers that run and of all.
        logs: the directory in which the ends of containers' logs are kept (:meth:`log_to`).

    Raises:
        TestbedError: on entering: the kernel or Docker cannot do what is asked. Nothing is left then.

    Attributes:
        net: the Mininet network, for ``mininet.cli.CLI`` and all else that takes one.
        topology: what it is now.
        link_process: the process that carries its links.
    """

    def __init__(
        self,
        topology: Topology,
        run_id: str,
        *,
        image: str | None = None,
        containers: Sequence[ContainerSpec] = (),
        backends: Sequence[Backend] = (),
        hosts: Literal["container", "namespace"] = "container",
        client: docker.DockerClient | None = None,
        progress: Callable[[int, int], None] = lambda _running, _of: None,
        logs: Path | None = None,
    ) -> None:
        if hosts == "container" and image is None:
            raise ValueError("containers need an image")
        self.topology = topology
        self.run_id = run_id
        self.prefix = kernel_name(run_id)
        self.net = SiteNet(build=False, controller=None)
        self._image = image if hosts == "container" else None
        self._specs = {spec.node: spec for spec in containers}
        self._behind = {name_behind(backend.node): backend for backend in backends}
        self._client = client
        self._progress = progress
        self._logs = logs
        self._containers: Containers | None = None
        self._probes = 0
        self.relays: dict[str, int] = {}  # their processes' ids, by node
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Self:
        try:
            self._up()
        except BaseException:
            self._down()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._down()

    @property
    def hosts(self) -> list[SiteHost]:
        """The nodes' hosts, in the topology's order."""
        return [self.net[node.name] for node in self.topology.nodes]

    @property
    def links(self) -> list[WanLink]:
        """The WAN links, in the topology's order."""
        made = {link.name: link for link in self.net.links if isinstance(link, WanLink)}
        return [made[link.name] for link in self.topology.links]

    @property
    def engines(self) -> list[EngineHost]:
        """The containers of engines."""
        return [host for host in self.net.hosts if isinstance(host, EngineHost)]

    @property
    def backends(self) -> list[BackendLink]:
        """The backend links."""
        return [link for link in self.net.links if isinstance(link, BackendLink)]

    def node(self, name: str) -> TierHost:
        """The container of a node."""
        host: TierHost = self.net[name]
        return host

    def link(self, name: str) -> WanLink:
        """The WAN link of that name, such as ``device1-edge1``."""
        return next(link for link in self.links if link.name == name)

    def become(self, topology: Topology) -> None:
        """Be that topology's network from now on: its links' figures may be others, and nothing else.

        Raises:
            ValueError: it has other nodes or links.
            TestbedError: the link process has ended.
        """
        if topology.unshaped != self.topology.unshaped:
            raise ValueError("another topology needs a network of its own")
        self.topology = topology
        for link, spec in zip(self.links, topology.links, strict=True):
            link.become(spec)

    def log_to(self, directory: Path | None) -> None:
        """Keep the ends of containers' logs in this directory from now on, in none with ``None``.

        They are written when a container is removed, or when they are to go elsewhere from then on.
        """
        if self._containers is None or self._containers.logs == directory:
            return
        if self._containers.logs is not None:
            hosts = [host for host in self.net.hosts if isinstance(host, TierHost)]
            list(self._containers.pool.map(TierHost.keep_log, hosts))
        self._containers.logs = directory

    def require_running(self) -> None:
        """Raise a TestbedError that says why, with its last words, if a container has ended."""
        self._require_running(self.net.hosts)

    def why_ended(self, container_id: str) -> str:
        """Why the container of that id has ended, with its last words; nothing if it has not."""
        try:
            for host in self.net.hosts:
                if isinstance(host, TierHost) and host.container.id == container_id:
                    host.require_running()
        except TestbedError as error:
            return str(error)
        return ""

    def settings(self) -> dict[str, Any]:
        """The link process's and the nodes' settings, for the manifest."""
        return {
            "link_process": {"refused": self.link_process.refused},
            "namespace": namespace_settings(self.hosts[0].netns_path),
            "congestion": {node.tier: node.congestion for node in self.topology.nodes},
        }

    def add_probe(self, up: Shape, down: Shape | None = None) -> ProbeLink:
        """Make a link between two sites that nothing else uses; ``down`` is like ``up`` by default."""
        self._probes += 1
        name, third, fourth = f"probe{self._probes}", self._probes // 100, self._probes % 100 * 2
        near, far = (
            Node(
                name=f"{name}-{end}",
                tier="probe",
                level=level,
                number=level + 1,
                ip=f"10.77.{255 - third}.{fourth + level}",
                mac=f"02:77:ff:00:{self._probes:02x}:{level:02x}",
                parent=None,
            )
            for level, end in enumerate(("near", "far"))
        )
        link = Link(name, "probe", self._probes, near.name, far.name, up=up, down=down or up)
        self._build(Topology((near, far), (link,)), containers=None)
        return ProbeLink(self.net.links[-1], self.net[near.name].endpoint, self.net[far.name].endpoint)

    def _up(self) -> None:
        """Make everything; what releases a resource goes on the stack before or as the resource is made."""
        self._stack.enter_context(run_lock(self.run_id, allow_others=True))
        if os.geteuid() != 0:
            raise TestbedError("a network needs root; run as root or with sudo")
        remove_leftovers(self.run_id)
        if self._image is not None:
            self._containers = self._stack.enter_context(self._make_containers(self._image))
        containers = self._containers
        self._stack.callback(self._stop_nodes, containers)
        self._add_namespaces([self.prefix])
        self._home = named(self.prefix)
        self.link_process = self._stack.enter_context(LinkProcess(self._home))
        self._reader = self._read_in(self._home)
        self._build(self.topology, containers)
        self._stack.callback(self._begin_removal, containers)  # it takes longest, beside all else

    def _down(self) -> None:
        """Release what there is by now, the last first, each whatever becomes of the others."""
        with undisturbed():
            self._stack.close()

    def _make_containers(self, image: str) -> Containers:
        if self._client is None:
            from testbed.host.engine import engine

            self._client = engine()
        count = len(self.topology.nodes) + sum(one.engine is not None for one in self._behind.values())
        return Containers(
            self._client, image, self.run_id, lambda running: self._progress(running, count), self._logs
        )

    def _begin_removal(self, containers: Containers | None) -> None:
        """Let no further container start, and begin to remove those that there are, all at the same time."""
        if containers is not None:
            containers.ending.set()
        for host in self.net.hosts:
            host.begin_removal()

    def _stop_nodes(self, containers: Containers | None) -> None:
        """End all nodes."""
        with contextlib.ExitStack() as stack:
            for node in (*self.net.hosts, *self.net.switches):
                stack.callback(node.terminate)
            self._begin_removal(containers)

    def _read_in(self, netns_path: str) -> CounterReader:
        reader = CounterReader(netns_path)
        self._stack.callback(reader.close)
        return reader

    def _add_namespaces(self, names: list[str]) -> None:
        self._stack.callback(delete_namespaces, names)
        self._stack.callback(kill_processes_in, *map(named, names))
        add_namespaces(names)

    def _build(self, topology: Topology, containers: Containers | None) -> None:
        """Make one part of the network: our Mininet classes collect commands, which are then run.

        Args:
            containers: of which hosts are to be; without them they are bare namespaces.
        """
        wiring = Wiring(self._home, self.prefix)
        names = {node.name for node in topology.nodes}
        behind = [name for name, backend in self._behind.items() if backend.node in names]
        bare = [node.name for node in topology.nodes] if containers is None else []
        bare += [name for name in behind if containers is None or self._behind[name].engine is None]
        self._add_namespaces([kernel_name(self.run_id, name) for name in bare])

        def host_options(node: Node) -> dict[str, Any]:
            if node.name in bare:
                namespace = kernel_name(self.run_id, node.name)
                return {"cls": NamespaceHost, "wiring": wiring, "namespace": namespace}
            cls, spec = TierHost, self._specs.get(node.name) or ContainerSpec(node.name)
            if node.name in behind:
                cls, spec = EngineHost, self._behind[node.name].engine or spec
            return {"cls": cls, "wiring": wiring, "containers": containers, "spec": spec}

        first_host, first_link = len(self.net.hosts), len(self.net.links)
        self.net.buildFromTopo(
            SiteTopo(
                topology=topology,
                prefix=self.prefix,
                first_number=len(self.net.switches) + 1,
                host=host_options,
                switch={"cls": SiteSwitch, "wiring": wiring},
                backends=[self._behind[name].node for name in behind],
            )
        )
        hosts = self.net.hosts[first_host:]
        try:
            for host in hosts:
                host.wait_ready()
                host.configDefault()
            wiring.create_interfaces()
            wiring.bring_up()
            self._attach(hosts, self.net.links[first_link:])
        except (TestbedError, OSError):
            self._require_running(hosts)  # a container that ended takes its interface with it
            raise
        self._require_running(hosts)
        self.net.built = True

    def _attach(self, hosts: Sequence[SiteHost], links: Sequence[Any]) -> None:
        """Have the link process carry links, and tell each which interfaces lie between its hosts."""
        readers = {host.name: self._read_in(host.netns_path) for host in hosts}
        between = passages(links, readers, self._reader)
        for link in links:
            if isinstance(link, BackendLink):
                link.attach(readers[link.intf1.node.name])
                self._relay(link.intf2.node)
            elif isinstance(link, WanLink):
                link.attach(self.link_process, self._reader, between[link.name])

    def _relay(self, far: SiteHost) -> None:
        """Have what a node sends to the host behind it relayed, where its engine is outside."""
        behind = self._behind[far.name]
        if behind.outside is not None:
            relay = Relay(far.netns_path, (far.tier_node.ip, ENGINE_PORT), behind.outside, behind.node)
            self.relays[behind.node] = self._stack.enter_context(relay).pid

    @staticmethod
    def _require_running(hosts: Sequence[SiteHost]) -> None:
        for host in hosts:
            if isinstance(host, TierHost) and host.started and not host.lives:
                host.require_running()  # says why it ended
