"""What the running kernel can do for a network, tried and not guessed.

Configuration files say what a kernel was meant to have; here each part is made once in a network and
mount namespace without a name, which ends with the process that made it. Without root the same is tried
in a user namespace, so that an ordinary user learns it too.
"""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass

TRY_TIMEOUT_S = 20.0
SEARCH_PATH = os.environ.get("PATH", "") + ":/usr/sbin:/sbin:/usr/local/sbin:/usr/bin:/bin"

# One shell for all: inside user-mode Linux a process is dear. The order matters only where a line uses
# an interface of a line before. `modprobe` is for ifb alone: loaded by itself it would make two
# interfaces in the host's own namespace.
_TRIES = """
try() { name=$1; shift; said=$("$@" 2>&1) && echo "$name|yes|" || echo "$name|no|$(echo $said)"; }
overlay() {
    mount -t tmpfs testbed /tmp && mkdir /tmp/lower /tmp/upper /tmp/work /tmp/merged &&
    mount -t overlay testbed -o lowerdir=/tmp/lower,upperdir=/tmp/upper,workdir=/tmp/work /tmp/merged
}
echo "namespaces|yes|"
modprobe -q ifb numifbs=0 2>/dev/null
try veth ip link add wan0 type veth peer name wan1
try bridge ip link add site0 type bridge
try ifb ip link add way0 type ifb
try htb tc qdisc replace dev wan0 root handle 1: htb
try tbf tc qdisc replace dev wan1 root tbf rate 1mbit burst 3028 limit 150000
try netem tc qdisc replace dev site0 root netem rate 1mbit delay 1ms 1ms loss 1% limit 100
tc qdisc replace dev wan0 ingress
try u32 tc filter add dev wan0 ingress prio 1 u32 match u32 0 0
try mirred tc filter add dev wan0 ingress prio 2 u32 match u32 0 0 action mirred egress redirect dev way0
try matchall tc filter add dev wan0 ingress prio 3 matchall action mirred egress redirect dev way0
try openvswitch genl ctrl get name ovs_datapath
try overlay overlay
"""

PARTS = (
    "namespaces", "veth", "bridge", "ifb", "htb", "tbf", "netem",
    "u32", "mirred", "matchall", "openvswitch", "overlay",
)  # fmt: skip


@dataclass(frozen=True)
class Kernel:
    """Which parts this kernel has; ``said`` holds its words on each that it has not."""

    parts: frozenset[str]
    said: Mapping[str, str]

    def has(self, *names: str) -> bool:
        return self.parts.issuperset(names)

    @property
    def has_netem(self) -> bool:
        """Whether delay, jitter, loss and the serialisation of single frames can be had."""
        return "netem" in self.parts

    @property
    def redirects(self) -> bool:
        """Whether what arrives can be led through an ifb, where the way's delay and loss are."""
        return self.has("ifb", "mirred", "matchall")

    @property
    def limits_rate(self) -> bool:
        return bool(self.parts & {"netem", "tbf", "htb"})


@functools.cache
def kernel() -> Kernel:
    """The running kernel, tried once per process; about 0.1 s, and nothing of it stays."""
    missing = [tool for tool in ("unshare", "ip", "tc") if shutil.which(tool, path=SEARCH_PATH) is None]
    if missing:
        reason = f"not tried: {', '.join(missing)} not installed"
        return Kernel(frozenset(), dict.fromkeys(PARTS, reason))
    as_user = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    try:
        done = subprocess.run(
            ["unshare", *as_user, "--net", "--mount", "sh", "-c", _TRIES],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=TRY_TIMEOUT_S,
            check=False,
            env={**os.environ, "PATH": SEARCH_PATH, "LC_ALL": "C"},
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return Kernel(frozenset(), dict.fromkeys(PARTS, str(error)))
    return parse_tries(done.stdout, done.stderr.strip())


def parse_tries(lines: str, otherwise: str) -> Kernel:
    """Read ``part|yes or no|what was said``; of a part without a line, ``otherwise`` is what is known."""
    said = dict.fromkeys(PARTS, otherwise or "not reached")
    parts = set()
    for line in lines.splitlines():
        name, _, rest = line.partition("|")
        answer, _, words = rest.partition("|")
        if answer == "yes":
            parts.add(name)
            said.pop(name, None)
        elif answer == "no":
            said[name] = words
    return Kernel(frozenset(parts), said)
