"""What the running kernel can do for a network, which is tried out.

A configuration file says what a kernel was meant to have. Here each part is made once in a nameless network
and mount namespace, which ends with the process that made it. Without root, a user namespace is around them.
"""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from testbed.host.commands import command_path, run_command

TRY_TIMEOUT_S = 20.0

_PACKET_SOCKET = "import socket; socket.socket(socket.AF_PACKET, socket.SOCK_RAW).bind(('wan0', 0))"
# The order matters only where a line uses an interface of a line before.
_TRIES = f"""
try() {{ name=$1; shift; words=$("$@" 2>&1) && echo "$name|yes|" || echo "$name|no|$(echo $words)"; }}
overlay() {{
    mount -t tmpfs testbed /tmp && mkdir /tmp/lower /tmp/upper /tmp/work /tmp/merged &&
    mount -t overlay testbed -o lowerdir=/tmp/lower,upperdir=/tmp/upper,workdir=/tmp/work /tmp/merged
}}
echo "network namespaces|yes|"
try veth ip link add wan0 type veth peer name wan1
try bridge ip link add site0 type bridge
try "packet sockets" "$1" -I -S -c "{_PACKET_SOCKET}"
try overlayfs overlay
"""

FOR_NETWORKS = ("network namespaces", "veth", "bridge", "packet sockets")
PARTS = (*FOR_NETWORKS, "overlayfs")


@dataclass(frozen=True)
class Kernel:
    """Which parts this kernel has, and for each part that it lacks the reason, in its words."""

    parts: frozenset[str]
    reasons: Mapping[str, str]

    def has(self, *names: str) -> bool:
        return self.parts.issuperset(names)


@functools.cache
def kernel() -> Kernel:
    """Try the running kernel, once per process and in about 0.1 s; nothing that was made stays."""
    missing = [tool for tool in ("unshare", "ip") if command_path(tool) is None]
    if missing:
        reason = f"not tried: {', '.join(missing)} not installed"
        return Kernel(frozenset(), dict.fromkeys(PARTS, reason))
    as_user = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    command = ["unshare", *as_user, "--net", "--mount", "sh", "-c", _TRIES, "try", sys.executable]
    done = run_command(*command, timeout_s=TRY_TIMEOUT_S)
    if done is None:
        reason = f"not tried: unshare did not end within {TRY_TIMEOUT_S:.0f} s"
        return Kernel(frozenset(), dict.fromkeys(PARTS, reason))
    return Kernel(*parse_tries(done.stdout, PARTS, done.stderr.strip()))


def parse_tries(lines: str, parts: Sequence[str], otherwise: str) -> tuple[frozenset[str], dict[str, str]]:
    """Read lines of ``part|yes or no|words``: the parts that are available, and the words on each other part.

    ``otherwise`` stands in place of the words on a part without a line.
    """
    reasons = dict.fromkeys(parts, otherwise or "not reached")
    available = set()
    for line in lines.splitlines():
        name, _, rest = line.partition("|")
        answer, _, words = rest.partition("|")
        if answer == "yes":
            available.add(name)
            reasons.pop(name, None)
        elif answer == "no":
            reasons[name] = words
    return frozenset(available), reasons
