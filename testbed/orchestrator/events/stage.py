"""What events act on: the network and the nodes of a run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from testbed.network.endpoint import Endpoint
from testbed.network.link import WanLink
from testbed.network.live_link import LiveLink
from testbed.network.network import Network
from testbed.orchestrator.events.effects import (
    ChangedFigures,
    DeadLink,
    Effect,
    FollowedFile,
    KilledTier,
    StillContainer,
    Traffic,
)
from testbed.orchestrator.nodes.control import NodeControl
from testbed.scenario.sections.event import Event
from testbed.scenario.sections.events import BackgroundFlow, LinkChange, LinkDown, NodeEvent, RateFile

Keep = Callable[[str, Any], None]
"""Is given a node's name and its records."""


class Stage:
    """A network with what its events need; it is as the scenario has it, but while a player is entered."""

    def __init__(self, events: Sequence[Event], network: Network, nodes: Sequence[NodeControl]) -> None:
        self.events, self.network = tuple(events), network
        self.nodes = {node.name: node for node in nodes}
        self.live = {link.name: LiveLink(link) for link in network.links}

    def effect(self, number: int, policy: Mapping[str, Any], keep: Keep) -> Effect | None:
        """What the event of that number does; ``None`` where it does nothing but end another.

        Args:
            policy: the method's, for a tier that starts again.
            keep: is given what a node had recorded before it was killed.
        """
        event = self.events[number]
        return EFFECTS[event.kind](self, event, number, policy, keep)

    def links(self, event: Event) -> list[WanLink]:
        """The links that an event concerns."""
        return [self.network.link(link.name) for link in event.links(self.network.topology)]

    def live_links(self, event: Event) -> list[LiveLink]:
        """The same links, to be changed while they carry frames."""
        return [self.live[link.name] for link in event.links(self.network.topology)]

    def endpoint(self, node: str) -> Endpoint:
        """Where an end of a flow is."""
        endpoint: Endpoint = self.network.net[node].endpoint
        return endpoint


def _changed_figures(stage: Stage, event: LinkChange, *_: Any) -> Effect:
    return ChangedFigures(event, stage.live_links(event))


def _followed_file(stage: Stage, event: RateFile, *_: Any) -> Effect:
    return FollowedFile(event, stage.live_links(event))


def _dead_link(stage: Stage, event: LinkDown, *_: Any) -> Effect:
    return DeadLink(stage.links(event))


def _traffic(stage: Stage, event: BackgroundFlow, number: int, *_: Any) -> Effect:
    return Traffic(event, number, stage.endpoint(event.flow.source), stage.endpoint(event.flow.target))


def _still_container(stage: Stage, event: NodeEvent, *_: Any) -> Effect:
    return StillContainer(stage.nodes[event.node])


def _killed_tier(
    stage: Stage, event: NodeEvent, _number: int, policy: Mapping[str, Any], keep: Keep
) -> Effect:
    return KilledTier(stage.nodes[event.node], policy, lambda records: keep(event.node, records))


def _nothing(*_: Any) -> None:
    """A link that comes up does but end the event that took it down."""


EFFECTS: Mapping[str, Callable[[Stage, Any, int, Mapping[str, Any], Keep], Effect | None]] = {
    "set": _changed_figures,
    "rate_file": _followed_file,
    "down": _dead_link,
    "flow": _traffic,
    "pause": _still_container,
    "kill": _killed_tier,
    "up": _nothing,
}
"""By kind of event."""
