"""Reads a network's counters when nothing moves any more, so that the sums between two readings are sharp."""

from __future__ import annotations

import time

from testbed.network.kernel.connections import unsettled, wait_until_closed
from testbed.network.measure.paths import paths_of, wait_until_quiet
from testbed.network.network import Network
from testbed.orchestrator.rows.links import Reading

QUIET_TIMEOUT_S = 60.0
RETRIES_UNTIL_QUIET = 20
CLOSED_LEAST_S = 20.0


def read_when_quiet(network: Network) -> Reading:
    """Read all links' counters once nothing moves, until two readings in a row are equal."""
    links = network.links
    paths = paths_of(network)
    quiet = not links or (_wait_until_settled(network) and wait_until_quiet(paths, QUIET_TIMEOUT_S))
    last = {link.name: link.read() for link in links}
    for _ in range(RETRIES_UNTIL_QUIET):
        again = {link.name: link.read() for link in links}
        if again == last:
            return Reading(last, quiet)
        last = again
        quiet = quiet and wait_until_quiet(paths, QUIET_TIMEOUT_S)
    return Reading(last, quiet=False)


def wait_until_connections_closed(network: Network) -> bool:
    """Wait for what a dead link or a container that stood still left to TCP: repeats come seconds later."""
    namespaces = [host.netns_path for host in network.hosts]
    return wait_until_closed(namespaces, QUIET_TIMEOUT_S, CLOSED_LEAST_S)


def _wait_until_settled(network: Network) -> bool:
    """Wait until no node has anything left to send; ``False`` if it never came to that.

    A link that stands still may only be between two attempts after a loss, a fifth of a second or more apart.
    """
    namespaces = [host.netns_path for host in network.hosts]
    end_s = time.monotonic() + QUIET_TIMEOUT_S
    while any(map(unsettled, namespaces)):
        if time.monotonic() > end_s:
            return False
        time.sleep(0.02)
    return True
