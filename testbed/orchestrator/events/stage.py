"""What events act on: the network and the nodes of a run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

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
from testbed.scenario.sections.events import (
    AnyEvent,
    BackgroundFlow,
    LinkChange,
    LinkDown,
    NodeEvent,
    RateFile,
)
from testbed.scenario.timeline import links_of


class Stage:
    """A network with what its events need; it is as the scenario has it, but while a player is entered."""

    def __init__(self, events: Sequence[AnyEvent], network: Network, nodes: Sequence[NodeControl]) -> None:
        self.events, self.network = tuple(events), network
        self.nodes = {node.name: node for node in nodes}
        self.live = {link.name: LiveLink(link) for link in network.links}

    def effect(
        self, number: int, policy: Mapping[str, Any], keep: Callable[[str, Any], None]
    ) -> Effect | None:
        """What the event of that number does; a :class:`LinkUp` does nothing but end another."""
        event = self.events[number]
        live = [self.live[link] for link in self._links(event)]
        if isinstance(event, LinkChange):
            return ChangedFigures(event, live)
        if isinstance(event, RateFile):
            return FollowedFile(event, live)
        if isinstance(event, LinkDown):
            return DeadLink([self.network.link(link) for link in self._links(event)])
        if isinstance(event, BackgroundFlow):
            source, target = (
                self.network.net[node].endpoint for node in (event.flow.source, event.flow.target)
            )
            return Traffic(event, number, source, target)
        if isinstance(event, NodeEvent):
            node = self.nodes[event.node]
            if event.do == "pause":
                return StillContainer(node)
            return KilledTier(node, policy, lambda records: keep(node.name, records))
        return None

    def _links(self, event: AnyEvent) -> list[str]:
        return [link.name for link in links_of(event, self.network.topology)]
