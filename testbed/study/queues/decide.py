"""What the policies of all nodes make of the requests, in the order in which these come to each."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from testbed.errors import TestbedError
from testbed.study.queues.fifo import ByServer, Ints
from testbed.study.queues.plant import Plant
from testbed.study.what_if.replay import asked_of, nodes_of
from testbed.study.what_if.study import Point, Study
from tiers.plain import told

Bools = NDArray[np.bool_]


class Deciders:
    """The policies of a method, new on every node."""

    def __init__(self, study: Study, plant: Plant, point: Point) -> None:
        """Make them.

        Raises:
            TestbedError: a policy cannot be made.
        """
        self._requests = asked_of(study, point)
        self._policy = point.method.policy
        by_name = nodes_of(study, point)
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
            passes_on = self._nodes[at][nodes[own[0]]].passes_on
            if passes_on is not None:
                try:
                    passed[own] = [passes_on(self._requests[one]) for one in asked[own].tolist()]
                except (Exception, SystemExit) as error:
                    raise self._failed(error) from error
        return passed

    def sent_up(self, at: int, asked: Ints, queue: ByServer, nodes: Ints) -> Bools:
        """Which of the requests that a tier's nodes infer go up, one after another at each node."""
        up = np.zeros(len(asked), dtype=np.bool_)
        if self._is_top(at):
            return up
        requests = self._requests
        for own in queue:
            node = self._nodes[at][nodes[own[0]]]
            judge, confidences = node.judge, node.confidences
            try:
                up[own] = [not judge(requests[one], confidences[one]).keep for one in asked[own].tolist()]
            except (Exception, SystemExit) as error:
                raise self._failed(error) from error
        return up

    def _is_top(self, at: int) -> bool:
        return at == len(self._nodes) - 1

    def _failed(self, error: BaseException) -> TestbedError:
        """Of whatever a policy from outside the repository raises."""
        return TestbedError(f"policy {self._policy}: {told(error)}")
