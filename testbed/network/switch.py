"""The switch of a site, as a Mininet switch that is told which address is behind which port.

Nothing is learnt and nothing flooded: the host of the site reaches its neighbours in the tree, each through
the port of its link, and they reach the host. No frame goes from one link to another, so none passes a tier,
unless the scenario has tiers skipped: then the port of the way up is not isolated, and there are entries for
the nodes two tiers away.
Where siblings share a link, another switch stands before it, at which they reach the link and not each other.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from testbed.network.lazy_shell import LazyShell
from testbed.network.mininet_compat import Switch
from testbed.network.wiring import Wiring


class SiteSwitch(LazyShell, Switch):
    """A Linux bridge in the run's namespace, with static entries and isolated ports (bridge(8))."""

    controlIntf = None  # Mininet's name; there is no controller

    def __init__(self, name: str, *, interface: str, wiring: Wiring, number: int, **params: Any) -> None:
        self.interface = interface
        self.wiring = wiring
        self.netns_path = wiring.netns_path
        params["inNamespace"] = True  # the wiring's: Mininet moves nothing and looks for no loopback
        super().__init__(name, dpid=f"{number:x}", **params)
        wiring.create.append(
            f"link add name {interface} type bridge stp_state 0 forward_delay 0 mcast_snooping 0 "
            "mcast_querier 0 nf_call_iptables 0 nf_call_arptables 0"
        )
        wiring.interfaces.append(interface)

    def add_port(self, interface: str, *macs: str, isolated: bool) -> None:
        """Make an interface a port behind which ``macs`` are, and no other address.

        An isolated port reaches the port that is not isolated, and no other.
        """
        self.wiring.interfaces.append(interface)
        self.wiring.create += [
            f"link set dev {interface} master {self.interface}",
            f"link set dev {interface} type bridge_slave learning off flood off mcast_flood off "
            f"bcast_flood off isolated {'on' if isolated else 'off'}",
        ]
        self.wiring.forward += [f"fdb replace {mac} dev {interface} master static" for mac in macs]

    def start(self, controllers: Sequence[Any]) -> None:
        """Do nothing: the wiring brings the bridge up with all others."""

    def stop(self, deleteIntfs: bool = True) -> None:
        """End the shell; interfaces go with the run's namespace."""
        self.terminate()
