"""A small tree of sites, and frames sent through it and timed where the kernel receives them."""

from __future__ import annotations

import contextlib
import itertools
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from testbed.host.processes.run_lock import new_run_id
from testbed.network.container import ContainerSpec
from testbed.network.kernel.netns import socket_in
from testbed.network.link import WanLink
from testbed.network.network import Network
from testbed.scenario.reports import Finding
from testbed.scenario.scenario import Scenario
from testbed.scenario.topology import Direction, Link, Node, Shape, Topology, node_ip, node_mac

HEADER_BYTES = 14 + 20 + 8
"""Ethernet, IP and UDP."""
FULL_PAYLOAD = 1514 - HEADER_BYTES
PORT = 9000
SLEEP = ("sleep", "infinity")
_SO_TIMESTAMPNS = 35
_SO_SNDBUFFORCE, _SO_RCVBUFFORCE = 32, 33
run_id = new_run_id


def tree(devices: int = 2, up: Shape | None = None, down: Shape | None = None) -> Topology:
    """Devices, their edge and a cloud; every link of the same shape."""
    up = up or Shape(None)
    down = down or up
    names = [*(f"device{n}" for n in range(1, devices + 1)), "edge1", "cloud1"]
    parents = {**dict.fromkeys(names[:devices], "edge1"), "edge1": "cloud1", "cloud1": None}
    level = {"device": 0, "edge": 1, "cloud": 2}
    nodes = [
        Node(
            name,
            name.rstrip("0123456789"),
            level[name.rstrip("0123456789")],
            n,
            node_ip(n),
            node_mac(n),
            parent,
        )
        for n, (name, parent) in enumerate(parents.items(), 1)
    ]
    links = [
        Link(
            f"{node.name}-{node.parent}",
            "core" if node.level else "access",
            n,
            node.name,
            node.parent,
            up,
            down,
        )
        for n, node in enumerate(nodes, 1)
        if node.parent is not None
    ]
    return Topology(tuple(nodes), tuple(links))


def laid_out(tiers: Sequence[dict[str, Any]], links: Sequence[dict[str, Any]], **more: Any) -> Topology:
    """The topology of a scenario with these tiers, whose models nobody asks, and these links."""
    model = {"model": {"kind": "recorded", "service": "1ms"}, "cpus": 0.1, "memory": "64MiB"}
    scenario = Scenario.model_validate(
        {
            "name": "lab",
            "task": {"kind": "classification", "dataset": "rotten_tomatoes"},
            "tiers": [{**model, **tier} for tier in tiers],
            "links": list(links),
            "methods": [{"name": f"{tiers[-1]['name']}-only"}],
            "trace": {"requests": 1, "arrivals": {"rate": 1.0}},
            **more,
        }
    )
    return scenario.topology


@contextlib.contextmanager
def connected(network: Network, client: str, server: str) -> Iterator[tuple[socket.socket, socket.socket]]:
    """A TCP connection between two neighbours: the client's socket, and the server's."""
    near, far = network.net[client], network.net[server]
    with (
        socket_in(far.netns_path) as listener,
        socket_in(near.netns_path) as out,
    ):
        listener.bind((far.IP(), 0))
        listener.listen()
        listener.settimeout(30)
        out.settimeout(30)
        out.connect(listener.getsockname())
        accepted, _ = listener.accept()
        accepted.settimeout(30)
        with accepted:
            yield out, accepted


def up(topology: Topology) -> Network:
    """Its network with bare namespaces as hosts, to be entered."""
    return Network(topology, run_id(), hosts="namespace")


def asleep(topology: Topology, *others: ContainerSpec) -> list[ContainerSpec]:
    """A container that sleeps for each node that is not among ``others``."""
    busy = {spec.node for spec in others}
    names = [node.name for node in topology.nodes if node.name not in busy]
    return [*others, *(ContainerSpec(name, command=SLEEP) for name in names)]


@dataclass(frozen=True)
class Arrival:
    """A frame by its number, and when the kernel received it (CLOCK_REALTIME)."""

    number: int
    at_ns: int


class Receiver:
    """Collects numbered datagrams at a node, with the kernel's time stamps."""

    def __init__(self, netns_path: str, ip: str) -> None:
        self.arrivals: list[Arrival] = []
        self._socket = socket_in(netns_path, socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, 32 << 20)
        self._socket.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        self._socket.bind((ip, PORT))
        self._socket.settimeout(0.1)
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._receive, daemon=True)
        self._thread.start()

    def _receive(self) -> None:
        while not self._stopped.is_set():
            with contextlib.suppress(TimeoutError):
                data, ancillary, _, _ = self._socket.recvmsg(2048, 64)
                seconds, nanoseconds = struct.unpack("qq", ancillary[0][2][:16])
                number = struct.unpack_from("!I", data)[0]
                self.arrivals.append(Arrival(number, seconds * 10**9 + nanoseconds))

    def close(self) -> None:
        self._stopped.set()
        self._thread.join(10)
        self._socket.close()


