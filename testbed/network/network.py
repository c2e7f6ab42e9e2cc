"""The network of a run: up, at hand, down again with nothing left.

A scenario's topology becomes a Mininet topology: a host and a switch at each site, a WAN link between
neighbouring sites. Switches, links and the link process are in one network namespace of the run.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

import docker

from testbed.errors import TestbedError
from testbed.host.processes.run_lock import run_lock
from testbed.host.processes.signals import undisturbed
from testbed.network.cables import CableLink, SiteLink
from testbed.network.container import ContainerSpec, TierHost
from testbed.network.kernel.counters import CounterReader
from testbed.network.kernel.netns import add_namespaces, delete_namespaces, kill_processes_in, named
from testbed.network.kernel.settings import namespace_settings
from testbed.network.leftovers import PREFIX, remove_containers, remove_leftovers
from testbed.network.link import WanLink
from testbed.network.link_process.client import LinkProcess
from testbed.network.mininet_compat import Mininet
from testbed.network.node import NamespaceHost, SiteHost
from testbed.network.switch import SiteSwitch
from testbed.network.topo import SiteTopo, switch_name
from testbed.network.wiring import HOST_INTERFACE, Plan
from testbed.scenario.topology import Direction, Link, Node, Shape, Topology

STARTS_AT_A_TIME = 8
Progress = Callable[[int, int], None]
"""Called with the number of containers that run, and of all; from several threads."""


@dataclass(frozen=True)
class ProbeLink:
    """A link with a bare namespace at each end, idle, to see what the emulator itself does to frames."""

    link: WanLink
    near_netns: str
    far_netns: str
    near_ip: str
    far_ip: str


class SiteNet(Mininet):
    """Mininet, which leaves the host's own settings alone."""

    @classmethod
    def init(cls) -> None:
        """Nothing: Mininet would raise limits of the whole system here, and leave them so."""


