"""A scenario's nodes and links as arrays: who is whose parent, and over which link."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from testbed.errors import TestbedError
from testbed.scenario.scenario import Scenario
from testbed.scenario.topology import DIRECTIONS, Link, Shape
from testbed.study.queues.fifo import COUNT, ByServer, Floats, Ints, departures, in_order
from testbed.study.queues.messages import (
    SYN_BYTES,
    answer_payload,
    request_payload,
    step_payload,
)
from testbed.study.what_if.study import Study

_PARETO_SHAPE, _PARETO_MEAN, _PARETO_SD = 3.0, 1.5, 0.75**0.5


@dataclass(frozen=True)
class Way:
    """One direction of all links between two tiers, by link."""

    shapes: Sequence[Shape]
    rate_bps: Floats
    delay_s: Floats
    jitter_s: Floats
    queue_frames: Ints

    @classmethod
    def of(cls, shapes: Sequence[Shape]) -> Way:
        return cls(
            shapes,
            np.array([shape.rate_bps or np.inf for shape in shapes]),
            np.array([shape.delay_ms / 1000 for shape in shapes]),
            np.array([shape.jitter_ms / 1000 for shape in shapes]),
            np.array([shape.queue_frames for shape in shapes]),
        )

    def cross(
        self, sent_s: Floats, size_bytes: Ints, by_link: ByServer, links: Ints, draws: np.random.Generator
    ) -> tuple[Floats, Floats]:
        """When messages have left the bottleneck, and when their last byte is at the far end."""
        left_s = departures(sent_s, size_bytes * 8 / self.rate_bps[links], by_link)
        delay_s = self.delay_s[links]
        if self.jitter_s.any():
            standard = _standard(self.shapes[0].jitter_distribution, len(links), draws)
            delay_s = np.maximum(0.0, delay_s + self.jitter_s[links] * standard)
        return left_s, in_order(left_s + delay_s, by_link)

    def least_s(self, size_bytes: int) -> Floats:
        """How long a frame of that size is in an idle link, by link."""
        found: Floats = size_bytes * 8 / self.rate_bps + self.delay_s
        return found


def _standard(distribution: str, count: int, draws: np.random.Generator) -> Floats:
    """Draws of mean 0 and standard deviation 1, as :mod:`testbed.network.link_process.fates` has them."""
    if distribution == "uniform":
        return math.sqrt(3) * (2 * draws.random(count) - 1)
    if distribution == "pareto":
        found: Floats = ((1 - draws.random(count)) ** (-1 / _PARETO_SHAPE) - _PARETO_MEAN) / _PARETO_SD
        return found
    return draws.standard_normal(count)


@dataclass(frozen=True)
class Hop:
    """All links between a tier and the one above it. ``links`` and ``parents`` are by the lower node."""

    tier: str
    parents: Ints
    links: Ints
    up: Way
    down: Way

    @cached_property
    def connecting_s(self) -> Floats:
        """A handshake on an idle link, by link: until the request may be sent."""
        return self.up.least_s(SYN_BYTES) + self.down.least_s(SYN_BYTES)


@dataclass(frozen=True)
class Plant:
    """What stands still while requests go through it.

    Attributes:
        tiers: lowest first.
        nodes: of each tier.
        hops: one above each tier but the highest.
        devices: each request's, counted from 0.
        sent_s: when each request is due.
        service_s: of each tier for each prompt, (tiers, prompts).
        request_payloads: bytes, head and body, of each prompt's request.
        answer_payloads: of each tier's answer to each prompt as it leaves that tier, (tiers, prompts).
        step_bytes: what a node of each tier adds to an answer that it passes down: if it inferred, if not.
    """

    tiers: Sequence[str]
    nodes: Sequence[int]
    hops: Sequence[Hop]
    devices: Ints
    sent_s: Floats
    service_s: Floats
    request_payloads: Ints
    answer_payloads: Ints
    step_bytes: Sequence[tuple[int, int]]

    @classmethod
    def of(cls, study: Study) -> Plant:
        """The plant of a study of a scenario.

        Raises:
            TestbedError: requests are not sent at the trace's times, or there are no service times.
        """
        scenario = study.scenario
        _require_open(scenario)
        assert study.texts is not None, "a study of a scenario has its prompts"
        names = list(study.tiers)
        numbers = {node.name: int(node.name.removeprefix(node.tier)) - 1 for node in study.topology.nodes}
        texts, counts = study.texts, [scenario.tier(name).nodes for name in names]
        return cls(
            names,
            counts,
            _hops(scenario, study, numbers),
            np.fromiter((numbers[request.device] for request in study.trace), COUNT, len(study.trace)),
            np.fromiter((request.at_s for request in study.trace), np.float64, len(study.trace)),
            np.stack([_service_s(name, study) for name in names]),
            np.array([request_payload(text) for text in texts]),
            np.array(
                [
                    [
                        answer_payload(answer, name, text, is_top=name == names[-1])
                        for answer, text in zip(study.tiers[name].answers, texts, strict=True)
                    ]
                    for name in names
                ]
            ),
            [
                (step_payload(name, count, infers=True), step_payload(name, count, infers=False))
                for name, count in zip(names, counts, strict=True)
            ],
        )

    @property
    def lasts_s(self) -> float:
        """From the method's start to the last request."""
        return float(self.sent_s[-1])


def _require_open(scenario: Scenario) -> None:
    if (mode := scenario.replay.mode) != "open":
        raise TestbedError(
            f"--queues: replay.mode is {mode}, in which requests wait for answers and not for one another; "
            "add --set replay.mode=open"
        )


def _service_s(name: str, study: Study) -> Floats:
    times_ms = study.tiers[name].service_ms
    assert times_ms is not None, "a scenario's recorded tiers have times"
    return times_ms() / 1000


def _hops(scenario: Scenario, study: Study, numbers: dict[str, int]) -> list[Hop]:
    hops = []
    of_tier: dict[str, list[Link]] = {}
    for link in study.topology.links:
        of_tier.setdefault(study.topology.node(link.child).tier, []).append(link)
    for name in list(study.tiers)[:-1]:
        own, count = of_tier[name], scenario.tier(name).nodes
        links, parents = np.zeros(count, dtype=COUNT), np.zeros(count, dtype=COUNT)
        for at, link in enumerate(own):
            children = [numbers[child] for child in link.children]
            links[children], parents[children] = at, numbers[link.parent]
        up, down = (Way.of([link.shape(direction) for link in own]) for direction in DIRECTIONS)
        hops.append(Hop(name, parents, links, up, down))
    return hops


def left_out(scenario: Scenario) -> list[str]:
    """A sentence for each figure of a link that the model has not."""
    notes: list[str] = []
    for link in scenario.topology.links:
        for shape in (link.up, link.down):
            notes += [
                f"links.{link.entry}.{name}: is left out, with the repeats and waits that it causes"
                for name in ("loss", "duplicate", "reorder")
                if getattr(shape, name)
            ]
            if shape.delay_file:
                notes.append(f"links.{link.entry}.delay: the median of its file stands for every delay")
    return list(dict.fromkeys(notes))
