"""A link that is down: what is sent crosses the wire, where it is counted and captured, and then is lost.

Frames that arrive at either end of the wire are led into a veth pair that nobody listens to, ahead of way and
switch (tc(8), u32 and mirred: on every kernel that redirects at all). Bottleneck, way and what is in flight
stay as they are, and the pair's own counters say how many frames were lost by it.
"""

from __future__ import annotations

from testbed.link import WanLink
from testbed.netns import batch, quieten_interfaces, wait_running
from testbed.topology import DIRECTIONS, Direction

_DISCARD = "ingress protocol all pref 1"
"""Ahead of the filter that leads into the way, whose preference is the kernel's choice of a high number."""


class CuttableLink:
    """A WAN link with what it takes to cut it; to be made while the link is empty."""

    def __init__(self, link: WanLink) -> None:
        self._link = link
        self._wires = link.wires
        self._sinks: dict[Direction, str] = {}
        self.down = False
        lines, names = [], []
        for direction, wire in self._wires.items():
            number = wire.removeprefix(f"{link.plan.prefix}w")
            sink, far = (f"{link.plan.prefix}{letter}{number}" for letter in "xy")
            self._sinks[direction] = sink
            names += [sink, far]
            lines.append(f"link add name {sink} type veth peer name {far}")
        batch(link.netns_path, "ip", lines)
        quieten_interfaces(link.netns_path, names)
        batch(link.netns_path, "ip", [f"link set dev {name} up" for name in names])
        wait_running(link.netns_path, names)
        if not link.has_ingress:
            batch(
                link.netns_path, "tc", [f"qdisc replace dev {wire} ingress" for wire in self._wires.values()]
            )

    def cut(self) -> None:
        """From now on every frame is lost, in both directions."""
        self._filter("add", "u32 match u32 0 0 action mirred egress redirect dev")
        self.down = True

    def mend(self) -> None:
        """The link carries frames again. Done twice it does nothing."""
        if self.down:
            self._filter("del", None)
            self.down = False

    def lost_frames(self) -> dict[Direction, int]:
        """Frames lost while it was cut, since this object was made."""
        return {
            direction: self._link.reader.interface(self._sinks[direction]).sent.frames
            for direction in DIRECTIONS
        }

    def _filter(self, verb: str, what: str | None) -> None:
        lines = []
        for direction, wire in self._wires.items():
            line = f"filter {verb} dev {wire} {_DISCARD}"
            lines.append(line if what is None else f"{line} {what} {self._sinks[direction]}")
        self._link.tc(lines)
