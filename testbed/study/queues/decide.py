"""What the policies of all nodes make of the requests, in the order in which these come to each."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from testbed.errors import TestbedError
from testbed.scenario.workload.compact import CompactTrace
from testbed.study.queues.fifo import ByServer, Ints
from testbed.study.queues.plant import Plant
from testbed.study.what_if.replay import nodes_of, texts_for
from testbed.study.what_if.study import Point, Study
from tiers.plain import told
from tiers.policies import Request

Bools = NDArray[np.bool_]


class Deciders:
    """The policies of a method, new on every node."""

    def __init__(self, study: Study, plant: Plant, point: Point) -> None:
        """Make them.

        Raises:
            TestbedError: a policy cannot be made.
        """
        self._id_of = CompactTrace.of(study.trace).id_of
        self._places = study.places
        self._texts = texts_for(study, point)
        self._sizes = study.prompt_bytes.tolist()
        self._policy = point.method.policy
        by_name = nodes_of(study, point, study.prompt_confidences(point))
        self._nodes = [
            [by_name[f"{tier}{number}"] for number in range(1, count + 1)]
            for tier, count in zip(plant.tiers, plant.nodes, strict=True)
        ]

    def passed_on(self, at: int, asked: Ints, queue: ByServer, nodes: Ints) -> Bools:
        """Which requests a tier's nodes pass on without an inference."""
        passed = np.zeros(len(asked), dtype=np.bool_)
        if self._is_top(at) or all(node.passes_on is None for node in self._nodes[at]):
            return passed
        for own in queue:
            node = self._nodes[at][nodes[own[0]]]
            passes_on = node.passes_on
            if not node.infers:
                passed[own] = True
            elif passes_on is not None:
                try:
                    passed[own] = [passes_on(request) for request, _ in self._each(asked[own])]
                except (Exception, SystemExit) as error:
                    raise self._failed(error) from error
        return passed

    def sent_up(self, at: int, asked: Ints, queue: ByServer, nodes: Ints) -> Bools:
        """Which of the requests that a tier's nodes infer go up, one after another at each node."""
        up = np.zeros(len(asked), dtype=np.bool_)
        if self._is_top(at):
            return up
        for own in queue:
            node = self._nodes[at][nodes[own[0]]]
            judge, confidences = node.judge, node.confidences
            try:
                up[own] = [
                    not judge(request, confidences[place]).keep for request, place in self._each(asked[own])
                ]
            except (Exception, SystemExit) as error:
                raise self._failed(error) from error
        return up

    def _each(self, asked: Ints) -> Iterator[tuple[Request, int]]:
        """What the policy may know of each request, and its prompt; made here, since all of them are many."""
        id_of, texts, sizes = self._id_of, self._texts, self._sizes
        for one, place in zip(asked.tolist(), self._places[asked].tolist(), strict=True):
            yield Request(id_of(one), sizes[place], None if texts is None else texts[place]), place

    def _is_top(self, at: int) -> bool:
        return at == len(self._nodes) - 1

    def _failed(self, error: BaseException) -> TestbedError:
        """Of whatever a policy from outside the repository raises."""
        return TestbedError(f"policy {self._policy}: {told(error)}")
