"""The WAN link, as a Mininet link.

Mininet's ``TCLink`` loses frames where no tap sees them, lets a burst pass unshaped and cannot go back to 0.
Here the run's link process emulates bottleneck, wire and way one after the other (docs/LINK.md).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from testbed.network.cables import Port, WiredLink
from testbed.network.kernel.counters import CounterReader, Counters
from testbed.network.link_process.client import LinkProcess
from testbed.network.link_process.ring import FIRST_PORT_INDEX
from testbed.network.readings import DirectionReading, LinkCounts
from testbed.network.switch import SiteSwitch
from testbed.scenario.topology import DIRECTIONS, Direction, Link, Shape

Passages = Mapping[Direction, Sequence[tuple[CounterReader, str]]]
"""Interfaces that hand frames of a direction on, each with the reader of its namespace."""


@dataclass(frozen=True, slots=True)
class LinkEnd:
    """One side of a link: the switch's port, the other end of its cable, and the end of the wire."""

    outer: str
    port: str
    wire: str


class WanLink(WiredLink):
    """A WAN link between two sites: in each direction a bottleneck, a wire and a way.

    A frame that a site sends goes through the cable ``outer``-``port`` to the link process. The process lets
    it wait for the bottleneck, puts it on the wire, and hands it to the other site's port after its way.
    Nobody reads the wire's other end: there the kernel counts and a capture sees what was sent.

    A shared link begins at a switch to which its children's sites are cabled. ``macs`` are behind the link's
    lower and its upper end; ``passed``: frames of its child's children pass the child's switch on their way.

    Attributes:
        spec: the link of the scenario; :meth:`reshape` does not change it, :meth:`become` does.
        shapes: those of now.
        capture_interface: the wire's end below. A tap there sees both directions as sent.
        netns_path: the namespace in which that interface is.
    """

    def __init__(
        self,
        node1: SiteSwitch,
        node2: SiteSwitch,
        *,
        spec: Link,
        macs: tuple[Sequence[str], Sequence[str]],
        number: int,
        passed: bool,
        **params: Any,
    ) -> None:
        self.spec = spec
        wiring = node1.wiring
        self.shapes: dict[Direction, Shape] = {"up": spec.up, "down": spec.down}
        self.child, self.parent = (
            LinkEnd(*(f"{wiring.prefix}{letter}{number}{side}" for letter in "opw")) for side in "cp"
        )
        self.capture_interface, self.netns_path = self.child.wire, wiring.netns_path
        self._following: set[Direction] = set()
        wiring.add_veth(self.child.wire, self.parent.wire)
        for place, end in enumerate((self.child, self.parent)):
            index = FIRST_PORT_INDEX + 2 * number + place
            wiring.add_veth(end.port, end.outer, options=f"index {index}")
            wiring.interfaces += [end.port, end.wire]
        below_macs, above_macs = macs
        node1.add_port(self.child.outer, *above_macs, isolated=not (spec.shared or passed))
        node2.add_port(self.parent.outer, *below_macs, isolated=True)
        params.update(intf=Port, addr1=None, addr2=None)
        super().__init__(node1, node2, intfName1=self.child.outer, intfName2=self.parent.outer, **params)

    @property
    def name(self) -> str:
        return self.spec.name

    def attach(self, process: LinkProcess, reader: CounterReader, passages: Passages) -> None:
        """Carry frames from now on; to be called when the link's interfaces exist.

        Args:
            reader: of the link's namespace.
            passages: in each direction, the other interfaces that frames pass between the two hosts.
        """
        self._links, self._kernel, self._passages = process, reader, passages
        child, parent = ((end.port, end.wire) for end in (self.child, self.parent))
        process.add(self.name, child, parent, self.shapes)

    def counters(self) -> dict[Direction, Counters]:
        """What crossed the wire in each direction: the kernel's 64-bit counters at its child's end."""
        interface = self._kernel.interface(self.capture_interface)
        return {"up": interface.sent, "down": interface.received}

    def counts(self) -> dict[Direction, LinkCounts]:
        """What the link process counts in each direction."""
        return {direction: self._links.counts(self.name, direction) for direction in DIRECTIONS}

    def read(self) -> dict[Direction, DirectionReading]:
        """All counters of both directions; they are of the same moment only if the link is quiet."""
        wire, counts, readings = self.counters(), self.counts(), {}
        for direction in DIRECTIONS:
            near, far = (self.child, self.parent) if direction == "up" else (self.parent, self.child)
            senders = [(self._kernel, end) for end in (near.outer, near.wire, far.port)]
            senders += self._passages[direction]
            readings[direction] = DirectionReading(
                wire=wire[direction],
                port_in=self._kernel.interface(near.port).received,
                port_out=self._kernel.interface(far.port).sent,
                process=counts[direction],
                dropped_frames=sum(reader.interface(name).dropped_frames for reader, name in senders),
            )
        return readings

    def reshape(self, up: Shape, down: Shape) -> None:
        """Change the link's shapes at once, also for frames that wait; no frame is lost by it."""
        for direction, shape in zip(DIRECTIONS, (up, down), strict=True):
            before = self.shapes[direction]
            if shape == before:
                continue
            self._links.change(
                self.name,
                direction,
                shape,
                following=direction in self._following,
                same_delays=shape.delay_file == before.delay_file,
            )
            self.shapes[direction] = shape

    def become(self, spec: Link) -> None:
        """Be the link of another scenario from now on, with the same ends and, at once, its shapes."""
        self.spec = spec
        self.reshape(spec.up, spec.down)

    def follow(self, direction: Direction, opportunities_ms: Sequence[int]) -> None:
        """Let frames of a direction leave at a rate file's opportunities from now on, not at its rate."""
        self._links.change(
            self.name, direction, self.shapes[direction], opportunities_ms=opportunities_ms, same_delays=True
        )
        self._following.add(direction)

    def unfollow(self, direction: Direction) -> None:
        """Go back to the direction's rate."""
        self._following.discard(direction)
        self._links.change(self.name, direction, self.shapes[direction], same_delays=True)

    def cut(self) -> None:
        """Lose every frame after the wire from now on, in both directions. What is on its way arrives."""
        self._links.cut(self.name, cut=True)

    def mend(self) -> None:
        """Carry frames again."""
        self._links.cut(self.name, cut=False)