class Network:
    """A topology's network while the context lasts.

    Args:
        run_id: four letters or digits; every name in the kernel and in Docker starts with ``tb<run_id>``.
        image: of the containers.
        containers: one :class:`ContainerSpec` for each node whose container is not like all others.
        hosts: ``namespace`` gives each node a bare network namespace instead of a container.
        client: of a Docker engine; by default the host's, started if need be.

    Entering raises a TestbedError if the kernel or Docker cannot do what is asked; nothing is left then.

    Attributes:
        net: the Mininet network, for ``mininet.cli.CLI`` and all else that takes one.
        link_process: in which all its links are.
    """

    def __init__(
        self,
        topology: Topology,
        run_id: str,
        *,
        image: str | None = None,
        containers: Sequence[ContainerSpec] = (),
        hosts: Literal["container", "namespace"] = "container",
        client: docker.DockerClient | None = None,
        progress: Progress | None = None,
    ) -> None:
        if hosts == "container" and image is None:
            raise ValueError("containers need an image")
        self.topology = topology
        self.run_id = run_id
        self.prefix = f"{PREFIX}{run_id}"
        self.net = SiteNet(build=False, controller=None)
        self._image = image
        self._specs = {spec.node: spec for spec in containers}
        self._hosts_are = hosts
        self._client = client
        self._progress = progress
        self._running = 0
        self._probes = 0
        self._readers, self._links_up = contextlib.ExitStack(), contextlib.ExitStack()
        self._namespaces: list[str] = []
        self._ending = threading.Event()

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as stack:
            stack.enter_context(run_lock(self.run_id, allow_others=True))
            stack.callback(self._down)
            self._up()
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    @property
    def hosts(self) -> list[SiteHost]:
        """The nodes' hosts, in the topology's order."""
        return [self.net[node.name] for node in self.topology.nodes]

    @property
    def links(self) -> list[WanLink]:
        """The WAN links, in the topology's order."""
        made = {link.name: link for link in self.net.links if isinstance(link, WanLink)}
        return [made[link.name] for link in self.topology.links]

    def node(self, name: str) -> TierHost:
        """The container of a node."""
        host: TierHost = self.net[name]
        return host

    def link(self, name: str) -> WanLink:
        """The WAN link of that name, such as ``device1-edge1``."""
        return next(link for link in self.links if link.name == name)

    def settings(self) -> dict[str, Any]:
        """How the network is made and what its nodes' namespaces are set to, for the manifest."""
        return {
            "link_process": {"refused": self.link_process.refused},
            "namespace": namespace_settings(self.hosts[0].netns_path),
            "congestion": {node.tier: node.congestion for node in self.topology.nodes},
        }

    def add_probe(self, up: Shape, down: Shape | None = None) -> ProbeLink:
        """Make a link between two sites that nothing else uses; ``down`` is by default as ``up``."""
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
        self._build([near, far], [link], in_containers=False)
        made = self.net.links[-1]
        ends = (self.net[near.name].netns_path, self.net[far.name].netns_path)
        return ProbeLink(made, *ends, near_ip=near.ip, far_ip=far.ip)

    def _up(self) -> None:
        if os.geteuid() != 0:
            raise TestbedError("a network needs root; run as root or with sudo")
        remove_leftovers(self.run_id)
        self._pool = ThreadPoolExecutor(STARTS_AT_A_TIME, thread_name_prefix="container")
        in_containers = self._hosts_are == "container"
        if in_containers and self._client is None:
            from testbed.host.engine import engine

            self._client = engine()
        self._add_namespaces([self.prefix])
        self._home = named(self.prefix)
        self.link_process = LinkProcess(self._home)
        self._links_up.enter_context(self.link_process)
        self._reader = self._read_in(self._home)
        self._build(self.topology.nodes, self.topology.links, in_containers)

    def _read_in(self, netns_path: str) -> CounterReader:
        reader = CounterReader(netns_path)
        self._readers.callback(reader.close)
        return reader

    def _add_namespaces(self, names: list[str]) -> None:
        self._namespaces += names  # first, so that an interrupt finds them
        add_namespaces(names)

    def _build(self, nodes: Sequence[Node], links: Sequence[Link], in_containers: bool) -> None:
        """Make one part of the network: our Mininet classes note it in a plan, which is then carried out."""
        plan = Plan(self._home, self.prefix)
        if not in_containers:
            self._add_namespaces([f"{self.prefix}-{node.name}" for node in nodes])
        first_host, first_link = len(self.net.hosts), len(self.net.links)
        self.net.buildFromTopo(
            SiteTopo(
                nodes=nodes,
                links=links,
                prefix=self.prefix,
                first_number=len(self.net.switches) + 1,
                host=lambda node: self._container(node, plan) if in_containers else self._bare(node, plan),
                switch={"cls": SiteSwitch, "plan": plan},
            )
        )
        hosts = self.net.hosts[first_host:]
        try:
            for host in hosts:
                host.wait_ready()
                host.configDefault()
            plan.create_interfaces()
            plan.bring_up()
        except (TestbedError, OSError):
            self._require_running(hosts)  # a container that ended takes its interface with it
            raise
        self._require_running(hosts)
        self._attach(hosts, self.net.links[first_link:])
        self.net.built = True

    def _attach(self, hosts: Sequence[SiteHost], links: Sequence[Any]) -> None:
        """Let the link process carry links, and tell each what lies between its two sites' containers."""
        readers = {host.name: self._read_in(host.netns_path) for host in hosts}
        ports = {link.intf1.node.name: link.intf2.name for link in links if isinstance(link, SiteLink)}
        cables = {link.intf1.node.name: link for link in links if isinstance(link, CableLink)}
        for link in links:
            if not isinstance(link, WanLink):
                continue
            passages: dict[Direction, list[tuple[CounterReader, str]]] = {"up": [], "down": []}
            for child in link.spec.children:
                passages["up"].append((readers[child], HOST_INTERFACE))
                passages["down"].append((self._reader, ports[child]))
                if (cable := cables.get(switch_name(child))) is not None:
                    passages["up"].append((self._reader, cable.intf1.name))
                    passages["down"].append((self._reader, cable.intf2.name))
            passages["up"].append((self._reader, ports[link.spec.parent]))
            passages["down"].append((readers[link.spec.parent], HOST_INTERFACE))
            link.attach(self.link_process, self._reader, passages)

    def _bare(self, node: Node, plan: Plan) -> dict[str, Any]:
        return {"cls": NamespaceHost, "plan": plan, "namespace": f"{self.prefix}-{node.name}"}

    def _container(self, node: Node, plan: Plan) -> dict[str, Any]:
        return {
            "cls": TierHost,
            "plan": plan,
            "client": self._client,
            "image": self._image,
            "spec": self._specs.get(node.name) or ContainerSpec(node.name),
            "run_id": self.run_id,
            "pool": self._pool,
            "ending": self._ending,
            "started": self._count,
        }

    def _count(self, future: Future[Any]) -> None:
        if self._progress is not None and not future.cancelled() and future.exception() is None:
            self._running += 1
            self._progress(self._running, len(self.topology.nodes))

    @staticmethod
    def _require_running(hosts: Sequence[SiteHost]) -> None:
        for host in hosts:
            if isinstance(host, TierHost) and host.started and not Path(host.netns_path).exists():
                host.require_running()  # says why it ended

    def _down(self) -> None:
        """Take down whatever there is by now, each part whatever becomes of the others."""
        with undisturbed(), contextlib.ExitStack() as stack:
            self._ending.set()
            if self._hosts_are == "container":
                stack.callback(
                    remove_containers, self._client, self.run_id
                )  # made while an interrupt was on its way
            if hasattr(self, "_pool"):
                stack.callback(self._pool.shutdown, wait=True, cancel_futures=True)
            stack.callback(self._stop_nodes)
            stack.callback(delete_namespaces, self._namespaces)
            stack.callback(self._readers.close)
            for host in self.net.hosts:
                host.begin_removal()
            self._links_up.close()
            kill_processes_in(*map(named, self._namespaces))

    def _stop_nodes(self) -> None:
        with contextlib.ExitStack() as stack:
            for node in (*self.net.hosts, *self.net.switches):
                stack.callback(node.terminate)
