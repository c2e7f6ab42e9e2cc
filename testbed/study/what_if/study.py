"""What every point of a what-if shares: who asks what, and what each tier's model says to it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from testbed.results.measures import Measure
from testbed.results.scorers import SCORERS, Scorer
from testbed.scenario.calibration import Row
from testbed.scenario.scenario import Scenario
from testbed.scenario.sections.methods import Method
from testbed.scenario.topology import Topology
from testbed.scenario.workload.trace_file import Request
from testbed.study.what_if.quality import measure_of
from tiers.policies import Request as AskedOf

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class TierAnswers:
    """What one tier's model says to each prompt of the study, in their order.

    ``confidences`` gives the confidences of a name, or for ``None`` the tier's own. It raises a
    :class:`~testbed.errors.TestbedError` where they cannot be had. ``service_ms`` gives how long each
    inference takes, where a scenario says it.
    """

    answers: Sequence[str]
    confidences: Callable[[str | None], Floats]
    service_ms: Callable[[], Floats] | None = None


@dataclass(frozen=True)
class Point:
    """One thing to evaluate: a method, and the confidences that it sees.

    Attributes:
        number: from 1, in the order of the output.
        method: the policy with its parameters.
        confidences: by tier the name of its confidence; a tier that is not in it has its own.
        settings: what sets the point apart from others, by key, as the user wrote it.
    """

    number: int
    method: Method
    confidences: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class Split:
    """Rows apart from the trace, by which methods are calibrated, and where their prompts stand."""

    rows: Sequence[Row]
    places: Sequence[int]


@dataclass(frozen=True)
class Study:
    """Everything but the points.

    Attributes:
        scenario: tiers, topology, task and seed are used; its methods only where they are the points.
        trace: the requests, in the order in which they are asked, one after the other.
        places: for each request, where its prompt stands among the prompts.
        prompt_bytes: of each prompt, in UTF-8, cleaned.
        references: of each prompt; ``None`` where the task has none.
        texts: of each prompt; ``None`` where they are not known, as an answer matrix has none.
        tiers: by tier, lowest first.
        split: the calibration rows, if there are any.
        notes: sentences for the user.
    """

    scenario: Scenario
    trace: Sequence[Request]
    places: Ints
    prompt_bytes: Ints
    references: Sequence[str | None]
    tiers: Mapping[str, TierAnswers]
    texts: Sequence[str] | None = None
    split: Split | None = None
    notes: Sequence[str] = ()

    @cached_property
    def topology(self) -> Topology:
        return self.scenario.topology

    @property
    def scorer(self) -> Scorer:
        return SCORERS[self.scenario.task.kind]

    @cached_property
    def measure(self) -> Measure | None:
        """How good the answers are; ``None`` where there is nothing to hold them against."""
        if any(self.references[place] is None for place in self.places):
            return None
        return measure_of(self.scenario.task.kind)

    @cached_property
    def counts(self) -> Floats:
        """What the measure counts, of the shape (tiers, prompts, counts)."""
        assert self.measure is not None
        references = [reference or "" for reference in self.references]
        return np.stack([self.measure.count(tier.answers, references) for tier in self.tiers.values()])

    @cached_property
    def devices(self) -> list[str]:
        """The device of each request."""
        return [request.device for request in self.trace]

    @cached_property
    def requests(self) -> list[AskedOf]:
        """What a policy that does not ask for the prompt may know of each request."""
        sizes = self.request_bytes.tolist()
        return [AskedOf(request.id, size) for request, size in zip(self.trace, sizes, strict=True)]

    @cached_property
    def known_answers(self) -> dict[str, dict[str, str]]:
        """By tier and request id, each answer: what a policy that knows all answers is given of."""
        return {name: self.by_id(tier.answers) for name, tier in self.tiers.items()}

    def by_id(self, values: Sequence[str]) -> dict[str, str]:
        """By request id, the value of its prompt."""
        places = self.places.tolist()
        return {request.id: values[place] for request, place in zip(self.trace, places, strict=True)}

    def prompt_confidences(self, point: Point) -> dict[str, list[float]]:
        """By tier, the confidence in its answer to each prompt that the point sees.

        Raises:
            TestbedError: a model does not put out what one is computed from.
        """
        return {
            tier: answers.confidences(point.confidences.get(tier)).tolist()
            for tier, answers in self.tiers.items()
        }

    def request_confidences(self, point: Point) -> dict[str, list[float]]:
        """By tier, the confidence in its answer to each request that the point sees.

        Raises:
            TestbedError: a model does not put out what one is computed from.
        """
        found = {}
        for tier, answers in self.tiers.items():
            key = tier, point.confidences.get(tier)
            if key not in self._listed:
                self._listed[key] = answers.confidences(key[1])[self.places].tolist()
            found[tier] = self._listed[key]
        return found

    @cached_property
    def _listed(self) -> dict[tuple[str, str | None], list[float]]:
        return {}

    @cached_property
    def request_bytes(self) -> Ints:
        """The prompt's bytes of each request."""
        return self.prompt_bytes[self.places]

    @cached_property
    def answer_sizes(self) -> Ints:
        """Bytes of each tier's answer to each prompt, of the shape (tiers, prompts)."""
        sizes = [[len(answer.encode()) for answer in tier.answers] for tier in self.tiers.values()]
        return np.array(sizes, dtype=np.int64)

    @property
    def answer_bytes(self) -> Ints:
        """Bytes of each tier's answer to each request, of the shape (tiers, requests)."""
        return self.answer_sizes[:, self.places]
