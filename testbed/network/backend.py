"""The backend link: what joins a node to the engine behind it, and is no WAN link.

A veth pair leads from the node's namespace to one that holds the engine, or a relay to an engine outside the
emulated network. It is unshaped, part of no switch, and captured apart: no byte of it is in a WAN's sums.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from testbed.network.cables import Port, WiredLink
from testbed.network.container import ContainerSpec, TierHost
from testbed.network.kernel.connections import BACKEND_NET
from testbed.network.kernel.counters import CounterReader
from testbed.network.kernel.settings import ROUTE_SETTINGS
from testbed.network.node import SiteHost
from testbed.network.wiring import BACKEND_INTERFACE, HOST_INTERFACE
from testbed.scenario.topology import Node

ENGINE_PORT = 8000


@dataclass(frozen=True)
class Backend:
    """What is behind a node: the container of an engine, or the address of one outside, host and port."""

    node: str
    engine: ContainerSpec | None = None
    outside: tuple[str, int] | None = None


class EngineHost(TierHost):
    """The container of the engine behind a node."""

    @property
    def called(self) -> str:
        return f"the engine of {self.spec.node}"

    @property
    def log_name(self) -> str:
        return f"backend.{self.spec.node}.log"  # as its captures are called


class BackendLink(WiredLink):
    """The veth pair between a node and what is behind it.

    Attributes:
        name: of its captures. No WAN link has a dot in its name.
        capture_interface: the node's end, in the namespace at ``netns_path``.
    """

    capture_interface = BACKEND_INTERFACE

    def __init__(self, node1: SiteHost, node2: SiteHost, **params: Any) -> None:
        self.name, self.netns_path = f"backend.{node1.name}", node1.netns_path
        wiring, far = node1.wiring, node2.tier_node
        (near,) = node2.neighbours
        wiring.create.append(
            f"link add name {BACKEND_INTERFACE} address {near.mac} netns {self.netns_path} txqueuelen 1000 "
            f"type veth peer name {HOST_INTERFACE} address {far.mac} netns {node2.netns_path} txqueuelen 1000"
        )
        settings = " ".join(f"{name} {value}" for name, value in ROUTE_SETTINGS.items())
        wiring.backends[self.netns_path] = [
            f"addr replace {near.ip}/32 dev {BACKEND_INTERFACE}",
            f"link set dev {BACKEND_INTERFACE} up",
            f"neigh replace {far.ip} lladdr {far.mac} dev {BACKEND_INTERFACE} nud permanent",
            f"route replace {far.ip}/32 dev {BACKEND_INTERFACE} src {near.ip} {settings}",
        ]
        params.update(intf=Port, addr1=near.mac, addr2=far.mac)
        super().__init__(node1, node2, intfName1=BACKEND_INTERFACE, intfName2=HOST_INTERFACE, **params)

    def attach(self, reader: CounterReader) -> None:
        """Count by ``reader``, of the node's namespace; to be called when the interfaces exist."""
        self._reader = reader

    def frames(self) -> int:
        """How many frames have crossed in both directions."""
        counted = self._reader.interface(BACKEND_INTERFACE)
        return counted.sent.frames + counted.received.frames


def name_behind(node: str) -> str:
    """The name of the host behind a node; no node's has a capital."""
    return f"Backend_{node}"


def ends(nodes: Sequence[Node], name: str) -> tuple[Node, Node]:
    """The two ends of the backend link of the node ``name``: its own, and what is behind it."""
    number = next(at for at, node in enumerate(nodes) if node.name == name)
    node = nodes[number]
    near, far = (
        replace(
            node,
            name=called,
            ip=".".join(map(str, (*BACKEND_NET, number // 125, number % 125 * 2 + end))),
            mac=f"02:78:00:{end:02x}:{number >> 8:02x}:{number & 0xFF:02x}",
        )
        for end, called in enumerate((name, name_behind(name)))
    )
    return near, far
