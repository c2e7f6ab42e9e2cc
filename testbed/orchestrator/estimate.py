"""Estimates how long a run will take, by phase, from the scenario and its trace alone."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from testbed.network.endpoint import Endpoint
from testbed.network.measure.loss import (
    CASES,
    LEAST_DATAGRAMS,
    MOST_DATAGRAMS,
    MOST_PER_S,
    MOST_SENDING_S,
    TELLING_DATAGRAMS,
)
from testbed.network.measure.paths import Effort, LinkPath
from testbed.network.measure.rate import rate_groups
from testbed.network.measure.times import FRAME_PINGS, PINGS, ping_interval_s
from testbed.network.measure.traffic import PING_FRAME_BYTES, SMALL_FRAME_BYTES
from testbed.scenario.calibration import tiers_to_ask
from testbed.scenario.expected import rate_window_s
from testbed.scenario.reading.units import duration
from testbed.scenario.scenario import Scenario
from testbed.scenario.sections.methods import Method
from testbed.scenario.sections.models import RecordedEntry
from testbed.scenario.sections.tiers import Tier
from testbed.scenario.topology import FRAME_BYTES, Shape, Topology
from testbed.scenario.workload.trace_file import Request

# As measured on two CPUs.
START_S, CONTAINER_S = 0.7, 0.12
LOAD_S = {"recorded": 4.5, "openai": 4.5, "engine": 5.0}
"""Loading models and warming up, by kind of model; all nodes do so at the same time."""
LOAD_OTHER_S = 15.0
METHOD_S = 1.5
"""Around a method's replay: captures begin and end, links come to rest."""
ACCOUNTED_REQUESTS_PER_S = 500.0
INFERENCE_S = 0.1
"""Of a model for which the scenario gives no time."""
REQUEST_S = 0.02
"""The part of a request's time that is neither inference nor link."""
NAME_S = 0.005
"""For each direction, a name under which its frames tell."""
QUIET_S = 0.15
"""After each part of a measurement, until nothing moves any more."""


class Ahead(NamedTuple):
    """How long a replay is expected to take, and the rest of the run after it."""

    replay_s: float = 0.0
    after_s: float = 0.0


NOTHING_AHEAD = Ahead()


@dataclass(frozen=True)
class Estimate:
    """Seconds by phase; ``replays_s`` has one for each method."""

    start_s: float
    measuring_s: float
    replays_s: tuple[float, ...]
    accounting_s: float

    def ahead(self, number: int) -> Ahead:
        """What is expected when the replay of that number, from 0, begins."""
        count = len(self.replays_s)
        accounting_s = self.accounting_s * (count - number) / count
        rest_s = sum(self.replays_s[number + 1 :]) + accounting_s + self.measuring_s / 2
        return Ahead(self.replays_s[number], rest_s)

    @property
    def total_s(self) -> float:
        return self.start_s + self.measuring_s + sum(self.replays_s) + self.accounting_s

    def __str__(self) -> str:
        each = ""
        if len(self.replays_s) > 1 and len(like := set(map(duration, self.replays_s))) == 1:
            each = f" ({len(self.replays_s)} methods × {like.pop()})"
        parts = [
            (sum(self.replays_s), f"replay{each}"),
            (self.measuring_s, "measuring links"),
            (self.start_s, "starting and loading models"),
            (self.accounting_s, "accounting"),
        ]
        shown = [f"{duration(seconds)} {what}" for seconds, what in parts if seconds >= 1]
        return f"about {duration(self.total_s)}: {', '.join(shown)}"


def estimated_seconds(
    scenario: Scenario, trace: Sequence[Request], topology: Topology, *, kept: bool = False
) -> Estimate:
    """Estimate the phases of a run whose image and models are there already.

    Args:
        kept: its network is up already, from a run before.
    """
    load_s = max(LOAD_S.get(tier.model.kind, LOAD_OTHER_S) for tier in scenario.tiers)
    containers = len(topology.nodes) + sum(scenario.tier(node.tier).has_engine for node in topology.nodes)
    start_s = START_S + CONTAINER_S * containers + load_s + _calibrating_s(scenario)
    return Estimate(
        start_s=0.0 if kept else start_s,
        measuring_s=0.0 if kept else 2 * _measuring_s(topology),
        replays_s=tuple(_replay_s(scenario, trace, topology, method) for method in scenario.methods),
        accounting_s=len(scenario.methods) * len(trace) / ACCOUNTED_REQUESTS_PER_S,
    )


