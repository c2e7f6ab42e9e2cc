"""A WAN link between two sites, made of the kernel's parts and nothing of the network's own code.

Two hosts, each behind a bridge, and between the bridges the wire: the measurement is tested against a
link that it cannot share a mistake with, save the words of tc(8) themselves.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from testbed.counters import CounterReader, Counters
from testbed.measure import Path
from testbed.measure.traffic import End
from testbed.netns import add_namespaces, batch, delete_namespaces, named, quieten_interfaces
from testbed.topology import Direction, Shape


@contextmanager
def wan(name: str, up: Shape, down: Shape, lines: list[str]) -> Iterator[Path]:
    """A link that says it has ``up`` and ``down``, and really has what ``lines`` of tc(8) make of ``wa`` (the
    child's end of the wire), ``wb`` (the parent's), and behind them ``ifb-up`` and ``ifb-down``."""
    mark = f"tbm{secrets.token_hex(2)}"
    sites, child, parent = f"{mark}s", f"{mark}c", f"{mark}p"
    try:
        add_namespaces([sites, child, parent])
        batch(named(sites), "ip", [
            "link add site-c type bridge mcast_snooping 0", "link add site-p type bridge mcast_snooping 0",
            "link add wa type veth peer name wb", "link add ifb-up type ifb", "link add ifb-down type ifb",
            f"link add to-c type veth peer name eth0 address 02:77:00:00:00:01 netns {child}",
            f"link add to-p type veth peer name eth0 address 02:77:00:00:00:02 netns {parent}",
            "link set to-c master site-c", "link set wa master site-c",
            "link set to-p master site-p", "link set wb master site-p",
        ])  # fmt: skip
        ports = ["site-c", "site-p", "wa", "wb", "to-c", "to-p", "ifb-up", "ifb-down"]
        quieten_interfaces(named(sites), ports)
        batch(named(sites), "ip", [f"link set {port} up" for port in ports])
        for number, (host, other) in enumerate(((child, 2), (parent, 1)), start=1):
            quieten_interfaces(named(host), ["eth0"])
            batch(named(host), "ip", [
                "link set lo up", "link set eth0 up", f"addr add 10.77.0.{number}/16 dev eth0",
                f"neigh add 10.77.0.{other} lladdr 02:77:00:00:00:0{other} dev eth0 nud permanent",
            ])  # fmt: skip
        batch(named(sites), "tc", lines)
        reader = CounterReader(named(sites))
        try:

            def counters() -> Mapping[Direction, Counters]:
                wire = reader.interface("wa")
                return {"up": wire.sent, "down": wire.received}

            yield Path(
                name, up, down, End(named(child), "10.77.0.1"), End(named(parent), "10.77.0.2"), counters
            )
        finally:
            reader.close()
    finally:
        delete_namespaces([sites, child, parent])


def token_bucket(
    interface: str, rate_bps: int, queue_frames: int = 100, burst_bytes: int | None = None
) -> list[str]:
    """A rate for kernels without netem, with a burst of two frames, or of a millisecond that a busy host's
    timers cannot miss."""
    burst = burst_bytes or max(3028, rate_bps // 8000)
    return [
        f"qdisc replace dev {interface} root handle 1: tbf rate {rate_bps}bit burst {burst} limit 1000000",
        f"qdisc replace dev {interface} parent 1:1 handle 10: pfifo limit {queue_frames}",
    ]


def netem_link(up: Shape, down: Shape) -> list[str]:
    """A true link: bottleneck at the egress of each end of the wire, way behind the ingress of the other."""
    lines = []
    for shape, egress, ingress, ifb in ((up, "wa", "wb", "ifb-up"), (down, "wb", "wa", "ifb-down")):
        jitter = f"{shape.jitter_ms}ms distribution normal rate 1tbit" if shape.jitter_ms else ""
        lines += [
            f"qdisc replace dev {egress} root netem rate {shape.rate_bps or 0}bit limit {shape.queue_frames}",
            f"qdisc replace dev {ingress} ingress",
            f"filter add dev {ingress} ingress matchall action mirred egress redirect dev {ifb}",
            f"qdisc replace dev {ifb} root netem delay {shape.delay_ms}ms {jitter} "
            f"loss {shape.loss * 100}% duplicate {shape.duplicate * 100}% limit 100000",
        ]
    return lines
