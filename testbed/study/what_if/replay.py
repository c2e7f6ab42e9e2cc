"""Lets the tiers' own policies decide over recorded answers, request by request, as in lockstep.

Each node has its policy, as in a run: what :mod:`tiers.service` does of one request, but for the network.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from testbed.errors import TestbedError
from testbed.orchestrator.nodes.tier_specs import policy_spec
from testbed.study.what_if.calibrate import given_beside
from testbed.study.what_if.study import Ints, Point, Study
from tiers.errors import ConfigError
from tiers.plain import told
from tiers.plugins import external
from tiers.policies import Decision, Place, Policy, Request, find_policy, make_policy, plain_decision

Judge = Callable[[Request, float], Decision]


class Decider:
    """A node with its policy.

    ``passes_on`` is ``None`` where it infers whatever comes; ``infers`` is false where it infers nothing.
    """

    __slots__ = ("confidences", "infers", "judge", "level", "name", "parent", "passes_on")

    def __init__(
        self, name: str, level: int, policy: Policy, judge: Judge, confidences: Sequence[float]
    ) -> None:
        self.name = name
        self.level = level
        self.confidences = confidences
        self.parent: Decider | None = None
        self.judge: Judge = judge
        passes_on = type(policy).passes_on is not Policy.passes_on
        self.passes_on: Callable[[Request], bool] | None = policy.passes_on if passes_on else None
        self.infers = policy.infers
        if not policy.infers:
            self.passes_on = lambda _request: True


class Made(NamedTuple):
    """One decision, as the node would have recorded it."""

    request: int
    node: str
    confidence: float
    decision: Decision


def replay(study: Study, point: Point, record: Callable[[Made], None] | None = None) -> Ints:
    """The tier, from 0, that answers each request.

    Args:
        study: the requests, and what each tier says to them.
        point: the method, and the confidences that it sees.
        record: called with each decision below the top, in the order in which they are made.

    Raises:
        TestbedError: the policy cannot be made, or fails.
    """
    nodes = nodes_of(study, point, study.request_confidences(point))
    requests = asked_of(study, point)
    current = 0
    if record is not None:
        for node in nodes.values():
            node.judge = _recorded(node, lambda: current, record)
    levels = []
    try:
        for current, (asked, device) in enumerate(zip(requests, study.devices, strict=True)):
            node = nodes[device]
            while node.parent is not None:
                infers = node.passes_on is None or not node.passes_on(asked)
                if infers and node.judge(asked, node.confidences[current]).keep:
                    break
                node = node.parent
            levels.append(node.level)
    except (Exception, SystemExit) as error:  # whatever a policy from outside the repository raises
        raise TestbedError(f"policy {point.method.policy}: {told(error)}") from error
    return np.array(levels, dtype=np.int64)


def asked_of(study: Study, point: Point) -> Sequence[Request]:
    """What the policy may know of each request; its prompt, if it asks for that."""
    if (texts := texts_for(study, point)) is None:
        return study.requests
    return [
        replace(request, prompt=texts[place])
        for request, place in zip(study.requests, study.places.tolist(), strict=True)
    ]


def texts_for(study: Study, point: Point) -> Sequence[str] | None:
    """All prompts, if the policy asks for them."""
    policy = find_policy(point.method.policy)  # one from outside the repository is loaded here
    if "prompt" not in policy.knows:
        return None
    if study.texts is None:
        raise TestbedError(
            f"policy {point.method.policy} asks for the prompt, and a matrix has no texts; predict a scenario"
        )
    return study.texts


def _recorded(node: Decider, request: Callable[[], int], record: Callable[[Made], None]) -> Judge:
    judge = node.judge

    def judged(asked: Request, confidence: float) -> Decision:
        decision = judge(asked, confidence)
        record(Made(request(), node.name, confidence, decision))
        return decision

    return judged


def _plainly(policy: Policy) -> Judge:
    """As a node takes the decisions of a policy from outside the repository."""
    return lambda request, confidence: plain_decision(policy.judge(request, confidence))


def nodes_of(study: Study, point: Point, confidences: Mapping[str, Sequence[float]]) -> dict[str, Decider]:
    """All nodes, each with its parent and its tier's ``confidences``.

    Those of a tier have one policy where the method says so.
    """
    tiers = tuple(study.tiers)
    spec = policy_spec(point.method, study.scenario.seed, given_beside(study, point))
    spec["policy"] = point.method.policy  # a file's path here, not in a container
    nodes: dict[str, Decider] = {}
    shared: dict[str, Policy] = {}
    ours = external(point.method.policy) is None
    for node in study.topology.nodes:
        place = Place(node.name, node.tier, tiers)
        try:
            policy = shared.get(node.tier) or make_policy(spec, place)
        except ConfigError as error:
            raise TestbedError(str(error)) from None
        if point.method.shared:
            shared[node.tier] = policy
        judge = policy.judge if ours else _plainly(policy)
        nodes[node.name] = Decider(node.name, node.level, policy, judge, confidences[node.tier])
    for node in study.topology.nodes:
        if node.parent is not None:
            nodes[node.name].parent = nodes[node.parent]
    return nodes
