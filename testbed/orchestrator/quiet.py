"""Reads a network's counters when no frame moves, so that differences between two readings are exact.

Time-outs are that much longer than a round trip on the network's slowest link, ``round_trip_s``
(:mod:`testbed.scenario.patience`).
"""

from __future__ import annotations

from testbed.host.processes.waiting import wait_until
from testbed.network.container import TierHost
from testbed.network.kernel.connections import unsettled, wait_until_closed
from testbed.network.measure.paths import paths_of, wait_until_quiet
from testbed.network.network import Network
from testbed.orchestrator.rows.links import Reading

QUIET_TIMEOUT_S = 60.0
RETRIES_UNTIL_QUIET = 20
CLOSED_LEAST_S = 20.0
ROUND_TRIPS = 4
"""For what may be under way: a handshake, an exchange, and the closing of a connection from both ends."""
SETTLED_POLL_S = 0.02


def read_when_quiet(
    network: Network, round_trip_s: float = 0.0, timeout_s: float = QUIET_TIMEOUT_S
) -> Reading:
    """Read all links' counters once nothing moves, until two readings in a row are equal."""
    links = network.links
    paths = paths_of(network)
    timeout_s += ROUND_TRIPS * round_trip_s
    quiet = not links or (_wait_until_settled(network, timeout_s) and wait_until_quiet(paths, timeout_s))
    last = {link.name: link.read() for link in links}
    for _ in range(RETRIES_UNTIL_QUIET):
        again = {link.name: link.read() for link in links}
        if again == last:
            return Reading(last, quiet)
        last = again
        quiet = quiet and wait_until_quiet(paths, timeout_s)
    return Reading(last, quiet=False)


def wait_until_connections_closed(
    network: Network, round_trip_s: float = 0.0, timeout_s: float = QUIET_TIMEOUT_S
) -> bool:
    """Wait until TCP has nothing more to send; return whether it came to that.

    After a dead link or a container that stood still, retransmissions come seconds later.
    """
    waiting_s = ROUND_TRIPS * round_trip_s
    return wait_until_closed(_namespaces(network), timeout_s + waiting_s, CLOSED_LEAST_S + waiting_s)


def _wait_until_settled(network: Network, timeout_s: float) -> bool:
    """Wait until no node has anything left to send; return whether it came to that.

    A link that stands still may only be between two attempts after a loss, a fifth of a second or more apart.
    """
    return wait_until(lambda: not any(map(unsettled, _namespaces(network))), timeout_s, SETTLED_POLL_S)


def _namespaces(network: Network) -> list[str]:
    """Those of the nodes, less those of containers that have ended: they are gone, and send nothing."""
    return [host.netns_path for host in network.hosts if not isinstance(host, TierHost) or host.lives]
