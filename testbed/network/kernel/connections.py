"""TCP connections of a network namespace, from proc(5)'s ``net/tcp``: who listens, what is not over yet."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from testbed.network.kernel.netns import in_namespace

_TABLE = Path("/proc/thread-self/net/tcp")
_ESTABLISHED, _TIME_WAIT, _CLOSE, _LISTEN = 0x01, 0x06, 0x07, 0x0A
_RETRANSMIT, _PROBE = 1, 4
_LOOPBACK = "0100007F"
_POLL_S = 0.05


@dataclass(frozen=True, slots=True)
class Connection:
    """A socket: its own port, whether it is this node's with itself, and what it may still send."""

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
    """The IPv4 sockets of the namespace at ``netns_path``."""
    with in_namespace(netns_path):
        lines = _TABLE.read_text().splitlines()[1:]
    return list(_parse(lines))


def unsettled(netns_path: str) -> int:
    """Connections that may still send something of their own accord: being opened or closed, or in which
    something is not acknowledged.

    Delayed acknowledgements are no connection's own, but what they acknowledge waits at its sender.
    """
    return sum(one.changing or one.sending for one in connections(netns_path))


def wait_until_closed(netns_paths: Sequence[str], timeout_s: float, least_s: float) -> bool:
    """Wait until no connection between the namespaces is open; whether nothing more is to be expected of TCP.

    A connection whose other end was killed behind a dead link stays open for ever and is silent; so after
    ``least_s`` it is enough if none has anything to send, and after ``timeout_s`` the answer is no.
    """
    start_s = time.monotonic()
    while True:
        found = [one for path in netns_paths for one in connections(path) if not one.loopback]
        if not any(one.open for one in found):
            return True
        spent_s = time.monotonic() - start_s
        if spent_s > least_s and not any(one.sending for one in found):
            return True
        if spent_s > timeout_s:
            return False
        time.sleep(_POLL_S)


def _parse(lines: Sequence[str]) -> Iterator[Connection]:
    for line in lines:
        _, local, remote, state, queues, timer, *_ = line.split()
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
