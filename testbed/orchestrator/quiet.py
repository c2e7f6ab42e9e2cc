"""When nothing moves on any link any more."""

from __future__ import annotations

import time

from testbed.network.kernel.connections import unsettled, wait_until_closed
from testbed.network.measure.measure import paths_of, wait_until_quiet
from testbed.orchestrator.rows.links import Reading
from testbed.orchestrator.session import Setting

QUIET_TIMEOUT_S = 60.0
RETRIES_UNTIL_QUIET = 20
CLOSED_LEAST_S = 20.0


def _closed(setting: Setting) -> bool:
    """Wait for what a dead link or a container that stood still left to TCP: repeats come seconds later."""
    paths = [host.netns_path for host in setting.network.hosts]
    return wait_until_closed(paths, QUIET_TIMEOUT_S, CLOSED_LEAST_S)


def _read(setting: Setting) -> Reading:
    """The counters once nothing moves, read until two readings are equal."""
    links = setting.network.links
    quiet = not links or (_settled(setting) and wait_until_quiet(paths_of(setting.network), QUIET_TIMEOUT_S))
    found = {link.name: link.read() for link in links}
    for _ in range(RETRIES_UNTIL_QUIET):
        again = {link.name: link.read() for link in links}
        if again == found:
            break
        found = again
        quiet = quiet and wait_until_quiet(paths_of(setting.network), QUIET_TIMEOUT_S)
    else:
        quiet = False
    return Reading(found, quiet)


def _settled(setting: Setting) -> bool:
    """Wait until no node has anything left to send: a link that stands still may only be between two attempts
    after a loss, a fifth of a second and more apart. ``False`` if it never came to that.
    """
    namespaces = [host.netns_path for host in setting.network.hosts]
    end_s = time.monotonic() + QUIET_TIMEOUT_S
    while any(map(unsettled, namespaces)):
        if time.monotonic() > end_s:
            return False
        time.sleep(0.02)
    return True
