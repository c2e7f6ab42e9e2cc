"""What all methods of a run share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from testbed.console import Reporter
from testbed.host.cgroup import ContainerGroup
from testbed.network.network import Network
from testbed.orchestrator.events.stage import Stage
from testbed.orchestrator.nodes.control import NodeControl
from testbed.results.directory import RunDirectory
from testbed.scenario.scenario import Scenario
from testbed.scenario.workload.datasets import Example
from testbed.scenario.workload.trace_file import Request


@dataclass(frozen=True)
class Setting:
    """What all methods of a run share."""

    scenario: Scenario
    network: Network
    nodes: Sequence[NodeControl]
    trace: Sequence[Request]
    examples: Mapping[str, Example]
    directory: RunDirectory
    probes: Sequence[Any]
    reporter: Reporter
    groups: Mapping[str, ContainerGroup] = field(default_factory=dict)
    """Control groups of the nodes that are containers."""
    stage: Stage | None = None
    """Where events play; ``None`` without any."""
    capturing: bool = True
    """To see what capturing costs; without it no byte has a cause, and the verdict on bytes says so."""
