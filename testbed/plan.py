"""What is to be done to the kernel for a part of the network, gathered first and done in few processes.

Mininet runs a shell for each node and a process for each step. With twenty containers, or in a user-mode
Linux machine, that is most of the time it takes to start; so our Mininet classes only note their steps here.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from testbed.netns import batch, quieten_interfaces, wait_running

HOST_INTERFACE = "eth0"
KIND_LETTERS = "showiaxy"
"""First letter after the run's prefix: switch, port to a host, outer port of a switch, wire's end, way (an
ifb or what takes its place), cable to a shared link, and both ends of where the frames of a cut wire go."""


@dataclass
class Plan:
    """Steps in the run's namespace at ``netns_path``, in the order of the fields, then those of each host.

    Switches have their ports in the namespace at ``ports_path``, which may be the same.

    Every interface is down until it is part of a switch that neither learns nor floods, is shaped, and has
    IPv6 and offloads off: so no frame that nobody sent ever crosses a link.
    """

    netns_path: str
    ports_path: str
    prefix: str
    create: list[str] = field(default_factory=list)
    """ip(8): interfaces, into their switches."""
    interfaces: dict[str, list[str]] = field(default_factory=dict)
    """Those that ``create`` makes, by the path of their namespace; but for those of hosts."""
    forward: list[str] = field(default_factory=list)
    """bridge(8): who is behind which port."""
    shape: list[str] = field(default_factory=list)
    """tc(8): bottleneck and way."""
    hosts: dict[str, list[str]] = field(default_factory=dict)
    """ip(8) for each host, by the path of its namespace: address, neighbours, routes."""

    def add_interface(self, name: str, path: str | None = None) -> None:
        """Note an interface, to be quietened and brought up."""
        self.interfaces.setdefault(path or self.netns_path, []).append(name)

    def add_port(self, name: str) -> str:
        """Note a switch's port; what ip-link(8) needs to make it where it belongs."""
        self.add_interface(name, self.ports_path)
        return f"name {name}" + (f" netns {self.ports_path}" if self.ports_path != self.netns_path else "")

    def create_interfaces(self) -> None:
        batch(self.netns_path, "ip", self.create)
        for path, names in self.interfaces.items():
            quieten_interfaces(path, names)

    def bring_up(self) -> None:
        """Shape and connect what :meth:`create_interfaces` made.

        Hosts come first: one without routes has nothing to send that a port could carry.
        """
        batch(self.netns_path, "bridge", self.forward)
        batch(self.netns_path, "tc", self.shape)
        for path, lines in self.hosts.items():
            quieten_interfaces(path, [HOST_INTERFACE])
            batch(path, "ip", lines)
        for path, names in self.interfaces.items():
            batch(path, "ip", [f"link set dev {name} up" for name in names])
        for path, names in self.interfaces.items():
            wait_running(path, names)
        for path in self.hosts:
            wait_running(path, [HOST_INTERFACE])
