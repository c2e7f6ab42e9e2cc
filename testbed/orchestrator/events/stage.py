"""What events act on: the network and the nodes of a run."""

from __future__ import annotations

from collections import defaultdict
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
    LinkBack,
    StillContainer,
)
from testbed.orchestrator.events.flow import Flow
from testbed.orchestrator.nodes.control import NodeControl
from testbed.scenario.patience import round_trip_s
from testbed.scenario.sections.event import Event
from testbed.scenario.sections.events import BackgroundFlow, flow_port
from testbed.scenario.timeline import under_events


class Stage:
    """A network and its nodes under one method; they are as the scenario has them unless a player is entered.

    Attributes:
        policy: the method's, for a tier that starts again.
        records: what nodes had recorded each time that they were killed, by node.
    """

    def __init__(
        self,
        events: Sequence[Event],
        network: Network,
        nodes: Sequence[NodeControl],
        policy: Mapping[str, Any],
    ) -> None:
        self.events, self.network, self.policy = tuple(events), network, policy
        self.nodes = {node.name: node for node in nodes}
        self.live = {link.name: LiveLink(link) for link in network.links}
        self.records: defaultdict[str, list[list[dict[str, Any]]]] = defaultdict(list)

    def effect(self, number: int) -> Effect:
        """What the event of that number does."""
        event = self.events[number]
        return EFFECTS[event.kind](self, event, number)

    def links(self, event: Event) -> list[WanLink]:
        """The links that an event concerns."""
        return [self.network.link(link.name) for link in event.links(self.network.topology)]

    def live_links(self, event: Event) -> list[LiveLink]:
        """The same links, to be changed while they carry frames."""
        return [self.live[link.name] for link in event.links(self.network.topology)]

    def flow(self, event: BackgroundFlow, number: int) -> Flow:
        """A background flow, patient enough for its link's figures and those that events give it."""
        names = {link.name for link in event.links(self.network.topology)}
        shapes = under_events(self.events, self.network.topology).links
        slowest_s = round_trip_s(link for link in shapes if link.name in names)
        source, target = self._endpoint(event.flow.source), self._endpoint(event.flow.target)
        return Flow(event, flow_port(number), source, target, slowest_s)

    def _endpoint(self, node: str) -> Endpoint:
        endpoint: Endpoint = self.network.net[node].endpoint
        return endpoint


EFFECTS: Mapping[str, Callable[[Stage, Any, int], Effect]] = {
    "set": lambda stage, event, _: ChangedFigures(event, stage.live_links(event)),
    "rate_file": lambda stage, event, _: FollowedFile(event, stage.live_links(event)),
    "down": lambda stage, event, _: DeadLink(stage.links(event)),
    "up": lambda *_: LinkBack(),
    "flow": lambda stage, event, number: stage.flow(event, number),
    "pause": lambda stage, event, _: StillContainer(stage.nodes[event.node]),
    "kill": lambda stage, event, _: KilledTier(stage.nodes[event.node], stage.policy, stage.records),
}
"""By kind of event."""
