"""What is to be done to the kernel for a part of the network, gathered first and done in few processes.

Mininet runs a shell for each node and a process for each step. With twenty containers that is most of the
time it takes to start; so our Mininet classes only note their steps here.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from testbed.network.kernel.interfaces import quieten_interfaces, wait_running
from testbed.network.kernel.netns import batch

HOST_INTERFACE = "eth0"
KIND_LETTERS = "shopwa"
"""First letter after the run's prefix: switch, port to a host, outer end of a link's port, that port, wire's
end, and cable to a shared link."""


@dataclass
class Plan:
    """Steps in the run's namespace at ``netns_path``, in the order of the fields, then those of each host.

    Every interface is down until it is part of a switch that neither learns nor floods, and has IPv6 and
    offloads off: so no frame that nobody sent ever crosses a link.
    """

    netns_path: str
    prefix: str
    create: list[str] = field(default_factory=list)
    """ip(8): interfaces, into their switches."""
    interfaces: list[str] = field(default_factory=list)
    """Those that ``create`` makes, but for those of hosts."""
    forward: list[str] = field(default_factory=list)
    """bridge(8): who is behind which port."""
    hosts: dict[str, list[str]] = field(default_factory=dict)
    """ip(8) for each host, by the path of its namespace: address, neighbours, routes."""

    def create_interfaces(self) -> None:
        batch(self.netns_path, "ip", self.create)
        quieten_interfaces(self.netns_path, self.interfaces)

    def bring_up(self) -> None:
        """Connect what :meth:`create_interfaces` made.

        Hosts come first: one without routes has nothing to send that a port could carry.
        """
        batch(self.netns_path, "bridge", self.forward)
        for path, lines in self.hosts.items():
            quieten_interfaces(path, [HOST_INTERFACE])
            batch(path, "ip", lines)
        batch(self.netns_path, "ip", [f"link set dev {name} up" for name in self.interfaces])
        wait_running(self.netns_path, self.interfaces)
        for path in self.hosts:
            wait_running(path, [HOST_INTERFACE])
