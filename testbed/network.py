"""The network of a run: up, at hand, down again with nothing left.

A scenario's topology becomes a Mininet topology: a host and a switch at each site, a shaped link between
neighbouring sites. WAN links and Linux bridges are in one network namespace of the run; Open vSwitch has its
ports where its daemon runs, in the host's.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

import docker

from testbed import shaping
from testbed.clean import PREFIX, remove_containers, remove_leftovers, run_lock
from testbed.counters import CounterReader
from testbed.errors import TestbedError
from testbed.host_settings import namespace_settings
from testbed.link import WanLink
from testbed.mininet_compat import Mininet
from testbed.netns import (
    HERE,
    add_namespaces,
    delete_namespaces,
    kill_processes_in,
    named,
    run_in,
)
from testbed.node import ContainerSpec, NamespaceHost, SiteHost, TierHost
from testbed.plan import Plan
from testbed.shaping import Shaper
from testbed.signals import undisturbed
from testbed.site_topo import SiteTopo
from testbed.switch import BridgeSwitch, OvsSwitch, SiteSwitch, SwitchKind, choose_switch, delete_ovs
from testbed.topology import Link, Node, Shape, Topology

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
        switch: ``bridge``, ``ovs``, or ``auto``: Open vSwitch where it runs.
        client: of a Docker engine; by default the host's, started if need be.

    Entering raises a TestbedError if the kernel or Docker cannot do what is asked; nothing is left then.

    Attributes:
        net: the Mininet network, for ``mininet.cli.CLI`` and all else that takes one.
    """

    def __init__(
        self,
        topology: Topology,
        run_id: str,
        *,
        image: str | None = None,
        containers: Sequence[ContainerSpec] = (),
        hosts: Literal["container", "namespace"] = "container",
        switch: str = "auto",
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
        self._switch_asked = switch
        self._client = client
        self._progress = progress
        self._running = 0
        self._probes = 0
        self._reader: CounterReader | None = None
        self._namespaces: list[str] = []
        self._outer: list[str] = []
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
            "switch": self.switch,
            "shaper": self.shaper,
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
        self.switch: SwitchKind = choose_switch(self._switch_asked)
        self.shaper: Shaper = "netem" if shaping.kernel_has_netem() else "tbf"
        for link in self.topology.links:  # before anything starts
            shaping.require(link.up, link.name, self.shaper)
            shaping.require(link.down, link.name, self.shaper)
        self._pool = ThreadPoolExecutor(STARTS_AT_A_TIME, thread_name_prefix="container")
        in_containers = self._hosts_are == "container"
        if in_containers and self._client is None:
            from testbed.engine import engine

            self._client = engine()
        self._add_namespaces([self.prefix])
        self._home = self._ports = named(self.prefix)
        if self.switch == "ovs":
            self._here = os.open(HERE, os.O_RDONLY | os.O_CLOEXEC)
            self._ports = f"/proc/{os.getpid()}/fd/{self._here}"
        self._build(self.topology.nodes, self.topology.links, in_containers)

    def _add_namespaces(self, names: list[str]) -> None:
        self._namespaces += names  # first, so that an interrupt finds them
        add_namespaces(names)

    def _build(self, nodes: Sequence[Node], links: Sequence[Link], in_containers: bool) -> None:
        """Make one part of the network: our Mininet classes note it in a plan, which is then carried out."""
        plan = Plan(self._home, self._ports, self.prefix)
        if not in_containers:
            self._add_namespaces([f"{self.prefix}-{node.name}" for node in nodes])
        first_host, first_switch, first_link = map(len, (self.net.hosts, self.net.switches, self.net.links))
        self.net.buildFromTopo(
            SiteTopo(
                nodes=nodes,
                links=links,
                prefix=self.prefix,
                first_number=first_switch + 1,
                host=lambda node: self._container(node, plan) if in_containers else self._bare(node, plan),
                switch={"cls": BridgeSwitch if self.switch == "bridge" else OvsSwitch, "plan": plan},
                shaper=self.shaper,
            )
        )
        hosts, switches = self.net.hosts[first_host:], self.net.switches[first_switch:]
        try:
            self._carry_out(plan, hosts, switches)
        except (TestbedError, OSError):
            self._require_running(hosts)  # a container that ended takes its interface with it
            raise
        self._require_running(hosts)
        if self._reader is None:
            self._reader = CounterReader(self._home)
        for link in self.net.links[first_link:]:
            if isinstance(link, WanLink):
                link.attach(self._reader)
        self.net.built = True

    def _carry_out(self, plan: Plan, hosts: Sequence[SiteHost], switches: Sequence[SiteSwitch]) -> None:
        for host in hosts:
            host.wait_ready()
            host.configDefault()
        self._outer += plan.interfaces[self._ports] if self.switch == "ovs" else []
        plan.create_interfaces()
        for kind, same in groupby(switches, type):
            if hasattr(kind, "batchStartup"):
                kind.batchStartup(list(same))
        plan.bring_up()

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
            if hasattr(self, "_here"):
                stack.callback(os.close, self._here)
                stack.callback(self._delete_ports)
            if self._reader is not None:
                stack.callback(self._reader.close)
            for host in self.net.hosts:
                host.begin_removal()
            kill_processes_in(*map(named, self._namespaces))

    def _stop_nodes(self) -> None:
        with contextlib.ExitStack() as stack:
            for node in (*self.net.hosts, *self.net.switches):
                stack.callback(node.terminate)

    def _delete_ports(self) -> None:
        """Remove what Open vSwitch kept in the host's namespace."""
        delete_ovs([switch.interface for switch in self.net.switches])
        lines = "".join(f"link delete dev {name}\n" for name in self._outer)
        with contextlib.suppress(TestbedError):  # most go by themselves, with the other end of their pair
            run_in(HERE, ["ip", "-force", "-batch", "-"], stdin=lines)