@dataclass(frozen=True)
class Way:
    """Two neighbours, to send between them."""

    sender: socket.socket
    to: str
    receiver: Receiver

    def send(self, number: int, payload_bytes: int = FULL_PAYLOAD) -> int:
        """Send one datagram and return when (CLOCK_REALTIME, ns)."""
        data = struct.pack("!I", number).ljust(payload_bytes, b"x")
        at_ns = time.time_ns()
        self.sender.sendto(data, (self.to, PORT))
        return at_ns

    def burst(self, frames: int, payload_bytes: int = FULL_PAYLOAD, gap_s: float = 0.0) -> dict[int, int]:
        """Send ``frames`` datagrams, one each ``gap_s`` seconds; when each was sent, by number."""
        start = time.monotonic()
        sent = {}
        for number in range(frames):
            pause = start + number * gap_s - time.monotonic()
            if pause > 0:
                time.sleep(pause)
            sent[number] = self.send(number, payload_bytes)
        return sent

    def delays_ms(self, frames: int, payload_bytes: int, gap_s: float) -> list[float]:
        """One-way delay of each of ``frames`` frames that arrived, in order of arrival."""
        sent = self.burst(frames, payload_bytes, gap_s)
        settle(lambda: len(self.receiver.arrivals))
        return [(arrival.at_ns - sent[arrival.number]) / 1e6 for arrival in self.receiver.arrivals]


@contextlib.contextmanager
def path(network: Network, sender: str, receiver: str) -> Iterator[Way]:
    """From one node to a neighbour of it."""
    near, far = network.net[sender], network.net[receiver]
    collector = Receiver(far.netns_path, far.IP())
    with socket_in(near.netns_path, socket.AF_INET, socket.SOCK_DGRAM) as out:
        out.setsockopt(socket.SOL_SOCKET, _SO_SNDBUFFORCE, 32 << 20)
        try:
            yield Way(out, far.IP(), collector)
        finally:
            collector.close()


@contextlib.contextmanager
def flood(network: Network, sender: str, receiver: str, gap_s: float) -> Iterator[None]:
    """Full frames from one node to a neighbour, one each ``gap_s``, to a socket that nobody reads."""
    near, far = network.net[sender], network.net[receiver]
    stopped = threading.Event()

    def send(out: socket.socket) -> None:
        data, start = bytes(FULL_PAYLOAD), time.monotonic()
        for number in itertools.count():
            if stopped.is_set():
                return
            if (pause := start + number * gap_s - time.monotonic()) > 0.005:  # a tick, and then several
                time.sleep(pause)
            out.send(data)

    with socket_in(far.netns_path, socket.AF_INET, socket.SOCK_DGRAM) as sink:
        sink.bind((far.IP(), 0))
        with socket_in(near.netns_path, socket.AF_INET, socket.SOCK_DGRAM) as out:
            out.connect(sink.getsockname())
            thread = threading.Thread(target=send, args=(out,), daemon=True)
            thread.start()
            try:
                yield
            finally:
                stopped.set()
                thread.join(10)


def measured_bps(link: WanLink, direction: Direction = "up", seconds: float = 2.0) -> float:
    """Rate of frames on the wire while more is sent than it carries."""
    before = link.counts()[direction].refused_frames
    while link.counts()[direction].refused_frames == before:  # from here on the queue is never empty
        time.sleep(0.01)
    first, start = link.counters()[direction].bytes, time.monotonic()
    time.sleep(seconds)
    last, end = link.counters()[direction].bytes, time.monotonic()
    return (last - first) * 8 / (end - start)


def in_flight(link: WanLink) -> int:
    """Frames in a link, waiting or on their way, in both directions."""
    return sum(counts.waiting_frames + counts.held_frames for counts in link.counts().values())


def settle(value: Callable[[], object], quiet_s: float = 0.6, timeout_s: float = 30.0) -> None:
    """Return when ``value`` has not changed for ``quiet_s`` seconds."""
    deadline = time.monotonic() + timeout_s
    last, since = value(), time.monotonic()
    while time.monotonic() - since < quiet_s:
        if time.monotonic() > deadline:
            raise TimeoutError("it does not settle")
        time.sleep(0.05)
        if (now := value()) != last:
            last, since = now, time.monotonic()


def failures(findings: Sequence[Finding]) -> list[Finding]:
    """Measurements that were not as configured."""
    return [finding for finding in findings if finding.ok is False]


def frames(network: Network) -> dict[str, tuple[int, int]]:
    """Frames that crossed each link, up and down."""
    return {
        link.name: (link.counters()["up"].frames, link.counters()["down"].frames) for link in network.links
    }


def raw_frame(network: Network, sender: str, destination_mac: str, source_mac: str, payload: bytes) -> None:
    """Put a frame of our own making on a node's interface."""
    with socket_in(network.net[sender].netns_path, socket.AF_PACKET, socket.SOCK_RAW) as out:
        out.bind(("eth0", 0))
        ends = bytes.fromhex((destination_mac + source_mac).replace(":", ""))
        out.send(ends + b"\x88\xb5" + payload.ljust(46, b"\0"))  # an EtherType for experiments


def lower_quartile(values: Sequence[float]) -> float:
    return sorted(values)[len(values) // 4]
