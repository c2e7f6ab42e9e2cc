"""Calibration: which rows, apart from the trace; and what methods learn from the models' answers to them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from testbed.errors import TestbedError
from testbed.scenario.requests import examples_for, prompts_for, row_order
from testbed.scenario.scenario import Scenario
from testbed.scenario.sections.calibration import CalibrationSplit
from testbed.scenario.sections.kind import right_by
from testbed.scenario.sections.methods import Method
from testbed.scenario.workload.datasets import Example, load
from testbed.scenario.workload.trace_file import TRACE_SPLIT, Request, read_trace
from tiers.calibration import Calibration
from tiers.policies.base import find_policy

Row = tuple[str, Example]
"""A data set's name, and one of its rows."""
Answers = Mapping[str, Sequence[Mapping[str, Any]]]
"""By tier, one ``{answer, confidence}`` for each row."""


def calibration_rows(scenario: Scenario, trace: Sequence[Request]) -> list[Row]:
    """The rows by which the scenario's methods are calibrated; none if no method is.

    They are held out from the training of the embedded models, as the trace's are, and no prompt of theirs is
    in the trace. Drawn ones are the last of the order that a trace of this seed draws its first rows from, so
    that they are the same for a trace of any length that leaves enough of them.

    Raises:
        TestbedError: the trace leaves too few, or the file's are in it too.
    """
    split = scenario.calibration
    if split is None or not any(method.calibration_needs for method in scenario.methods):
        return []
    asked = {_key(example) for example in examples_for(trace, scenario.task.datasets)}
    return _named(scenario, split, asked) if split.file else _drawn(scenario, split, asked)


def _key(example: Example) -> str:
    """Texts that differ in case alone are one prompt, as for the held-out split."""
    return example.text.casefold()


def _drawn(scenario: Scenario, split: CalibrationSplit, asked: set[str]) -> list[Row]:
    dataset, rows = scenario.task.data, split.rows or 0
    examples = {example.row: example for example in load(dataset, TRACE_SPLIT)}
    order = list(islice(row_order(dataset, scenario.seed), len(examples)))
    left = {_key(examples[row]): examples[row] for row in reversed(order)}
    found = [(dataset.name, example) for key, example in left.items() if key not in asked]
    if len(found) < rows:
        raise TestbedError(
            f"calibration.rows: {rows} are asked for, and the trace leaves {len(found)} of {dataset.name}'s "
            "held-out prompts; ask for fewer rows or fewer requests"
        )
    return found[:rows]


def _named(scenario: Scenario, split: CalibrationSplit, asked: set[str]) -> list[Row]:
    task = scenario.task
    requests = read_trace(Path(split.file or ""), labels=task.trace_labels, datasets=task.datasets)
    prompts = prompts_for(requests, task.datasets)
    shared = [request for request in requests if _key(prompts[request.id]) in asked]
    if shared:
        raise TestbedError(
            f"{split.file}: {len(shared)} of its {len(requests)} prompts are in the trace too, such as row "
            f"{shared[0].row} of {shared[0].dataset}; a calibration split must be apart from it"
        )
    return [(request.dataset, prompts[request.id]) for request in requests]


def tiers_to_ask(scenario: Scenario) -> list[str]:
    """The tiers whose models are to answer the calibration rows, lowest first."""
    wanted: set[str] = set()
    for method in scenario.methods:
        if needs := method.calibration_needs:
            inferring = _inferring(scenario, method)
            wanted.update(inferring if needs == "answers" else inferring[:-1])
    return [tier for tier in scenario.tier_names if tier in wanted]


def _inferring(scenario: Scenario, method: Method) -> list[str]:
    return [tier for tier in scenario.tier_names if tier not in method.relay]


def calibrated(scenario: Scenario, rows: Sequence[Row], answers: Answers) -> dict[str, dict[str, Any]]:
    """By method, the parameters of its policy that follow from the answers to the calibration rows.

    Raises:
        TestbedError: the rows do not show what a method asks for, or are too few for it.
    """
    references = [example.reference for _, example in rows]
    is_right = right_by(scenario.task.kind)
    found = {}
    for method in scenario.methods:
        if method.calibration_needs is None:
            continue
        calibration = Calibration(
            tuple(_inferring(scenario, method)),
            {tier: [given["confidence"] for given in of_tier] for tier, of_tier in answers.items()},
            {
                tier: [
                    is_right is not None and is_right(given["answer"], reference)
                    for given, reference in zip(of_tier, references, strict=True)
                ]
                for tier, of_tier in answers.items()
            },
        )
        try:
            found[method.name] = find_policy(method.policy).calibrated(method.parameters, calibration)
        except ValueError as error:
            raise TestbedError(f"methods.{method.name}: {error}") from None
    return found
