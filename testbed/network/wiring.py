"""What the kernel is to make for a part of the network: names, and commands to be run in few processes.

Mininet runs a shell for each node and a process for each step. With twenty containers that is most of the
time it takes to start; so our Mininet classes only note their commands here.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from testbed.network.kernel.interfaces import quieten_interfaces, wait_running
from testbed.network.kernel.netns import batch

PREFIX = "tb"
"""With this begins the name of everything that a run makes in the kernel and in Docker."""
HOST_INTERFACE = "eth0"
"""The interface of a node."""
BACKEND_INTERFACE = "backend0"
"""That of a node with an engine behind it, on the side of the engine."""
KIND_LETTERS = "shopwa"
"""The letter after the run's prefix in an interface's name: switch, port to a host, outer end of a link's
port, that port, end of a wire, and cable to a shared link."""


def kernel_name(run_id: str, node: str | None = None) -> str:
    """The prefix of a run's interfaces, which also is the name of its namespace; or the name of a node's
    namespace and container.
    """
    prefix = f"{PREFIX}{run_id}"
    return prefix if node is None else f"{prefix}-{node}"


@dataclass
class Wiring:
    """Commands for the run's namespace at ``netns_path``, in the order of the fields, then for each host.

    Every interface is down until it is part of a switch that neither learns nor floods, and until its IPv6
    and offloads are off: so no frame that nobody sent ever crosses a link.
    """

    netns_path: str
    prefix: str
    create: list[str] = field(default_factory=list)
    """ip(8): interfaces, into their switches."""
    interfaces: list[str] = field(default_factory=list)
    """The interfaces that ``create`` makes, except those of hosts."""
    forward: list[str] = field(default_factory=list)
    """bridge(8): which address is behind which port."""
    hosts: dict[str, list[str]] = field(default_factory=dict)
    """ip(8) for each host, by the path of its namespace: address, neighbours, routes."""
    backends: dict[str, list[str]] = field(default_factory=dict)
    """The same of the hosts' other interfaces, where an engine is behind a host."""

    def add_veth(self, name: str, peer: str, *, options: str = "", peer_options: str = "") -> None:
        """Make a pair of interfaces; ``options`` are those of ip-link(8) for one end each."""
        self.create.append(
            f"link add name {name} {options} txqueuelen 1000 "
            f"type veth peer name {peer} {peer_options} txqueuelen 1000"
        )

    def create_interfaces(self) -> None:
        """Make all interfaces, and leave them down."""
        batch(self.netns_path, "ip", self.create)
        quieten_interfaces(self.netns_path, self.interfaces)

    def bring_up(self) -> None:
        """Bring up what :meth:`create_interfaces` made, and return when all of it carries frames.

        Hosts get their routes before ports come up: a host without routes has nothing to send.
        """
        batch(self.netns_path, "bridge", self.forward)
        for path, lines in self.hosts.items():
            quieten_interfaces(path, self._of_host(path))
            batch(path, "ip", [*lines, *self.backends.get(path, ())])
        batch(self.netns_path, "ip", [f"link set dev {name} up" for name in self.interfaces])
        wait_running(self.netns_path, self.interfaces)
        for path in self.hosts:
            wait_running(path, self._of_host(path))

    def _of_host(self, path: str) -> list[str]:
        """The interfaces of the host in the namespace at ``path``."""
        return [HOST_INTERFACE, BACKEND_INTERFACE] if path in self.backends else [HOST_INTERFACE]