def _calibrating_s(scenario: Scenario) -> float:
    """All tiers that answer the calibration rows do so at the same time; a file's rows are not counted."""
    rows = scenario.calibration.rows if scenario.calibration else None
    asked = tiers_to_ask(scenario)
    return (rows or 0) * max((_service_s(scenario.tier(tier)) for tier in asked), default=0.0)


def _service_s(tier: Tier) -> float:
    service_ms = tier.model.service_ms if isinstance(tier.model, RecordedEntry) else None
    return INFERENCE_S if service_ms is None else service_ms / 1000


def _replay_s(scenario: Scenario, trace: Sequence[Request], topology: Topology, method: Method) -> float:
    """The time until the last answer: the trace's, or that of requests one after the other."""
    request_s = REQUEST_S + sum(_hops_s(scenario, topology, method))
    settings = scenario.replay
    if settings.mode == "open":
        return METHOD_S + trace[-1].at_s + request_s
    if settings.mode == "closed":
        rounds = len(trace) / (settings.users or 1)
        return METHOD_S + rounds * ((settings.think_s or 0) + request_s)
    return METHOD_S + len(trace) * request_s


def _hops_s(scenario: Scenario, topology: Topology, method: Method) -> Iterator[float]:
    """Each inference of a request and each hop to it; half of the way up if no tier is fixed."""
    names = scenario.tier_names
    top = len(names) // 2 if method.only_tier is None else names.index(method.only_tier)
    for level, tier in enumerate(scenario.tiers[: top + 1]):
        if level == top or method.only_tier is None:
            yield _service_s(tier)
        if level:
            entry = scenario.link_between(names[level - 1], tier.name).name
            links = [link for link in topology.links if link.entry == entry]
            yield statistics.mean(link.up.delay_ms + link.down.delay_ms for link in links) / 1000


def _measuring_s(topology: Topology) -> float:
    """One measurement of all links, as :func:`testbed.network.measure.measure.measure` goes about it."""
    if not topology.links:
        return 0.0
    nowhere = Endpoint("", "")
    paths = [LinkPath(link.name, link.up, link.down, nowhere, nowhere, dict, dict) for link in topology.links]
    effort = Effort()
    windows_s = [
        max(
            rate_window_s(rate_bps, effort.rate_seconds)
            for path, direction in group
            if (rate_bps := path.shape(direction).rate_bps)
        )
        for group in rate_groups(paths, effort.rate_budget_bps, effort.rate_seconds)
    ]
    shapes = [shape for path in paths for shape in (path.up, path.down)]
    return _times_s(paths, effort) + _loss_s(shapes, effort) + sum(windows_s) + QUIET_S * len(windows_s)


def _times_s(paths: Sequence[LinkPath], effort: Effort) -> float:
    """As long as the slowest path needs, or as all of them together may send."""
    frames = sum((2 if path.jitter_ms else 1) * (4 * PINGS + 2 * FRAME_PINGS) for path in paths)
    return max(frames / effort.timed_frames_per_s + QUIET_S, *map(_path_times_s, paths))


def _path_times_s(path: LinkPath) -> float:
    """Three trains of pings and datagrams, and their last answers."""
    more = 2 if path.jitter_ms else 1
    pings_s = PINGS * ping_interval_s(path, PING_FRAME_BYTES)
    frame_pings_s = FRAME_PINGS * ping_interval_s(path, FRAME_BYTES)
    back_s = (path.up.delay_ms + path.down.delay_ms) / 1000
    return (
        more * (pings_s + frame_pings_s) + max(2.0 if path.jitter_ms else 1.0, pings_s) + 3 * back_s + QUIET_S
    )


def _loss_s(shapes: Sequence[Shape], effort: Effort) -> float:
    """Datagrams that show losses and copies of each direction, all at the same time."""
    wanted = [
        min(MOST_DATAGRAMS, max(LEAST_DATAGRAMS, CASES / min(shape.loss or 1.0, shape.duplicate or 1.0)))
        if shape.bursts is not None
        else TELLING_DATAGRAMS
        for shape in shapes
    ]
    slowest_s = max(
        max(count / MOST_PER_S, count * 4 * 8 * SMALL_FRAME_BYTES / (shape.rate_bps or math.inf))
        for count, shape in zip(wanted, shapes, strict=True)
    )
    sending_s = max(sum(wanted) / effort.datagrams_per_s, min(MOST_SENDING_S, slowest_s))
    return sending_s + NAME_S * len(shapes) + QUIET_S
