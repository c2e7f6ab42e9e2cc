"""Which of TCP's congestion controls this kernel has."""

from __future__ import annotations

import functools
from pathlib import Path

from testbed.errors import TestbedError
from testbed.network.kernel.netns import HERE, in_new_namespace, run_in
from testbed.scenario.topology import Topology

_AVAILABLE = Path("/proc/sys/net/ipv4/tcp_available_congestion_control")


def available() -> list[str]:
    """The congestion controls that are loaded (tcp(7)); others may be available as modules."""
    return _AVAILABLE.read_text().split()


@functools.cache
def kernel_has(name: str) -> bool:
    """Whether a route may have a congestion control, whose module the kernel then loads. Needs root."""
    if name in available():
        return True
    with in_new_namespace():
        run_in(HERE, ["ip", "link", "set", "dev", "lo", "up"])
        try:
            run_in(HERE, ["ip", "route", "add", "192.0.2.1/32", "dev", "lo", "congctl", name])
        except TestbedError:
            return False
    return True


def lacking(topology: Topology) -> list[str]:
    """A sentence for each tier whose congestion control this kernel lacks."""
    wanted = {node.tier: node.congestion for node in topology.nodes}
    has = ", ".join(available())
    return [
        f"tier {tier} has congestion control {name}, which this kernel lacks (it has {has})"
        for tier, name in wanted.items()
        if not kernel_has(name)
    ]
