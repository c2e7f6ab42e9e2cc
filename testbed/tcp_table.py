"""TCP connections of a network namespace that may still send something of their own accord (proc(5))."""

from __future__ import annotations

from pathlib import Path

from testbed.netns import in_namespace

_TABLE = Path("/proc/thread-self/net/tcp")
_AT_REST = {"01", "06", "0A"}
"""States (``st``): established, time-wait, listening. In any other a connection is being opened or closed."""
_SENDS_AGAIN = {"01", "04"}
"""Timers (``tr``): a retransmission, a loss probe or a window probe is due. Delayed acknowledgements have
none, but what they acknowledge waits at its sender.
"""


def unsettled(netns_path: str) -> int:
    """Connections that are being opened or closed, or in which something is not acknowledged."""
    with in_namespace(netns_path):
        rows = [row.split() for row in _TABLE.read_text().splitlines()[1:]]
    return sum(row[3] not in _AT_REST or row[5].partition(":")[0] in _SENDS_AGAIN for row in rows)
