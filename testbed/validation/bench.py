"""Where checks measure: one WAN link of the testbed between two sites without containers."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

from testbed.console import Reporter
from testbed.errors import TestbedError
from testbed.host.processes.priority import promptly
from testbed.network.link import WanLink
from testbed.network.measure.paths import LinkPath, paths_of, wait_until_quiet
from testbed.network.measure.traffic import PING_PAYLOAD_BYTES
from testbed.network.measure.trains import Train, ping_socket, ping_train, run_trains
from testbed.network.network import Network
from testbed.scenario.topology import Link, Node, Shape, Topology, node_ip, node_mac
from testbed.wire.account import LinkEnds
from testbed.wire.capture import Capture

LINK = "device1-edge1"
SEED = 1
"""Seed of the link's fates: every validation loses the same frames."""
MOST_WAKE_UPS_MS = 1.0
"""The most that is taken off a measured round trip, whatever the host needs to wake up."""


def awake_ms(times_ms: Sequence[float], wake_ups_ms: float) -> list[float]:
    """Times less what the host needs to wake up, of which at most :data:`MOST_WAKE_UPS_MS` is taken off."""
    return [time_ms - min(wake_ups_ms, MOST_WAKE_UPS_MS) for time_ms in times_ms]


@dataclass(frozen=True)
class Bench:
    """The link that checks measure on, and what else they share.

    ``directory`` holds captures and other files. ``short`` asks for the least that still shows the claim.
    """

    network: Network
    directory: Path
    reporter: Reporter
    short: bool = False

    @classmethod
    @contextmanager
    def open(cls, run_id: str, directory: Path, reporter: Reporter, *, short: bool = False) -> Iterator[Self]:
        """Set up a bench for as long as the context lasts.

        Raises:
            TestbedError: this kernel, or this user, cannot make a network.
        """
        with Network(_two_sites(), run_id, hosts="namespace") as network:
            yield cls(network, directory, reporter, short)

    @property
    def link(self) -> WanLink:
        return self.network.link(LINK)

    def path(self, up: Shape, down: Shape | None = None) -> LinkPath:
        """Shape the link, both directions alike by default, and return its path once it is empty and quiet.

        Raises:
            TestbedError: this kernel cannot shape it so, or something keeps crossing it.
        """
        down = down or up
        self.reshape(up, down)
        (path,) = paths_of(self.network)
        path = replace(path, up=up, down=down)
        if not wait_until_quiet([path]):
            raise TestbedError(f"link {LINK} does not fall quiet: something else sends on it")
        return path

    def reshape(self, up: Shape, down: Shape) -> None:
        """Give the link its shape. A test that wants a wrong link overrides this."""
        self.link.reshape(up, down)

    def capture(self, name: str, rate_bps: int | None = None) -> Capture:
        """A capture of the wire, both directions, into ``captures/<name>.pcap``; it starts when entered."""
        directory = self.directory / "captures"
        directory.mkdir(parents=True, exist_ok=True)
        return Capture(
            self.link.capture_interface, self.link.netns_path, directory / f"{name}.pcap", rate_bps
        )

    def wake_ups_ms(self) -> float:
        """What a lone ping takes beyond its delay on a link of unlimited rate, in ms: the median of 50.

        In a round trip the link process wakes up four times: in each direction when the frame arrives, and
        when it is due.
        """
        delay_ms = 10.0
        path = self.path(Shape(None, delay_ms=delay_ms))
        with ping_socket(path.child, path.parent) as pinger:
            for identity in (0x7C00, 0x7C01):  # the first train warms the host up
                times_ms = send_alone(ping_train(pinger, identity, 50, 0.02, PING_PAYLOAD_BYTES))
        return statistics.median(times_ms) - 2 * delay_ms

    @property
    def ends(self) -> LinkEnds:
        child, parent = self.network.topology.nodes
        return LinkEnds(child.mac, parent.mac)


def send_alone(*trains: Train) -> list[float]:
    """Send trains at the same time, and nothing else; the times of the first one's datagrams, in ms."""
    with promptly():
        run_trains(trains, last_wait_s=1.0)
    return trains[0].times_ms


def _two_sites() -> Topology:
    child = Node("device1", "device", 0, 1, node_ip(1), node_mac(1), "edge1")
    parent = Node("edge1", "edge", 1, 2, node_ip(2), node_mac(2), None)
    return Topology(
        (child, parent), (Link(LINK, "access", 1, child.name, parent.name, Shape(None), Shape(None)),)
    )
