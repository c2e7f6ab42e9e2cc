"""A node as a Mininet host: what containers and bare network namespaces have in common, and the latter."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from testbed.network.endpoint import Endpoint
from testbed.network.kernel.netns import named
from testbed.network.kernel.settings import ROUTE_SETTINGS, configure_namespace
from testbed.network.lazy_shell import LazyShell
from testbed.network.mininet_compat import Host
from testbed.network.wiring import HOST_INTERFACE, Wiring
from testbed.scenario.topology import Node as TierNode


class SiteHost(LazyShell, Host):
    """A host with one interface and routes to its neighbours (:meth:`Topology.neighbours`)."""

    def __init__(
        self, name: str, *, tier_node: TierNode, neighbours: Sequence[TierNode], wiring: Wiring, **params: Any
    ):
        self.tier_node = tier_node
        self.neighbours = tuple(neighbours)
        self.wiring = wiring
        super().__init__(name, ip=tier_node.ip, mac=tier_node.mac, inNamespace=True)

    def config(self, **_params: Any) -> dict[str, Any]:
        """Note address, permanent neighbour entries and a route to each neighbour; there is no other."""
        lines = ["link set dev lo up", f"addr replace {self.tier_node.ip}/32 dev {HOST_INTERFACE}"]
        lines.append(f"link set dev {HOST_INTERFACE} up")
        wanted = {**ROUTE_SETTINGS, "congctl": self.tier_node.congestion}
        settings = " ".join(f"{name} {value}" for name, value in wanted.items())
        for other in self.neighbours:
            lines += [
                f"neigh replace {other.ip} lladdr {other.mac} dev {HOST_INTERFACE} nud permanent",
                f"route replace {other.ip}/32 dev {HOST_INTERFACE} src {self.tier_node.ip} {settings}",
            ]
        self.wiring.hosts[self.netns_path] = lines
        return {}

    @property
    def endpoint(self) -> Endpoint:
        """Where its neighbours reach it."""
        return Endpoint(self.netns_path, self.tier_node.ip)

    def wait_ready(self) -> None:
        """Return when the namespace is there and has its settings."""

    def begin_removal(self) -> None:
        """Start a removal that :meth:`terminate` waits for, if it takes long."""


class NamespaceHost(SiteHost):
    """A host that is only a named network namespace, which the network makes."""

    def __init__(self, name: str, *, namespace: str, **params: Any) -> None:
        self.netns_path = named(namespace)
        super().__init__(name, **params)

    def wait_ready(self) -> None:
        configure_namespace(self.netns_path)
