"""Links without a shape, and the ports that all links end in."""

from __future__ import annotations

from typing import Any

from testbed.network.mininet_compat import Intf
from testbed.network.mininet_compat import Link as MininetLink
from testbed.network.node import SiteHost
from testbed.network.switch import SiteSwitch
from testbed.network.wiring import HOST_INTERFACE


class Port(Intf):
    """An interface that knows its addresses without asking ifconfig; the plan configures it."""

    mac: str | None

    def config(self, mac: str | None = None, ip: str | None = None, **_params: Any) -> dict[str, Any]:
        self.mac = mac or self.mac
        self.ip, _, prefix = (ip or "").partition("/")
        self.prefixLen = prefix or None
        return {}

    def delete(self) -> None:
        """Forget it; the kernel's interface goes with its namespace."""
        if self.node is not None:
            self.node.delIntf(self)
        self.link = None


class PlannedLink(MininetLink):
    """A veth pair that a plan makes."""

    @classmethod
    def makeIntfPair(cls, *_args: Any, **_params: Any) -> tuple[None, None]:
        """Nothing: the plan has it."""
        return None, None


class SiteLink(PlannedLink):
    """Between a host and the switch of its site: a cable of a room, unshaped (TCP's back-pressure would hide
    the WAN's congestion in a shaped one)."""

    def __init__(self, node1: SiteHost, node2: SiteSwitch, *, port_name: str, **params: Any) -> None:
        plan = node2.plan
        plan.create.append(
            f"link add name {port_name} txqueuelen 1000 type veth peer name {HOST_INTERFACE} "
            f"address {node1.tier_node.mac} txqueuelen 1000 netns {node1.netns_path}"
        )
        node2.add_port(port_name, node1.tier_node.mac, isolated=False)
        params1 = {"ip": f"{node1.tier_node.ip}/32"}
        params.update(intf=Port, addr1=node1.tier_node.mac, addr2=None, params1=params1)
        super().__init__(node1, node2, intfName1=HOST_INTERFACE, intfName2=port_name, **params)


class CableLink(PlannedLink):
    """From the switch of a child's site to the one where a shared link begins, unshaped: what its children
    share is the link's own bottleneck."""

    def __init__(
        self, node1: SiteSwitch, node2: SiteSwitch, *, macs: tuple[str, str], number: int, **params: Any
    ) -> None:
        plan = node1.plan
        near, far = (f"{plan.prefix}a{number}{side}" for side in "cp")
        plan.create.append(f"link add name {near} txqueuelen 1000 type veth peer name {far} txqueuelen 1000")
        child_mac, parent_mac = macs
        node1.add_port(near, parent_mac, isolated=True)
        node2.add_port(far, child_mac, isolated=True)
        params.update(intf=Port, addr1=None, addr2=None)
        super().__init__(node1, node2, intfName1=near, intfName2=far, **params)
