"""The reference: a WAN link of the kernel's own parts, between two sites of bare namespaces.

Bottleneck is netem's rate and limit at the egress of the wire, a veth pair; the way is a netem behind an ifb,
to which a filter leads what arrives at the wire's other end. Standard library alone: it also runs in
user-mode Linux.
"""

from __future__ import annotations

import contextlib
import math
import random
import string
from collections.abc import Iterator

from testbed.errors import TestbedError
from testbed.network.kernel.interfaces import quieten_interfaces, wait_running
from testbed.network.kernel.netns import (
    HERE,
    add_namespaces,
    batch,
    delete_namespaces,
    in_new_namespace,
    named,
    run_in,
)
from testbed.network.kernel.settings import ROUTE_SETTINGS, configure_namespace
from testbed.scenario.topology import Shape
from tests.reference.measure import Ends

IPS = ("10.77.0.2", "10.77.0.3")
MACS = ("02:77:00:00:00:01", "02:77:00:00:00:02")
WAY_FRAMES = 100_000
_IN_ORDER_RATE = "1tbit"
"""A way with jitter gets this rate: netem then never sends a frame before the one ahead of it."""


def kernel_has_netem() -> bool:
    """Whether this kernel has all that the reference is made of; needs root."""
    lines = ["qdisc add dev lo root netem limit 1", "qdisc add dev lo ingress"]
    lines.append("filter add dev lo ingress matchall action mirred egress redirect dev lo")
    with in_new_namespace():
        try:
            batch(HERE, "tc", lines)
            run_in(HERE, ["ip", "link", "add", "ifbtry", "type", "ifb"])
        except TestbedError:
            return False
    return True


@contextlib.contextmanager
def netem_link() -> Iterator[Ends]:
    """A link that as yet shapes nothing, and its two ends."""
    prefix = "tb" + "".join(random.choices(string.ascii_lowercase + string.digits, k=4))
    middle, *ends = [prefix, f"{prefix}-near", f"{prefix}-far"]
    try:
        add_namespaces([middle, *ends])
        near, far = map(named, ends)
        _build(named(middle), (near, far))
        yield Ends(near, far, *IPS, reshape=lambda up, down: _reshape(named(middle), up, down))
    finally:
        delete_namespaces([middle, *ends])


def _build(middle: str, hosts: tuple[str, str]) -> None:
    interfaces = ["wire0", "wire1", "way0", "way1", "port0", "port1", "switch0", "switch1"]
    create, routes = ["link add name wire0 type veth peer name wire1"], []
    for end, host in enumerate(hosts):
        configure_namespace(host)
        settings = " ".join(f"{name} {value}" for name, value in ROUTE_SETTINGS.items())
        create += [
            f"link add name way{end} numtxqueues 1 type ifb",
            f"link add name port{end} type veth peer name eth0 address {MACS[end]} netns {host}",
            f"link add name switch{end} type bridge stp_state 0 forward_delay 0 mcast_snooping 0",
            f"link set dev wire{end} master switch{end}",
            f"link set dev port{end} master switch{end}",
        ]
        other = 1 - end
        routes.append(
            [
                f"addr add {IPS[end]}/32 dev eth0",
                "link set dev eth0 up",
                f"neigh add {IPS[other]} lladdr {MACS[other]} dev eth0 nud permanent",
                f"route add {IPS[other]}/32 dev eth0 src {IPS[end]} {settings}",
            ]
        )
    batch(middle, "ip", create)
    quieten_interfaces(middle, interfaces)
    for host, lines in zip(hosts, routes, strict=True):
        quieten_interfaces(host, ["eth0"])
        batch(host, "ip", lines)
    batch(middle, "ip", [f"link set dev {name} up" for name in interfaces])
    batch(middle, "tc", [line for end in (0, 1) for line in _redirect(f"wire{end}", f"way{end}")])
    wait_running(middle, interfaces)
    for host in hosts:
        wait_running(host, ["eth0"])


def _redirect(wire: str, way: str) -> list[str]:
    return [
        f"qdisc add dev {wire} ingress",
        f"filter add dev {wire} ingress matchall action mirred egress redirect dev {way}",
    ]


def _reshape(middle: str, up: Shape, down: Shape) -> None:
    """The link is empty meanwhile. A queueing discipline made anew keeps nothing of the one before."""
    lines = []
    for shape, sender, receiver in ((up, 0, 1), (down, 1, 0)):
        lines += [
            f"qdisc replace dev wire{sender} root handle 2: pfifo",
            f"qdisc replace dev wire{sender} root handle 1: netem {bottleneck(shape)}",
            f"qdisc replace dev way{receiver} root handle 2: pfifo",
            f"qdisc replace dev way{receiver} root handle 1: netem {way(shape)}",
        ]
    batch(middle, "tc", lines)


def bottleneck(shape: Shape) -> str:
    """Rate and queue in the words of tc-netem(8)."""
    return f"limit {shape.queue_frames} rate {shape.rate_bps or 0}bit"


def way(shape: Shape) -> str:
    """Delay, jitter, loss, duplication, reordering in the words of tc-netem(8)."""
    words = [f"limit {WAY_FRAMES} delay {shape.delay_ms:.6f}ms"]
    if shape.jitter_ms:
        uniform = shape.jitter_distribution == "uniform"  # netem wants half of its width
        spread_ms = shape.jitter_ms * math.sqrt(3) if uniform else shape.jitter_ms
        words.append(f"{spread_ms:.6f}ms" + ("" if uniform else f" distribution {shape.jitter_distribution}"))
    if shape.bursts is None:
        words.append(f"loss {_percent(shape.loss)}")
    else:
        figures = (shape.bursts.p, shape.bursts.r, shape.bursts.bad, shape.bursts.good)
        words.append("loss gemodel " + " ".join(map(_percent, figures)))
    words.append(f"duplicate {_percent(shape.duplicate)}")
    if shape.reorder:
        words.append(f"reorder {_percent(shape.reorder)}")
    if shape.jitter_ms:
        words.append(f"rate {_IN_ORDER_RATE}")
    return " ".join(words)


def _percent(probability: float) -> str:
    return f"{probability * 100:.6f}%"
