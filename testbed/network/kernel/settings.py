"""Settings of a node's namespace that change what TCP sends: set here, and recorded in the manifest."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path

from testbed.network.kernel.netns import disable_ipv6, in_namespace

HOST_SYSCTLS: Mapping[str, str] = {
    # What TCP learnt from one method's connections must not help the next one's.
    "net.ipv4.tcp_no_metrics_save": "1",
    # A connection idle for longer than its retransmission time-out starts slowly again (RFC 5681, 4.1): the
    # kernel's default, and so what a deployment that nobody tuned does.
    "net.ipv4.tcp_slow_start_after_idle": "1",
    "net.ipv4.tcp_ecn": "0",
    "net.ipv4.tcp_timestamps": "1",
    "net.ipv4.tcp_sack": "1",
    "net.ipv4.tcp_fastopen": "0",
    # The kernel derives these from the machine's memory; fixed, they are the same on every host.
    "net.ipv4.tcp_rmem": "4096 131072 6291456",
    "net.ipv4.tcp_wmem": "4096 16384 4194304",
    # Probes of a link answer every ping, and an unprivileged user may send one.
    "net.ipv4.icmp_ratelimit": "0",
    "net.ipv4.ping_group_range": "0 2147483647",
    "net.ipv4.ip_forward": "0",
}
"""Settings of every node's namespace, for the manifest (sysctl names of ip-sysctl.rst)."""

ROUTE_SETTINGS: Mapping[str, str] = {
    # Initial congestion and receive window in segments (RFC 6928).
    "initcwnd": "10",
    "initrwnd": "10",
}
"""What every route of a node sets (ip-route(8)), for the manifest. Congestion control is set there, too, by
tier (``congctl``): a namespace may only choose what the host has allowed, a route may choose any."""


def configure_namespace(path: str) -> None:
    """Give a node's namespace :data:`HOST_SYSCTLS` and no IPv6, before an interface arrives in it."""
    disable_ipv6(path)
    with in_namespace(path):
        for name, value in HOST_SYSCTLS.items():
            with contextlib.suppress(FileNotFoundError):  # not a setting of this kernel
                _sysctl(name).write_text(value)


def namespace_settings(path: str) -> dict[str, str]:
    """The settings in the namespace at ``path`` and those of its routes, for the manifest."""
    settings = {f"route.{name}": value for name, value in ROUTE_SETTINGS.items()}
    with in_namespace(path):
        for name in (*HOST_SYSCTLS, "net.ipv6.conf.all.disable_ipv6"):
            with contextlib.suppress(OSError):
                settings[name] = " ".join(_sysctl(name).read_text().split())
    return settings


def _sysctl(name: str) -> Path:
    return Path("/proc/sys", *name.split("."))
