"""Why this host cannot run a topology, if it cannot."""

from __future__ import annotations

import os

from testbed.host.kernel import FOR_NETWORKS, Kernel, kernel
from testbed.network.kernel import congestion
from testbed.scenario.topology import Topology


def host_lacks(topology: Topology, tried: Kernel | None = None) -> list[str]:
    """Why this host cannot run the topology, a sentence each; empty if it can."""
    tried = tried or kernel()
    lacking = [part for part in FOR_NETWORKS if not tried.has(part)]
    reasons = []
    if lacking:
        reason = tried.reasons.get(lacking[0], "missing")
        reasons.append(
            f"this kernel, or this user on it, cannot make a network ({', '.join(lacking)}: {reason})"
        )
    if os.geteuid() != 0:
        reasons.append("only root can put a container on a network of ours; run as root or with sudo")
    elif not lacking:
        reasons += congestion.lacking(topology)
    return reasons
