"""What all kinds of events have in common: when they are, what they concern, and what they change."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

from pydantic import Field

from testbed.scenario.sections.section import DeadlineS, MomentS, Section
from testbed.scenario.topology import DIRECTIONS, Direction, Link, Topology


class Event(Section):
    """Something that happens ``at_s`` after a method's start.

    ``for_s``: after that time it is over, and what it changed is as the scenario has it.
    """

    key: ClassVar[str]
    """The key of a scenario's mapping that tells this kind of event."""
    ends_by_itself: ClassVar[bool] = False
    """Whether it is over in its own time, without anybody to end it."""

    at_s: MomentS = Field(validation_alias="at")
    for_s: DeadlineS | None = Field(default=None, validation_alias="for")

    @property
    def kind(self) -> str:
        """The word for it in a run's tables."""
        return self.key

    @property
    @abstractmethod
    def target(self) -> str:
        """The link, the node, or the flow's ends."""

    @property
    def end_s(self) -> float | None:
        """When it is over by itself; to the microsecond, for 1.1 and 2.2 make a little more than 3.3."""
        return None if self.for_s is None else round(self.at_s + self.for_s, 6)

    def links(self, topology: Topology) -> list[Link]:
        """The links that it concerns."""
        return []

    @property
    def directions(self) -> tuple[Direction, ...]:
        """The directions of these links that it concerns."""
        return DIRECTIONS

    @abstractmethod
    def check_target(self, topology: Topology, field: str) -> None:
        """Refuse a link or a node that is not there.

        Args:
            field: the event's path in the scenario.

        Raises:
            PydanticCustomError: in one sentence.
        """

    def occupies(self, topology: Topology) -> Iterator[tuple[str, str]]:
        """What it has to itself, so that no other event may change it meanwhile: in words, and of what."""
        yield from ()

    def occupies_until_s(self, events: Sequence[Event], topology: Topology) -> float:
        """Until when it has that to itself, among all ``events`` of the scenario."""
        return math.inf if self.end_s is None else self.end_s

    def ends(self, other: Event, topology: Topology) -> bool:
        """Whether it ends another event that has no end of its own."""
        return False

    @property
    def given(self) -> Mapping[str, Any]:
        """The fields of the links' shapes that it changes, with their values."""
        return {}

    @property
    def peak_bps(self) -> int | None:
        """The highest rate that it lets the links have, if it makes their rate follow a file."""
        return None
