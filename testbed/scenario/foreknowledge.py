"""What a policy that knows all answers is told before the run: which tiers answer a request rightly.

The answers are those of recorded tiers, read on the host; no tier is asked for them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from testbed.errors import TestbedError
from testbed.scenario.recordings import answers_of
from testbed.scenario.scenario import Scenario
from testbed.scenario.sections.kind import right_by
from testbed.scenario.sections.methods import Method
from testbed.scenario.workload.datasets import Example
from tiers.policies.base import ANSWERS, find_policy

Answers = Mapping[str, Mapping[str, str]]
"""By tier and request id."""


@dataclass(frozen=True)
class Foreknown:
    """What is known before a run: answers, and by method what its policy is given because of them."""

    answers: Answers = field(default_factory=dict)
    methods: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


def foreknow(scenario: Scenario, examples: Mapping[str, Example]) -> Foreknown:
    """The answers to the trace's requests, and what methods are given of them; nothing if none asks for it.

    Args:
        examples: the prompts, by request id.

    Raises:
        TestbedError: a method asks for the answers of a tier that is not recorded, or makes some up.
    """
    asking = [method for method in scenario.methods if ANSWERS in method.knows]
    if not asking:
        return Foreknown()
    answers: dict[str, Mapping[str, str]] = {}
    for tier in scenario.tier_names:
        if method := next((method for method in asking if tier not in method.relay), None):
            try:
                answers[tier] = answers_of(scenario, scenario.tier(tier), examples)
            except TestbedError as error:
                raise TestbedError(
                    f"methods.{method.name}: {method.policy} knows every answer before the run, and {error}"
                ) from None
    references = {name: example.reference for name, example in examples.items()}
    return Foreknown(
        answers, {method.name: given(scenario, method, answers, references) for method in asking}
    )


def given(
    scenario: Scenario, method: Method, answers: Answers, references: Mapping[str, str]
) -> dict[str, Any]:
    """What a method's policy is given of all answers, beside the scenario's parameters."""
    tiers = [tier for tier in scenario.tier_names if tier not in method.relay]
    is_right = right_by(scenario.task.kind)
    assert is_right is not None, "scenarios with such a method have a task with right answers"
    right = {
        tier: [name for name, answer in answers[tier].items() if is_right(answer, references[name])]
        for tier in tiers
    }
    return find_policy(method.policy).foreknown(tiers, right)
