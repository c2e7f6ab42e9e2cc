"""What changes on the way (``events:`` of a scenario), as frozen data; times count from a method's start."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BeforeValidator,
    Discriminator,
    Field,
    Tag,
    ValidationInfo,
    field_validator,
    model_validator,
)

from testbed.errors import TestbedError
from testbed.scenario.reading.mistakes import mistake
from testbed.scenario.reading.rate_file import read_rate_trace
from testbed.scenario.sections.link_figures import shape_fields
from testbed.scenario.sections.links import MAX_QUEUE_FRAMES, WireFigures
from testbed.scenario.sections.section import Count, DeadlineS, MomentS, RateBps, Section, find_file
from testbed.scenario.topology import DIRECTIONS, Direction


class LinkFigures(WireFigures):
    """Figures of a link that are to change; those that are not named stay."""

    queue_frames: Annotated[Count, Field(le=MAX_QUEUE_FRAMES)] | None = Field(
        default=None, validation_alias="queue"
    )

    @property
    def given(self) -> dict[str, Any]:
        """By the names that a link's shape has for them, with all that goes with each."""
        figures = {name: getattr(self, name) for name in type(self).model_fields}
        return shape_fields({name: value for name, value in figures.items() if value is not None})

    @model_validator(mode="after")
    def _something(self) -> LinkFigures:
        if not self.given:
            raise mistake("changes nothing; give a rate, delay, jitter, loss, duplicate, reorder or queue")
        return self


class _Event(Section):
    """``for_s``: after that time it is over, and what it changed is as the scenario has it."""

    at_s: MomentS = Field(validation_alias="at")
    for_s: DeadlineS | None = Field(default=None, validation_alias="for")

    @property
    def end_s(self) -> float | None:
        """When it is over by itself; to the microsecond, for 1.1 and 2.2 make a little more than 3.3."""
        return None if self.for_s is None else round(self.at_s + self.for_s, 6)


class _OfLink(_Event):
    """``link``: an entry's name, for all of its links, or one link's own, such as ``device1-edge1``."""

    link: str


class _OfDirection(_OfLink):
    direction: Direction | None = None

    @property
    def directions(self) -> tuple[Direction, ...]:
        return DIRECTIONS if self.direction is None else (self.direction,)


class LinkChange(_OfDirection):
    """A link's figures change; without ``for_s`` until another event changes them."""

    figures: LinkFigures = Field(validation_alias="set")


class LinkDown(_OfLink):
    """A link is down: all frames are lost, both ways; without ``for_s`` until a :class:`LinkUp`."""

    down: Literal[True]


class LinkUp(_OfLink):
    """A link that is down is up again."""

    up: Literal[True]
    for_s: None = Field(default=None, validation_alias="for")


class RateFile(_OfDirection):
    """A link's frames leave at the opportunities of a file in mahimahi's format, from the file's start."""

    rate_file: str

    @field_validator("rate_file")
    @classmethod
    def _readable(cls, file: str, info: ValidationInfo) -> str:
        path = find_file(file, info.context)
        if info.context is not None:
            try:
                read_rate_trace(Path(path))
            except TestbedError as error:
                raise mistake(str(error)) from None
        return path


class FlowEnds(Section):
    """Traffic from one node to a neighbour of it; ``rate_bps`` is of payload, as iperf3 has it."""

    source: str = Field(validation_alias="from")
    target: str = Field(validation_alias="to")
    rate_bps: RateBps = Field(validation_alias="rate")
    protocol: Literal["tcp", "udp"] = "tcp"


class BackgroundFlow(_Event):
    """Traffic of someone else's, between two neighbouring sites."""

    flow: FlowEnds
    for_s: DeadlineS = Field(validation_alias="for")

    @field_validator("for_s")
    @classmethod
    def _whole_seconds(cls, for_s: float) -> float:
        if for_s != int(for_s):
            raise mistake("iperf3 sends for whole seconds; write one such as 5s")
        return for_s


class NodeEvent(_Event):
    """A node's container stands still (``pause``), or its server is killed (``kill``) and starts again."""

    node: str
    do: Literal["pause", "kill"]


_KINDS: dict[str, type[_Event]] = {
    "set": LinkChange,
    "down": LinkDown,
    "up": LinkUp,
    "rate_file": RateFile,
    "flow": BackgroundFlow,
    "do": NodeEvent,
}


def _kinds(value: dict[str, Any]) -> list[str]:
    """The kinds that a mapping could be, a person's or a manifest's."""
    return [key for key in _KINDS if key in value or (key == "set" and "figures" in value)]


def _kind(value: Any) -> str:
    if isinstance(value, _Event):
        return next(f"<{key}>" for key, kind in _KINDS.items() if isinstance(value, kind))
    return f"<{_kinds(value)[0]}>"


def _known_kind(value: Any) -> Any:
    """Refuse what is no event, or several, before the section of one kind looks at it."""
    if isinstance(value, _Event):
        return value
    if not isinstance(value, dict):
        raise mistake("must be a mapping such as {at: 10s, link: core, set: {rate: 5mbit}}")
    keys = _kinds(value)
    if len(keys) != 1:
        raise mistake(
            f"says {'both ' + ' and '.join(keys[:2]) if keys else 'nothing that happens'}; "
            f"give one of {', '.join(_KINDS)}"
        )
    return value


Event = Annotated[
    Annotated[LinkChange, Tag("<set>")]
    | Annotated[LinkDown, Tag("<down>")]
    | Annotated[LinkUp, Tag("<up>")]
    | Annotated[RateFile, Tag("<rate_file>")]
    | Annotated[BackgroundFlow, Tag("<flow>")]
    | Annotated[NodeEvent, Tag("<do>")],
    Discriminator(_kind),
    BeforeValidator(_known_kind),
]
"""One entry of ``events:``."""

AnyEvent = LinkChange | LinkDown | LinkUp | RateFile | BackgroundFlow | NodeEvent


def kind_of(event: AnyEvent) -> str:
    """``set``, ``down``, ``up``, ``rate_file``, ``flow``, ``pause`` or ``kill``."""
    return event.do if isinstance(event, NodeEvent) else _kind(event).strip("<>")


def target_of(event: AnyEvent) -> str:
    """The link, the node, or the flow's ends."""
    if isinstance(event, BackgroundFlow):
        return f"{event.flow.source}-{event.flow.target}"
    return event.node if isinstance(event, NodeEvent) else event.link
