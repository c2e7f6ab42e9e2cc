"""TCP connections of a network namespace, from ``net/tcp`` of proc(5): what listens, what is open."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from testbed.host.processes.waiting import wait_until
from testbed.network.kernel.netns import in_namespace

_TABLE = Path("/proc/thread-self/net/tcp")
_ESTABLISHED, _TIME_WAIT, _CLOSE, _LISTEN = 0x01, 0x06, 0x07, 0x0A
_RETRANSMIT, _PROBE = 1, 4
_LOOPBACK = "0100007F"
BACKEND_NET = (10, 78)
"""How addresses of backend links begin. What is open there is no part of the WAN, and may stay so."""
_BACKEND = "".join(f"{part:02X}" for part in reversed(BACKEND_NET))
_POLL_S = 0.05


@dataclass(frozen=True, slots=True)
class Connection:
    """A socket: its local port, whether both its ends are on this node, and what it may still send."""

    port: int
    loopback: bool
    listening: bool
    open: bool
    """Neither listening nor closed nor waiting for its time to pass."""
    changing: bool
    """Being opened or closed."""
    sending: bool
    """Something is not acknowledged yet, or is to be sent again by a timer."""


def connections(netns_path: str) -> list[Connection]:
    """The IPv4 sockets of the namespace at ``netns_path``, without those of backend links."""
    with in_namespace(netns_path):
        lines = _TABLE.read_text().splitlines()[1:]
    return list(_parse(lines))


def unsettled(netns_path: str) -> int:
    """How many connections may still send something: they are being opened or closed, or something in them is
    not acknowledged.

    A delayed acknowledgement does not show in its connection, but what it acknowledges does at the sender.
    """
    return sum(connection.changing or connection.sending for connection in connections(netns_path))


def wait_until_closed(netns_paths: Sequence[str], timeout_s: float, least_s: float) -> bool:
    """Wait until no connection between the namespaces is open; return whether TCP has nothing more to send.

    A connection whose other end was killed behind a dead link stays open for ever and is silent. So after
    ``least_s`` it is enough if none has anything to send.
    """
    start_s = time.monotonic()

    def are_closed() -> bool:
        outward = [
            connection for path in netns_paths for connection in connections(path) if not connection.loopback
        ]
        silent = not any(connection.sending for connection in outward)
        is_late = time.monotonic() - start_s > least_s
        return not any(connection.open for connection in outward) or (silent and is_late)

    return wait_until(are_closed, timeout_s, _POLL_S)


def _parse(lines: Sequence[str]) -> Iterator[Connection]:
    for line in lines:
        _, local, remote, state, queues, timer, *_ = line.split()
        if local.partition(":")[0].endswith(_BACKEND):
            continue
        status, waiting = int(state, 16), int(queues.partition(":")[0], 16)
        is_open = status not in (_TIME_WAIT, _CLOSE, _LISTEN)
        yield Connection(
            port=int(local.partition(":")[2], 16),
            loopback=local.startswith(_LOOPBACK) or remote.startswith(_LOOPBACK),
            listening=status == _LISTEN,
            open=is_open,
            changing=is_open and status != _ESTABLISHED,
            sending=is_open and (waiting > 0 or int(timer.partition(":")[0], 16) in (_RETRANSMIT, _PROBE)),
        )
