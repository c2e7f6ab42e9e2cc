"""The links of the network as Mininet links: a site's own, unshaped, and the shaped WAN link.

Stock ``TCLink`` loses frames where no tap sees them, lets a burst pass unshaped and does not go back to 0
(DESIGN, "A WAN link"); ours keeps bottleneck, wire and way apart.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from testbed import shaping
from testbed.counters import CounterReader, Counters, QdiscCounters
from testbed.mininet_compat import Intf
from testbed.mininet_compat import Link as MininetLink
from testbed.netns import batch
from testbed.node import SiteHost
from testbed.plan import HOST_INTERFACE
from testbed.shaping import Shaper
from testbed.switch import SiteSwitch
from testbed.topology import DIRECTIONS, Direction, Link, Shape


@dataclass(frozen=True, slots=True)
class QueueDrops:
    """Frames of one direction that did not arrive, since the link was made.

    ``queue_dropped_frames`` were refused by the bottleneck's full queue and never sent; ``lost_frames`` were
    sent, and counted on the wire, and the way lost them; where it duplicates, the second copies that it lost
    are among them, though no wire saw those. ``emulator_dropped_frames`` should be 0: the kernel had no room
    to hand a frame from one end of the wire to the other.
    """

    queue_dropped_frames: int
    lost_frames: int
    emulator_dropped_frames: int = 0


class Port(Intf):
    """An interface that knows its addresses without asking ifconfig; the plan configures it."""

    mac: str | None

    def config(self, mac: str | None = None, ip: str | None = None, **_params: Any) -> dict[str, Any]:
        self.mac = mac or self.mac
        self.ip, _, prefix = (ip or "").partition("/")
        self.prefixLen = prefix or None
        return {}

    def delete(self) -> None:
        """Forget it; the kernel's interface goes with its namespace."""
        if self.node is not None:
            self.node.delIntf(self)
        self.link = None


class PlannedLink(MininetLink):
    """A veth pair that a plan makes."""

    @classmethod
    def makeIntfPair(cls, *_args: Any, **_params: Any) -> tuple[None, None]:
        """Nothing: the plan has it."""
        return None, None


class SiteLink(PlannedLink):
    """Between a host and the switch of its site: a cable of a room, unshaped (TCP's back-pressure would hide
    the WAN's congestion in a shaped one)."""

    def __init__(self, node1: SiteHost, node2: SiteSwitch, *, port_name: str, **params: Any) -> None:
        plan = node2.plan
        plan.create.append(
            f"link add {plan.add_port(port_name)} txqueuelen 1000 type veth peer name {HOST_INTERFACE} "
            f"address {node1.tier_node.mac} txqueuelen 1000 netns {node1.netns_path}"
        )
        node2.add_port(port_name, node1.tier_node.mac, isolated=False)
        params1 = {"ip": f"{node1.tier_node.ip}/32"}
        params.update(intf=Port, addr1=node1.tier_node.mac, addr2=None, params1=params1)
        super().__init__(node1, node2, intfName1=HOST_INTERFACE, intfName2=port_name, **params)


class CableLink(PlannedLink):
    """From the switch of a child's site to the one where a shared link begins, unshaped: what its children
    share is the link's own bottleneck."""

    def __init__(
        self, node1: SiteSwitch, node2: SiteSwitch, *, macs: tuple[str, str], number: int, **params: Any
    ) -> None:
        plan = node1.plan
        near, far = (f"{plan.prefix}a{number}{side}" for side in "cp")
        plan.create.append(
            f"link add {plan.add_port(near)} txqueuelen 1000 type veth peer {plan.add_port(far)} "
            "txqueuelen 1000"
        )
        child_mac, parent_mac = macs
        node1.add_port(near, parent_mac, isolated=True)
        node2.add_port(far, child_mac, isolated=True)
        params.update(intf=Port, addr1=None, addr2=None)
        super().__init__(node1, node2, intfName1=near, intfName2=far, **params)


