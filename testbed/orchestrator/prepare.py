"""Derives a run's inputs from its scenario, and gets image and models, before anything starts."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from testbed.errors import TestbedError
from testbed.host.cgroup_limits import container_limits, own_limits
from testbed.host.ggufs import gguf_file
from testbed.host.image import ImageRef, ensure_image
from testbed.host.processes.reporting import Report
from testbed.network.feasibility import host_lacks
from testbed.orchestrator.events.flow import require_iperf3
from testbed.orchestrator.room import require_room, require_room_to_start, room_notes
from testbed.orchestrator.sources import Source
from testbed.scenario.calibration import Row, calibration_rows, tiers_to_ask
from testbed.scenario.capacity import capacity_notes
from testbed.scenario.foreknowledge import Foreknown, foreknow
from testbed.scenario.learnt import learnt_notes
from testbed.scenario.recordings import check_recordings
from testbed.scenario.requests import build_trace, prompts_for, time_notes
from testbed.scenario.scenario import Scenario, clamp_cpus
from testbed.scenario.scores import require_scores
from testbed.scenario.sections.engines import EngineEntry
from testbed.scenario.sections.events import flow_ports
from testbed.scenario.sections.graph import graph_notes
from testbed.scenario.timeline import under_events
from testbed.scenario.topology import DIRECTIONS, Topology
from testbed.scenario.workload.datasets import Example, dataset_notes, describe
from testbed.scenario.workload.trace_file import Request


@dataclass(frozen=True)
class Inputs:
    """The inputs of a run: a scenario as this host runs it, the requests, and what follows from both.

    Attributes:
        scenario: no tier has more CPUs than the host.
        trace: the requests, in order of time.
        examples: each request's prompt, by its id.
        asked_cpus: each tier's CPUs as the scenario has them.
        notes: sentences for the user; the manifest has them too.
        calibration: the rows by which methods are calibrated.
        foreknown: the answers that methods know before they are given.
        datasets: what the manifest says of each data set whose rows are asked.
        judged: whether prompts have references; not if they are whoever's who asked.
    """

    scenario: Scenario
    trace: Sequence[Request]
    examples: Mapping[str, Example]
    asked_cpus: Mapping[str, float]
    notes: Sequence[str] = ()
    calibration: Sequence[Row] = ()
    foreknown: Foreknown = field(default_factory=Foreknown)
    datasets: Sequence[Mapping[str, Any]] = ()
    judged: bool = True

    @property
    def asked(self) -> list[Example]:
        """The prompts that models are asked, of the trace and of the calibration."""
        return [*self.examples.values(), *(example for _, example in self.calibration)]

    @property
    def as_asked(self) -> Scenario:
        """The scenario before this host's CPUs bounded it."""
        tiers = [tier.model_copy(update={"cpus": self.asked_cpus[tier.name]}) for tier in self.scenario.tiers]
        return self.scenario.model_copy(update={"tiers": tuple(tiers)})

    @cached_property
    def topology(self) -> Topology:
        """Nodes and links of the scenario."""
        return self.scenario.topology

    @cached_property
    def under_events(self) -> Topology:
        """The topology with each figure that events give to a link, as further links of the same name."""
        return under_events(self.scenario.events, self.topology)

    @cached_property
    def fastest_bps(self) -> Mapping[str, float]:
        """The highest rate that each link ever has in any direction; infinite without a limit."""
        fastest: dict[str, float] = {}
        for link in self.under_events.links:
            rates_bps = [link.shape(direction).rate_bps or math.inf for direction in DIRECTIONS]
            fastest[link.name] = max(fastest.get(link.name, 0), *rates_bps)
        return fastest

    @cached_property
    def flow_ports(self) -> frozenset[int]:
        """The ports of background flows."""
        return flow_ports(self.scenario.events)


def inputs_of(scenario: Scenario, *, unprivileged: bool = False, is_up: bool = False) -> Inputs:
    """Derive the inputs of a run of ``scenario`` on this host.

    Args:
        unprivileged: do not ask whether this user may make the network, for none will be made.
        is_up: its network is up already, and has what it takes.

    Raises:
        TestbedError: this host cannot run it, its trace's file does not fit it, recordings do not fit the
            trace, or a method asks for answers that are not known before the run.
    """
    require_iperf3(scenario.events)
    asked_cpus = {tier.name: tier.cpus for tier in scenario.tiers}
    own, containers = own_limits(), container_limits()
    scenario, notes = clamp_cpus(scenario, containers.usable_cpus)
    topology = scenario.topology
    if not unprivileged and (reasons := host_lacks(topology)):
        raise TestbedError(f"{reasons[0]}; see `testbed doctor`")
    require_room(scenario, own)
    if not is_up:
        require_room_to_start(scenario, containers)
    notes += room_notes(scenario, own, containers)
    trace = build_trace(scenario)
    datasets = scenario.task.datasets
    examples = prompts_for(trace, datasets)
    rows = calibration_rows(scenario, trace)
    named = [datasets[name] for name in dict.fromkeys([*(r.dataset for r in trace), *(n for n, _ in rows)])]
    notes += [note for dataset in named for note in dataset_notes(dataset)]
    notes += learnt_notes(scenario, examples.values())
    require_scores(scenario, examples.values())
    notes += check_recordings(scenario, examples.values())
    if rows:
        asked = [example for _, example in rows]
        notes += learnt_notes(scenario, asked, "calibration")
        notes += check_recordings(scenario, asked, "calibration", tiers_to_ask(scenario))
    notes += graph_notes(scenario.graph)
    notes += capacity_notes(under_events(scenario.events, topology))
    notes += time_notes(scenario, trace)
    return Inputs(
        scenario,
        trace,
        examples,
        asked_cpus,
        notes,
        rows,
        foreknow(scenario, examples),
        [describe(one) for one in named],
    )


@dataclass(frozen=True)
class Parts:
    """What a run is made from: the tiers' image, the directory of demonstration models if used, and files."""

    image: ImageRef
    models: Path | None
    sources: Sequence[Source] = ()


def make_parts(scenario: Scenario, report: Report) -> Parts:
    """Make the tiers' image, and the demonstration models if a tier uses them, unless they are there.

    Raises:
        TestbedError: one of them cannot be made here.
    """
    for tier in scenario.tiers:
        if isinstance(tier.model, EngineEntry):
            gguf_file(tier.model.gguf, report)
    if not any(tier.model.kind == "embedded" for tier in scenario.tiers):
        return Parts(ensure_image(report), None)
    from testbed.host.embedded.prepare import prepare, require_room

    require_room()  # before an image is built, which takes long
    return Parts(ensure_image(report), prepare(report))
