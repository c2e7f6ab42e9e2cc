"""What changes on the way (``events:`` of a scenario), as frozen data; times count from a method's start."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, SerializeAsAny, ValidationInfo, field_validator, model_validator

from testbed.errors import TestbedError
from testbed.scenario.reading.mistakes import mistake, nearest
from testbed.scenario.reading.rate_file import read_rate_trace
from testbed.scenario.reading.units import parse_rate_bps
from testbed.scenario.sections.event import Event
from testbed.scenario.sections.link_figures import shape_fields
from testbed.scenario.sections.links import MAX_QUEUE_FRAMES, WireFigures
from testbed.scenario.sections.section import (
    MOST_RATE,
    Count,
    DeadlineS,
    FileContext,
    HostFile,
    RateBps,
    Section,
    chosen,
)
from testbed.scenario.topology import DIRECTIONS, Direction, Link, Topology

_FIGURE_WORDS = {
    "rate_bps": "rate",
    "delay_ms": "delay",
    "delay_file": "delay",
    "jitter_ms": "jitter",
    "jitter_distribution": "jitter",
    "bursts": "loss",
    "queue_frames": "queue",
}
"""A scenario's words for the fields of a shape."""


class LinkFigures(WireFigures):
    """Figures of a link that are to change; those that are not named stay."""

    queue_frames: Annotated[Count, Field(le=MAX_QUEUE_FRAMES)] | None = Field(
        default=None, validation_alias="queue"
    )

    @property
    def given(self) -> dict[str, Any]:
        """By the names that a link's shape has for them, with all that goes with each."""
        return shape_fields({name: value for name, value in self if value is not None})

    @model_validator(mode="after")
    def _something(self) -> LinkFigures:
        if not self.given:
            raise mistake("changes nothing; give a rate, delay, jitter, loss, duplicate, reorder or queue")
        return self


class _OfLink(Event):
    """``link``: an entry's name, for all of its links, or one link's own, such as ``device1-edge1``."""

    link: str

    @property
    def target(self) -> str:
        return self.link

    def links(self, topology: Topology) -> list[Link]:
        of_entry = [link for link in topology.links if link.entry == self.link]
        return of_entry or [link for link in topology.links if link.name == self.link]

    def check_target(self, topology: Topology, field: str) -> None:
        if not self.links(topology):
            known = [link.entry for link in topology.links] + [link.name for link in topology.links]
            raise mistake(
                f"no link {self.link!r}; {nearest(self.link, dict.fromkeys(known))}", f"{field}.link"
            )


class _OfDirection(_OfLink):
    """``direction``: the one that is concerned; both, if it is not given."""

    direction: Direction | None = None

    @property
    def directions(self) -> tuple[Direction, ...]:
        return DIRECTIONS if self.direction is None else (self.direction,)

    def _figures_of(self, topology: Topology, words: Iterable[str]) -> Iterator[tuple[str, str]]:
        for link in self.links(topology):
            for word in dict.fromkeys(words):
                for direction in self.directions:
                    yield f"the {word} ({direction})", link.name


class LinkChange(_OfDirection):
    """A link's figures change; without ``for_s`` until another event changes them."""

    key = "set"

    figures: LinkFigures = Field(validation_alias="set")

    def occupies(self, topology: Topology) -> Iterator[tuple[str, str]]:
        return self._figures_of(topology, [_FIGURE_WORDS.get(name, name) for name in self.given])

    def occupies_until_s(self, events: Sequence[Event], topology: Topology) -> float:
        """A change that lasts has its figures to itself for but a moment: the next one may follow."""
        return self.at_s if self.end_s is None else self.end_s

    @property
    def given(self) -> dict[str, Any]:
        return self.figures.given


class LinkDown(_OfLink):
    """A link is down: all frames are lost, both ways; without ``for_s`` until a :class:`LinkUp`."""

    key = "down"

    down: Literal[True]

    def occupies(self, topology: Topology) -> Iterator[tuple[str, str]]:
        for link in self.links(topology):
            yield "the state", link.name

    def occupies_until_s(self, events: Sequence[Event], topology: Topology) -> float:
        if self.end_s is not None:
            return self.end_s
        names = {link.name for link in self.links(topology)}
        ups_s = [
            event.at_s
            for event in events
            if isinstance(event, LinkUp)
            and event.at_s > self.at_s
            and names & {link.name for link in event.links(topology)}
        ]
        return min(ups_s, default=math.inf)


class LinkUp(_OfLink):
    """A link that is down is up again."""

    key = "up"

    up: Literal[True]
    for_s: None = Field(default=None, validation_alias="for")

    def ends(self, other: Event, topology: Topology) -> bool:
        return isinstance(other, LinkDown) and other.links(topology) == self.links(topology)


