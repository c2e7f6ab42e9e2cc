"""What all methods of a run share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from testbed.console import Reporter
from testbed.host.cgroup import NodeGroup
from testbed.network.link import WanLink
from testbed.network.measure.paths import LinkPath
from testbed.network.network import Network
from testbed.orchestrator.nodes.control import NodeControl
from testbed.orchestrator.phases import Phases
from testbed.orchestrator.prepare import Inputs
from testbed.results.directory import RunDirectory


@dataclass(frozen=True)
class Session:
    """A network that is up, with its nodes, and what is captured and watched during a replay.

    Attributes:
        captured: the links that are captured; no byte of another has a cause.
        groups: the control groups of the nodes that are containers, with those of their engines.
        probes: idle links that are pinged meanwhile.
        calibrated: by method, what its policy is given beside the scenario's parameters.
        phases: the run's.
    """

    inputs: Inputs
    network: Network
    nodes: Sequence[NodeControl]
    captured: Sequence[WanLink]
    directory: RunDirectory
    reporter: Reporter
    groups: Mapping[str, NodeGroup] = field(default_factory=dict)
    probes: Sequence[LinkPath] = ()
    calibrated: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    phases: Phases = field(default_factory=Phases)
