"""What a user expects of a run, read before it and held against what real runs left."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from testbed.errors import TestbedError
from testbed.results.expectation import failures, parse_expectation
from testbed.scenario.scenario import Scenario, load_scenario, with_methods
from tests import ROOT, SCENARIOS

RUN = ROOT / "tests" / "data" / "run-v1"


@pytest.fixture(scope="module")
def scenario() -> Scenario:
    return Scenario.model_validate(json.loads((RUN / "manifest.json").read_text())["scenario"])


@pytest.fixture
def summary() -> dict[str, Any]:
    return dict(json.loads((RUN / "summary.json").read_text()))


@pytest.fixture
def fidelity() -> dict[str, Any]:
    return dict(json.loads((RUN / "fidelity.json").read_text()))


def why(text: str, scenario: Scenario, summary: dict[str, Any], fidelity: dict[str, Any]) -> str | None:
    found = failures([parse_expectation(text, scenario)], summary, fidelity)
    return found[0].removeprefix(f"--expect {text}: ") if found else None


def test_a_figure_is_compared_by_each_sign(
    scenario: Scenario, summary: dict[str, Any], fidelity: dict[str, Any]
) -> None:
    found = summary["methods"]["recserve"]["answered"]
    for sign, one_less, same, one_more in (
        ("<", False, False, True),
        ("<=", False, True, True),
        (">", True, False, False),
        (">=", True, True, False),
        ("==", False, True, False),
        ("!=", True, False, True),
    ):
        for value, holds in ((found - 1, one_less), (found, same), (found + 1, one_more)):
            text = f"recserve.answered{sign}{value}"
            assert why(text, scenario, summary, fidelity) == (None if holds else f"it is {found}"), text
    assert why(f" recserve.answered == {found}.0e0 ", scenario, summary, fidelity) is None


def test_what_was_found_is_told_with_all_its_digits(
    scenario: Scenario, summary: dict[str, Any], fidelity: dict[str, Any]
) -> None:
    burden = summary["methods"]["recserve"]["burden_vs_cloud_only"]
    assert why("recserve.burden_vs_cloud_only<0", scenario, summary, fidelity) == f"it is {burden!r}"


def test_figures_below_others_are_named_by_points_and_ends_of_intervals_by_number(
    scenario: Scenario, summary: dict[str, Any], fidelity: dict[str, Any]
) -> None:
    figures = summary["methods"]["recserve"]
    tier, count = next(iter(figures["served_by"].items()))
    assert why(f"recserve.served_by.{tier}=={count}", scenario, summary, fidelity) is None
    low, _ = figures["accuracy_ci"]
    assert why(f"recserve.accuracy_ci.0=={low!r}", scenario, summary, fidelity) is None
    assert why("recserve.errors.timeout==0", scenario, summary, fidelity) is None
    assert why("recserve.errors==0", scenario, summary, fidelity) is None
    figures["errors"].update(timeout=2, internal=1)
    assert why("recserve.errors==0", scenario, summary, fidelity) == "it is 3"


def test_what_rests_on_a_verdict_that_is_false_fails_whatever_it_is(
    scenario: Scenario, summary: dict[str, Any], fidelity: dict[str, Any]
) -> None:
    for claim, key in (
        ("bytes", "burden_vs_cloud_only"),
        ("quality", "accuracy"),
        ("quality", "accuracy_ci.0"),
        ("decisions", "offload.device.share"),
    ):
        summary["faithful"] = {**summary["faithful"], claim: False}
        fidelity["reasons"] = {**fidelity["reasons"], claim: ["a frame was lost"]}
        summary["methods"]["recserve"].setdefault("offload", {"device": {"share": 0.1}})
        told = why(f"recserve.{key}>=-1", scenario, summary, fidelity)
        assert told == f"it is not valid (n/v), for {claim} may not be believed: a frame was lost"
    assert why("recserve.frame_bytes>0", scenario, summary, fidelity) is None  # the kernel's own count


def test_verdicts_are_expected_by_name(
    scenario: Scenario, summary: dict[str, Any], fidelity: dict[str, Any]
) -> None:
    summary["faithful"] = {**summary["faithful"], "bytes": True, "latency": False}
    fidelity["reasons"] = {**fidelity["reasons"], "latency": ["the machine was short of CPU"]}
    assert why("faithful.bytes==true", scenario, summary, fidelity) is None
    assert why("faithful.bytes==false", scenario, summary, fidelity) == "it is true"
    told = why("faithful.latency==true", scenario, summary, fidelity)
    assert told == "it is false: the machine was short of CPU"


def test_null_is_never_as_expected_and_says_why(
    scenario: Scenario, summary: dict[str, Any], fidelity: dict[str, Any]
) -> None:
    figures = summary["methods"]["recserve"]
    figures["burden_vs_cloud_only"], figures["vs_cloud_only_reason"] = (
        None,
        "no request was answered under both",
    )
    told = why("recserve.burden_vs_cloud_only<1", scenario, summary, fidelity)
    assert told == "it is null, and so not known: no request was answered under both"
    figures["latency_ms"]["p99"] = None
    told = why("recserve.latency_ms.p99<1e9", scenario, summary, fidelity)
    assert told is not None
    assert "too few requests" in told
    del summary["methods"]["recserve"]
    told = why("recserve.answered>0", scenario, summary, fidelity)
    assert told == "recserve was not run to its end, so that there is no such figure"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is no expectation; write METHOD.KEY<NUMBER"),
        ("recserve.accuracy", "is no expectation"),
        ("recserve.accuracy=0.5", "is no expectation"),
        ("recserve.accuracy=<0.5", "is no expectation"),
        ("recserve.accuracy<0.5<1", "is no expectation"),
        ("recserve.accuracy<half", "'half' is no number"),
        ("recserve.accuracy<nan", "'nan' is no number"),
        ("recserve.accuracy<5%", "'5%' is no number"),
        ("recserv.accuracy<1", "no method 'recserv' is run; there are device-only, edge-only, cloud-only"),
        ("accuracy<1", "no method 'accuracy' is run"),
        ("recserve.acuracy<1", "no figure 'acuracy'; did you mean accuracy?"),
        ("recserve.bleu>20", "no figure 'bleu'; known are requests, answered"),
        ("recserve.served_by.fog>1", "no figure 'fog' in served_by; known are device, edge, cloud"),
        ("recserve.served_by>1", "served_by has figures by name; write served_by.NAME, one of device"),
        ("recserve.accuracy.mean>1", "accuracy is one figure; leave out .mean"),
        ("recserve.accuracy_ci.low>1", "'accuracy_ci' has two ends; write accuracy_ci.0 or accuracy_ci.1"),
        ("recserve.accuracy_ci>1", "'accuracy_ci' has two ends; write accuracy_ci.0 or accuracy_ci.1"),
        ("faithful.byte==true", "no verdict 'byte'; did you mean bytes?"),
        ("faithful.bytes==1", "a verdict is true or false; write faithful.bytes==true"),
        ("faithful.bytes<true", "a verdict is true or false"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_starts(text: str, words: str) -> None:
    with pytest.raises(TestbedError) as caught:
        parse_expectation(text, load_scenario(SCENARIOS / "quickstart.yaml"))
    assert words in str(caught.value)


def test_without_cloud_only_nothing_is_compared_with_it() -> None:
    scenario = with_methods(load_scenario(SCENARIOS / "quickstart.yaml"), ["recserve"])
    with pytest.raises(TestbedError, match="there will be none, for the run has no method in which the top"):
        parse_expectation("recserve.burden_vs_cloud_only<0.5", scenario)
    parse_expectation("recserve.burden_paper_bytes<1e9", scenario)


def test_a_methods_name_may_have_points(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    text = (SCENARIOS / "smoke.yaml").read_text()
    path.write_text(text.replace("name: recserve", "name: recserve.0.3, policy: recserve"))
    expectation = parse_expectation("recserve.0.3.answered>1", load_scenario(path))
    assert (expectation.method, expectation.keys) == ("recserve.0.3", ("answered",))


def test_every_scenario_of_ours_has_the_figures_that_its_task_gives() -> None:
    for path, key in (("translation.yaml", "chrf"), ("quickstart.yaml", "macro_f1")):
        scenario = load_scenario(SCENARIOS / path)
        parse_expectation(f"{scenario.methods[-1].name}.{key}>0.1", scenario)