class RateFile(_OfDirection):
    """A link's frames leave at the opportunities of a file in mahimahi's format, from the file's start."""

    key = "rate_file"

    rate_file: HostFile

    @field_validator("rate_file")
    @classmethod
    def _readable(cls, file: str, info: ValidationInfo) -> str:
        if info.context is not None:
            try:
                peak_bps = read_rate_trace(Path(file)).peak_bps
            except TestbedError as error:
                raise mistake(str(error)) from None
            if peak_bps > parse_rate_bps(MOST_RATE):
                raise mistake(f"reaches {peak_bps / 1e9:.0f} Gbit/s, and a rate may be {MOST_RATE} at most")
        return file

    def occupies(self, topology: Topology) -> Iterator[tuple[str, str]]:
        return self._figures_of(topology, ["rate"])

    @property
    def peak_bps(self) -> int:
        return _peak_bps(self.rate_file, Path(self.rate_file).stat().st_mtime_ns)


@functools.lru_cache(maxsize=64)
def _peak_bps(rate_file: str, _changed_ns: int) -> int:
    return read_rate_trace(Path(rate_file)).peak_bps


class FlowEnds(Section):
    """Traffic from one node to a neighbour of it; ``rate_bps`` is of payload, as iperf3 has it."""

    source: str = Field(validation_alias="from")
    target: str = Field(validation_alias="to")
    rate_bps: RateBps = Field(validation_alias="rate")
    protocol: Literal["tcp", "udp"] = "tcp"


FIRST_FLOW_PORT = 20_000
"""Of the first event's flow; the second event's has the next. Far from the tiers' ports."""


class BackgroundFlow(Event):
    """Traffic of someone else's, between two neighbouring sites."""

    key = "flow"
    ends_by_itself = True

    flow: FlowEnds
    for_s: DeadlineS = Field(validation_alias="for")

    @field_validator("for_s")
    @classmethod
    def _whole_seconds(cls, for_s: float) -> float:
        if for_s != int(for_s):
            raise mistake("iperf3 sends for whole seconds; write one such as 5s")
        return for_s

    @property
    def target(self) -> str:
        return f"{self.flow.source}-{self.flow.target}"

    def links(self, topology: Topology) -> list[Link]:
        """The link that it uses."""
        return [link for link in topology.links if self.flow.target in link.across(self.flow.source)]

    def check_target(self, topology: Topology, field: str) -> None:
        flow, nodes = self.flow, [node.name for node in topology.nodes]
        for key, name in (("from", flow.source), ("to", flow.target)):
            if name not in nodes:
                raise mistake(f"no node {name!r}; {nearest(name, nodes)}", f"{field}.flow.{key}")
        if not self.links(topology):
            near = [name for link in topology.links for name in link.across(flow.source)]
            raise mistake(
                f"no link joins {flow.source} and {flow.target}, and no route leads past a tier; "
                f"{flow.source} has {', '.join(near) or 'no neighbour'}",
                f"{field}.flow.to",
            )


class NodeEvent(Event):
    """A node's container stands still (``pause``), or its server is killed (``kill``) and starts again."""

    key = "do"

    node: str
    do: Literal["pause", "kill"]

    @property
    def kind(self) -> str:
        return self.do

    @property
    def target(self) -> str:
        return self.node

    def check_target(self, topology: Topology, field: str) -> None:
        nodes = [node.name for node in topology.nodes]
        if self.node not in nodes:
            raise mistake(f"no node {self.node!r}; {nearest(self.node, nodes)}", f"{field}.node")

    def occupies(self, topology: Topology) -> Iterator[tuple[str, str]]:
        yield "the state", self.node


KINDS: tuple[type[Event], ...] = (LinkChange, LinkDown, LinkUp, RateFile, BackgroundFlow, NodeEvent)


def _section(value: Any, _context: FileContext | None) -> tuple[type[Event], dict[str, Any]]:
    """The section of an event's kind; what is no event, or several, is refused before that looks at it."""
    if not isinstance(value, dict):
        raise mistake("must be a mapping such as {at: 10s, link: core, set: {rate: 5mbit}}")
    kinds = [kind for kind in KINDS if _keys_of(kind) & value.keys()]
    if len(kinds) != 1:
        several = " and ".join(kind.key for kind in kinds[:2])
        raise mistake(
            f"says {f'both {several}' if kinds else 'nothing that happens'}; "
            f"give one of {', '.join(kind.key for kind in KINDS)}"
        )
    return kinds[0], value


def _keys_of(kind: type[Event]) -> set[str]:
    """What tells a kind: its key in a scenario, and the name of that field in a manifest."""
    fields = kind.model_fields.items()
    return {kind.key} | {name for name, field in fields if field.validation_alias == kind.key}


AnyEvent = Annotated[SerializeAsAny[Event], chosen(_section)]
"""One entry of ``events:``."""


def flow_port(number: int) -> int:
    """TCP and UDP port of the flow of the event with that number, from 0."""
    return FIRST_FLOW_PORT + number


def flow_ports(events: tuple[Event, ...]) -> frozenset[int]:
    """The ports of all flows among the events."""
    return frozenset(
        flow_port(number) for number, event in enumerate(events) if isinstance(event, BackgroundFlow)
    )
