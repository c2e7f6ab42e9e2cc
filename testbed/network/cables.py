"""Cables, which are links without a shape, and the ports in which all links end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from testbed.network.mininet_compat import Intf
from testbed.network.mininet_compat import Link as MininetLink
from testbed.network.node import SiteHost
from testbed.network.switch import SiteSwitch
from testbed.network.wiring import HOST_INTERFACE


class Port(Intf):
    """An interface that knows its addresses without asking ifconfig; the wiring configures it."""

    mac: str | None

    def config(self, mac: str | None = None, ip: str | None = None, **_params: Any) -> dict[str, Any]:
        self.mac = mac or self.mac
        self.ip, _, prefix = (ip or "").partition("/")
        self.prefixLen = prefix or None
        return {}

    def delete(self) -> None:
        """Forget the interface; the kernel removes it with its namespace."""
        if self.node is not None:
            self.node.delIntf(self)
        self.link = None


class WiredLink(MininetLink):
    """A veth pair that :class:`Wiring <testbed.network.wiring.Wiring>` makes."""

    @classmethod
    def makeIntfPair(cls, *_args: Any, **_params: Any) -> tuple[None, None]:
        """Make nothing: the wiring does."""
        return None, None


class SiteLink(WiredLink):
    """The cable between a host and the switch of its site.

    It is unshaped: in a shaped cable TCP's back-pressure would hide the WAN's congestion.
    """

    def __init__(self, node1: SiteHost, node2: SiteSwitch, *, port_name: str, **params: Any) -> None:
        host_options = f"address {node1.tier_node.mac} netns {node1.netns_path}"
        node2.wiring.add_veth(port_name, HOST_INTERFACE, peer_options=host_options)
        node2.add_port(port_name, node1.tier_node.mac, isolated=False)
        params1 = {"ip": f"{node1.tier_node.ip}/32"}
        params.update(intf=Port, addr1=node1.tier_node.mac, addr2=None, params1=params1)
        super().__init__(node1, node2, intfName1=HOST_INTERFACE, intfName2=port_name, **params)


class CableLink(WiredLink):
    """The cable from the switch of a child's site to the switch at which a shared link begins.

    It is unshaped: the children share the link's bottleneck.
    """

    def __init__(
        self,
        node1: SiteSwitch,
        node2: SiteSwitch,
        *,
        macs: tuple[Sequence[str], Sequence[str]],
        number: int,
        passed: bool,
        **params: Any,
    ) -> None:
        """Make a cable; ``macs`` are behind its lower and its upper end.

        ``passed``: frames of the child's children pass its switch on their way up here.
        """
        wiring = node1.wiring
        near, far = (f"{wiring.prefix}a{number}{side}" for side in "cp")
        wiring.add_veth(near, far)
        below_macs, above_macs = macs
        node1.add_port(near, *above_macs, isolated=not passed)
        node2.add_port(far, *below_macs, isolated=True)
        params.update(intf=Port, addr1=None, addr2=None)
        super().__init__(node1, node2, intfName1=near, intfName2=far, **params)