@dataclass(frozen=True, slots=True)
class WireEnd:
    """One end of the wire: its interface, what delays arrivals there, the port of a switch that is apart."""

    wire: str
    way: str
    outer: str


class WanLink(PlannedLink):
    """Between two sites: for each direction bottleneck, wire, way.

    A shared link begins at a switch before which its children's sites are; all else is as with one child.

    Attributes:
        spec: what the scenario asks for; :meth:`reshape` does not change it.
        capture_interface: the wire's end below. A tap there sees both directions as sent.
        netns_path: the namespace in which that interface is.
        tc: carries out lines of tc(8) there.
    """

    def __init__(
        self,
        node1: SiteSwitch,
        node2: SiteSwitch,
        *,
        spec: Link,
        macs: tuple[Sequence[str], str],
        number: int,
        shaper: Shaper,
        **params: Any,
    ) -> None:
        self.spec = spec
        self.plan = plan = node1.plan
        self.shaper = shaper
        self.shapes: dict[Direction, Shape] = {"up": spec.up, "down": spec.down}
        self._child, self._parent = (
            WireEnd(*(f"{plan.prefix}{letter}{number}{side}" for letter in "wio")) for side in "cp"
        )
        self.capture_interface, self.netns_path = self._child.wire, plan.netns_path
        self.tc: Callable[[Sequence[str]], None] = partial(batch, plan.netns_path, "tc")
        self._reader: CounterReader | None = None
        self._dropped_before: dict[Direction, int] = {"up": 0, "down": 0}
        self._paced: frozenset[Direction] = frozenset()
        self._has_way = shaper == "netem" or node1.apart
        plan.create.append(
            f"link add name {self._child.wire} txqueuelen 1000 "
            f"type veth peer name {self._parent.wire} txqueuelen 1000"
        )
        children_macs, parent_mac = macs
        self._note_end(node1, self._child, [parent_mac], isolated=not spec.shared)
        self._note_end(node2, self._parent, children_macs, isolated=True)
        for direction, shape in self.shapes.items():
            shaping.require(shape, self.name, shaper)
            plan.shape += self._shape(direction, shape)
        params.update(intf=Port, addr1=None, addr2=None)
        names = {"intfName1": self._child.wire, "intfName2": self._parent.wire}
        super().__init__(node1, node2, **names, **params)

    @property
    def name(self) -> str:
        return self.spec.name

    def attach(self, reader: CounterReader) -> None:
        """Give the link the reader of its namespace, once its interfaces are there."""
        self._reader = reader

    def counters(self) -> dict[Direction, Counters]:
        """What crossed the wire in each direction: the kernel's 64-bit counters at its child's end."""
        interface = self._counters.interface(self.capture_interface)
        return {"up": interface.sent, "down": interface.received}

    def drops(self) -> dict[Direction, QueueDrops]:
        """What was refused before the wire and lost after it, in each direction."""
        return {direction: self._drops(direction) for direction in ("up", "down")}

    def held_frames(self) -> int:
        """Frames that wait in the link's queues or are on their way now; a quiet link holds none."""
        names = [self._child.wire, self._parent.wire]
        if self.shaper == "netem":
            names += [self._child.way, self._parent.way]
        return sum(self._counters.root_qdisc(name).held_frames for name in names)

    def backlog(self) -> dict[Direction, QdiscCounters]:
        """What waits in each direction's bottleneck now, a frame that is being serialised included."""
        return {
            direction: self._counters.root_qdisc(self._ends(direction)[0].wire) for direction in DIRECTIONS
        }

    def reshape(self, up: Shape, down: Shape) -> None:
        """Change the link under way. Frames in it stay, and what is not asked for goes back to 0.

        A new rate is that of frames which come from now on, unless the direction is paced (:meth:`pace`).

        Raises:
            TestbedError: this kernel cannot give such a shape; the link stays as it was.
        """
        wanted: dict[Direction, Shape] = {"up": up, "down": down}
        for shape in wanted.values():
            shaping.require(shape, self.name, self.shaper)
        self._apply(wanted, [])

    def _apply(self, wanted: dict[Direction, Shape], first: Sequence[str]) -> None:
        """``first``: commands of tc(8) that come before those of the shapes."""
        before = {direction: self._queue_drops(direction) for direction in wanted}
        shape_lines = [line for one, shape in wanted.items() for line in self._shape(one, shape)]
        self.tc([*first, *shape_lines])
        for direction in wanted:  # a queueing discipline of another kind counts from 0
            if self._queue_drops(direction) < before[direction]:
                self._dropped_before[direction] += before[direction]
        self.shapes = wanted

    def pace(self, directions: Iterable[Direction]) -> None:
        """Let a change of rate reach frames that wait in these directions' queues, and in no other's.

        (:func:`testbed.shaping.paced_bottleneck`.) To be called while the link is empty: what waits is lost.
        """
        if (paced := frozenset(directions)) != self._paced:
            roots = [shaping.paced_root(self._ends(one)[0].wire) for one in sorted(paced - self._paced)]
            self._paced = paced
            self._apply(self.shapes, roots)

    @property
    def wires(self) -> dict[Direction, str]:
        """The wire's end at which the frames of each direction arrive."""
        return {"up": self._parent.wire, "down": self._child.wire}

    @property
    def reader(self) -> CounterReader:
        """Counters of all interfaces of the link's namespace."""
        return self._counters

    @property
    def has_ingress(self) -> bool:
        """Whether what arrives at the wire's ends is filtered already, into the way."""
        return self._has_way

    def _note_end(self, switch: SiteSwitch, end: WireEnd, macs: Sequence[str], *, isolated: bool) -> None:
        """Lead one end of the wire into a switch, through what delays its arrivals.

        Of a Linux bridge the end is a port, and an ifb delays what arrives there. Open vSwitch changes the
        queueing of its ports as it likes, so a veth pair between port and wire delays what it hands on.
        """
        plan = self.plan
        plan.add_interface(end.wire)
        if switch.apart:
            plan.create.append(
                f"link add name {end.way} txqueuelen 1000 type veth peer {plan.add_port(end.outer)} "
                "txqueuelen 1000"
            )
            plan.shape += shaping.redirect(end.way, end.wire)
        elif self._has_way:
            plan.create.append(f"link add name {end.way} txqueuelen 1000 numtxqueues 1 type ifb")
        if self._has_way:
            plan.add_interface(end.way)
            plan.shape += shaping.redirect(end.wire, end.way)
        switch.add_port(end.outer if switch.apart else end.wire, *macs, isolated=isolated)

    def _shape(self, direction: Direction, shape: Shape) -> list[str]:
        sender, receiver = self._ends(direction)
        paced = direction in self._paced
        bottleneck = shaping.paced_bottleneck if paced else shaping.bottleneck
        lines = bottleneck(sender.wire, shape, self.shaper)
        return lines + shaping.way(receiver.way, shape, serialise=paced) if self.shaper == "netem" else lines

    def _drops(self, direction: Direction) -> QueueDrops:
        sender, receiver = self._ends(direction)
        lost, interfaces = 0, [sender.wire]
        if self.shaper == "netem":
            lost = self._counters.root_qdisc(receiver.way).dropped_frames
            interfaces.append(receiver.way)
        return QueueDrops(
            queue_dropped_frames=self._queue_drops(direction) + self._dropped_before[direction],
            lost_frames=lost,
            emulator_dropped_frames=sum(self._counters.interface(name).dropped_frames for name in interfaces),
        )

    def _queue_drops(self, direction: Direction) -> int:
        return self._counters.root_qdisc(self._ends(direction)[0].wire).dropped_frames

    def _ends(self, direction: Direction) -> tuple[WireEnd, WireEnd]:
        """The end that sends in ``direction``, and the one that receives."""
        return (self._child, self._parent) if direction == "up" else (self._parent, self._child)

    @property
    def _counters(self) -> CounterReader:
        if self._reader is None:
            raise RuntimeError(f"link {self.name} is not up")
        return self._reader
