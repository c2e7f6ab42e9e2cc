"""Calibration rows are apart from the trace, and refused where they cannot be."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from testbed.errors import TestbedError
from testbed.scenario.calibration import calibrated, calibration_rows, tiers_to_ask
from testbed.scenario.recordings import check_recordings
from testbed.scenario.requests import build_trace, prompts_for
from testbed.scenario.scenario import Scenario, load_scenario, with_requests
from testbed.scenario.workload.trace_file import write_trace
from tests import SCENARIOS
from tests.scenario.refusals import refusal

SMOKE = SCENARIOS / "smoke.yaml"
STATIC = "methods=[{name: static-quantile}]"


def smoke(*overrides: str) -> Scenario:
    return load_scenario(SMOKE, [STATIC, "calibration={rows: 300}", *overrides])


def rows_of(scenario: Scenario) -> list[int]:
    return [example.row for _, example in calibration_rows(scenario, build_trace(scenario))]


def test_drawn_rows_are_held_out_apart_from_the_trace_and_the_same_for_any_length_of_it() -> None:
    short, long = smoke(), with_requests(smoke(), 1500)
    rows = rows_of(short)
    assert len(set(rows)) == 300
    assert rows_of(long) == rows
    texts = {example.text.casefold() for example in prompts_for(build_trace(long)).values()}
    found = calibration_rows(long, build_trace(long))
    assert not texts & {example.text.casefold() for _, example in found}
    assert rows_of(load_scenario(SMOKE, [STATIC, "calibration={rows: 300}"], seed=2)) != rows


def test_a_trace_that_leaves_too_few_rows_is_refused() -> None:
    scenario = with_requests(smoke(), 3000)  # more than there are rows: none is left
    with pytest.raises(TestbedError, match=r"calibration.rows: 300 are asked for, and the trace leaves 0 of"):
        rows_of(scenario)


def test_a_file_may_name_the_rows_unless_the_trace_has_them_too(tmp_path: Path) -> None:
    trace = build_trace(with_requests(smoke(), 60))
    write_trace(trace[20:], tmp_path / "apart.jsonl")
    write_trace(trace[10:], tmp_path / "shared.jsonl")
    apart = smoke(f"calibration={{file: {tmp_path}/apart.jsonl}}")
    assert rows_of(apart) == [request.row for request in trace[20:]]
    shared = smoke(f"calibration={{file: {tmp_path}/shared.jsonl}}")
    with pytest.raises(TestbedError, match=r"shared.jsonl: 10 of its 50 prompts are in the trace too, such"):
        rows_of(shared)


def test_no_row_is_asked_for_without_a_method_that_is_calibrated() -> None:
    assert rows_of(smoke("methods=[{name: recserve}]")) == []


@pytest.mark.parametrize(
    ("method", "tiers"),
    [
        ("{name: static-quantile}", ["device", "edge"]),
        ("{name: static-quantile, relay: [edge]}", ["device"]),
        ("{name: recserve, start: prefilled}", ["device", "edge"]),
        ("{name: casserve, calibrate: {accuracy: 0.5, confidence: 0.9}}", ["device", "edge", "cloud"]),
    ],
)
def test_only_tiers_whose_answers_matter_are_asked(method: str, tiers: list[str]) -> None:
    assert tiers_to_ask(smoke(f"methods=[{method}]")) == tiers


def test_what_cannot_be_calibrated_names_its_method() -> None:
    scenario = smoke()
    rows = calibration_rows(scenario, build_trace(scenario))
    certain = [{"answer": "negative", "confidence": 1.0}] * len(rows)  # nothing is below its quantile
    with pytest.raises(TestbedError, match=r"methods.static-quantile: only 0 of 300 calibration rows reach"):
        calibrated(scenario, rows, {"device": certain, "edge": certain})


def test_recordings_must_have_the_rows_of_the_tiers_that_are_asked(tmp_path: Path) -> None:
    trace = build_trace(smoke())
    lines = [
        {"text": example.text, "answer": "negative", "confidence": 0.5, "service_ms": 0}
        for example in prompts_for(trace).values()
    ]
    path = tmp_path / "answers.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    rows = [example for _, example in calibration_rows(smoke(), trace)]
    for tier, lacks in (("device", True), ("cloud", False)):
        scenario = smoke(f"tiers.{tier}.model={{kind: recorded, path: {path}}}")
        tiers = tiers_to_ask(scenario)
        if lacks:
            with pytest.raises(TestbedError, match=r"no recording of 300 of the calibration's 300 prompts"):
                check_recordings(scenario, rows, "calibration", tiers)
        else:
            assert check_recordings(scenario, rows, "calibration", tiers) == []


WRONG = {
    (STATIC,): "methods.static-quantile: is calibrated before the run; add calibration: {rows: 300}",
    (STATIC, "calibration={}"): "calibration: give the number of rows to draw or, as file, a trace file",
    (STATIC, "calibration={rows: 0}"): "calibration.rows: must be greater than or equal to 1, not 0",
    (STATIC, "calibration={rows: 3, file: x}"): "calibration.file: no such file or directory 'x'",
    ("methods=[{name: casserve}]",): "methods.casserve.thresholds: is missing; add it, or calibrate: {share",
    ("methods=[{name: casserve, calibrate: {share: 2}}]",): "methods.casserve.calibrate.share: must be less",
    ("methods=[{name: casserve, calibrate: {shar: 1}}]",): "calibrate: must be like {share: 0.3} or {acc",
    (
        "methods=[{name: casserve, calibrate: {share: 1}, thresholds: {device: 1, edge: 1}}]",
    ): "methods.casserve.calibrate: thresholds are given; remove one of the two",
    (
        "methods=[{name: casserve, calibrate: 5}]",
    ): "methods.casserve.calibrate: must be a valid mapping, not 5",
    (
        "methods=[{name: casserve, thresholds: 5}]",
    ): "methods.casserve.thresholds: must be a valid mapping, no",
    ("methods=[{name: recserve, start: warm}]",): "start: must be 'cold' or 'prefilled', not 'warm'",
    ("methods=[{name: static-quantile, thresholds: {}}]",): "thresholds: unknown key; known are name, policy",
}


@pytest.mark.parametrize("overrides", WRONG)
def test_a_wrong_calibration_is_refused_with_field_and_mend(overrides: tuple[str, ...]) -> None:
    assert WRONG[overrides] in refusal(*overrides, path=SMOKE)
