"""What a point's policy is given beside its parameters: what calibration gives it, or all answers."""

from __future__ import annotations

from typing import Any

from testbed.scenario.calibration import calibrated
from testbed.scenario.foreknowledge import given
from testbed.study.what_if.study import Point, Study
from tiers.policies.base import ANSWERS


def knows_answers(point: Point) -> bool:
    """Whether the point's policy knows all answers beforehand."""
    return ANSWERS in point.method.knows


def given_beside(study: Study, point: Point) -> dict[str, Any]:
    """The parameters of the policy's constructor that are no keys of a scenario.

    Raises:
        TestbedError: the calibration rows do not show what the method asks for, or are too few for it.
    """
    if knows_answers(point):
        references = study.by_id([reference or "" for reference in study.references])
        found = given(study.scenario, point.method, study.known_answers, references)
        # One set for all nodes: with a copy on each, a city would need gigabytes.
        return {key: {tier: frozenset(ids) for tier, ids in of.items()} for key, of in found.items()}
    calibrated_by = calibration(study, point)
    return {} if calibrated_by is None else dict(calibrated_by["methods"][point.method.name])


def calibration(study: Study, point: Point) -> dict[str, Any] | None:
    """What ``calibration.json`` of a run would hold for the point's method alone; ``None`` without one.

    Raises:
        TestbedError: the rows do not show what the method asks for, or are too few for it.
    """
    if point.method.calibration_needs is None or study.split is None:
        return None
    split = study.split
    answers = {}
    for tier, found in study.tiers.items():
        confidences = found.confidences(point.confidences.get(tier))
        answers[tier] = [
            {"answer": found.answers[place], "confidence": float(confidences[place])}
            for place in split.places
        ]
    scenario = study.scenario.model_copy(update={"methods": (point.method,)})
    return {
        "rows": [{"dataset": name, "row": example.row} for name, example in split.rows],
        "references": [example.reference for _, example in split.rows],
        "tiers": {tier: {"answers": said} for tier, said in answers.items()},
        "methods": calibrated(scenario, split.rows, answers),
    }
