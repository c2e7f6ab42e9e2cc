"""How many requests an effect needs: against a published figure, and by simulation."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console
from scipy import stats

from testbed.errors import TestbedError
from testbed.report.plan import print_plan
from testbed.results.directory import RunDirectory
from testbed.results.paired import share_difference
from testbed.scenario.requests import build_trace
from testbed.scenario.scenario import Scenario, load_scenario
from testbed.scenario.workload.trace_file import write_trace
from testbed.study.plan import (
    Effect,
    means_needed,
    needs_of_pilot,
    needs_of_shares,
    pairs_needed,
    repeats_needed,
    runs_needed,
)
from tests import ROOT

RUN = ROOT / "tests" / "data" / "run-v1"


@pytest.fixture
def scenario() -> Scenario:
    return load_scenario(ROOT / "scenarios" / "quickstart.yaml")


def test_two_points_at_15_percent_discordant_take_2941_pairs() -> None:
    assert pairs_needed(0.02, 0.15) == 2941


@pytest.mark.parametrize(("difference", "discordant"), [(0.05, 0.15), (0.1, 0.3), (0.1, 0.2)])
def test_so_many_pairs_show_the_difference_as_often_as_planned(difference: float, discordant: float) -> None:
    random = np.random.default_rng(1)
    pairs = pairs_needed(difference, discordant, power=0.8)
    only_second, only_first = (discordant + difference) / 2, (discordant - difference) / 2
    draws = random.multinomial(pairs, [only_second, only_first, 1 - discordant], size=2000)
    differ = draws[:, 0] + draws[:, 1]
    statistic = (draws[:, 0] - draws[:, 1]) / np.sqrt(np.maximum(differ, 1))  # McNemar's, without correction
    assert np.mean(statistic > stats.norm.ppf(0.975)) == pytest.approx(0.8, abs=0.04)


def test_so_many_pairs_show_a_difference_of_means_as_often_as_planned() -> None:
    pairs = means_needed(1.0, 5.0, power=0.9)
    means = np.random.default_rng(1).normal(1.0, 5.0, size=(2000, pairs)).mean(axis=1)
    assert np.mean(means / (5.0 / np.sqrt(pairs)) > stats.norm.ppf(0.975)) == pytest.approx(0.9, abs=0.03)
    assert means_needed(1.0, 5.0, in_a_row=10.0, power=0.9) == pytest.approx(10 * pairs, rel=0.01)


def test_a_run_takes_longer_the_more_requests_it_needs(scenario: Scenario) -> None:
    few, many = (needs_of_shares(scenario, Effect(share), 0.15)[0] for share in (0.1, 0.01))
    assert few.requests < many.requests
    assert few.seconds < many.seconds
    assert few.prompts == many.prompts > 1000


def test_so_many_seeds_show_the_difference_as_often_as_planned_though_they_draw_prompts_again() -> None:
    """To each of 600 prompts methods have always the same answers; a run asks 60 of them."""
    random, difference, discordant = np.random.default_rng(3), 0.15, 0.3
    pairs = pairs_needed(difference, discordant, power=0.8)
    repeat = repeats_needed(pairs, 60, 600)
    assert repeat is not None
    assert repeat * 60 > pairs
    seen = 0
    for _ in range(300):
        draw = random.random(600)
        first, second = draw < 0.575, (draw >= 0.075) & (draw < 0.8)  # right: 7.5 % the first alone, 22.5 %
        asked = np.concatenate([random.permutation(600)[:60] for _ in range(repeat)])
        found = share_difference(first[asked].tolist(), second[asked].tolist(), asked.tolist())
        assert found is not None
        seen += found.p_value < 0.05
    assert seen / 300 == pytest.approx(0.8, abs=0.08)


def test_no_number_of_seeds_has_more_prompts_than_there_are() -> None:
    assert repeats_needed(100, 100, 600) == 1
    assert repeats_needed(599, 100, 600) is not None
    assert repeats_needed(600, 100, 600) is None
    assert repeats_needed(101, 100, 100) is None  # as of a trace from a file


@pytest.mark.parametrize(("difference", "deviation"), [(2.0, 1.0), (1.0, 1.5)])
def test_so_many_runs_show_a_difference_of_their_means(difference: float, deviation: float) -> None:
    runs = runs_needed(difference, deviation, power=0.8)
    random = np.random.default_rng(1)
    seen = [
        np.mean(
            stats.ttest_1samp(random.normal(difference, deviation, (2000, count)), 0, axis=1).pvalue < 0.05
        )
        for count in (runs - 1, runs)
    ]
    assert seen[0] < 0.82
    assert seen[1] > 0.78


def test_a_trace_from_a_file_has_as_many_requests_as_the_file(
    scenario: Scenario, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_trace(build_trace(scenario)[:80], tmp_path / "trace.jsonl")
    of_file = load_scenario(
        ROOT / "scenarios" / "quickstart.yaml", [f"trace={{file: {tmp_path / 'trace.jsonl'}}}"]
    )
    (few,), (many,) = (needs_of_shares(of_file, Effect(effect), 0.3) for effect in (0.2, 0.02))
    assert (few.requests, few.of_run, few.prompts, few.repeat) == (57, 80, 80, 1)
    assert few.repeat_seconds == pytest.approx(needs_of_shares(of_file, Effect(0.3), 0.3)[0].repeat_seconds)
    assert (many.of_run, many.repeat, many.repeat_seconds) == (80, None, None)
    print_plan([few, many], 0.8, Console(width=200))
    printed = capsys.readouterr().out
    assert "or runs of 80: --repeat" in printed
    assert "traces have 80 different prompts" in printed
    assert "-: no number of such runs is enough" in printed


def test_the_time_of_several_seeds_is_that_of_so_many_runs(scenario: Scenario) -> None:
    (need,) = needs_of_shares(scenario, Effect(0.1), 0.3)
    (one,) = needs_of_shares(scenario, Effect(0.3), 0.3)
    assert (need.of_run, need.requests, one.repeat) == (100, pairs_needed(0.1, 0.3), 1)
    assert need.repeat == repeats_needed(need.requests, 100, need.prompts) == 3
    assert one.repeat_seconds is not None
    assert need.repeat_seconds == pytest.approx(3 * one.repeat_seconds)


@pytest.mark.parametrize(
    ("effect", "discordant", "says"),
    [
        (
            Effect(0.2),
            0.15,
            "--difference, --discordant: a difference of 20 points must be above 0 and at most",
        ),
        (Effect(0.0), 0.15, "a difference of 0 points must be above 0"),
        (Effect(0.02), 1.5, "which is 150 percent, of 100 at most"),
        (Effect(0.02, power=1.0), 0.15, "--power: must be above 0 and below 100 percent, not 100"),
    ],
)
def test_shares_that_cannot_be_are_refused_in_the_units_of_the_options(
    scenario: Scenario, effect: Effect, discordant: float, says: str
) -> None:
    with pytest.raises(TestbedError, match=says):
        needs_of_shares(scenario, effect, discordant)


def test_a_pilot_is_not_planned_by_for_an_effect_that_is_none(scenario: Scenario) -> None:
    for effect in (Effect(0.02, latency_ms=0), Effect(2.0), Effect(0.02, power=0)):
        with pytest.raises(TestbedError, match=r"must be above 0|must be a difference above 0 ms"):
            needs_of_pilot(scenario, effect, RunDirectory.open(RUN))


def test_latency_cannot_be_planned_without_a_run(scenario: Scenario) -> None:
    with pytest.raises(TestbedError, match="name a run of the scenario by --pilot"):
        needs_of_shares(scenario, Effect(0.02, latency_ms=5), 0.15)


def test_a_pilot_of_a_dozen_requests_is_too_small(scenario: Scenario) -> None:
    with pytest.raises(TestbedError, match="12 requests are too few to plan by"):
        needs_of_pilot(scenario, Effect(0.02), RunDirectory.open(RUN))


def test_a_pilot_gives_the_discordant_share_and_the_spread_of_latencies(
    scenario: Scenario, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("testbed.study.plan.LEAST_PAIRS", 10)
    directory = RunDirectory.open(Path(shutil.copytree(RUN, tmp_path / "run")))
    found = needs_of_pilot(scenario, Effect(0.02, latency_ms=5), directory)
    by_method = {
        name: {
            row["request_id"]: row
            for row in directory.read_table("requests.parquet")
            if row["method"] == name
        }
        for name in ("cloud-only", "recserve")
    }
    pairs = [(by_method["cloud-only"][name], by_method["recserve"][name]) for name in by_method["cloud-only"]]
    share = sum(one["correct"] != other["correct"] for one, other in pairs) / len(pairs)
    deviation_ms = np.std([other["latency_ms"] - one["latency_ms"] for one, other in pairs], ddof=1)
    assert [need.effect for need in found] == ["2 points more right", "5 ms in the mean"]
    assert f"{share:.1%} of 12 discordant" in found[0].what
    assert found[0].requests == pairs_needed(0.02, share)
    assert f"{deviation_ms:.0f} ms (sd)" in found[1].what


def test_a_pilot_that_may_not_be_believed_says_so_and_one_about_another_task_is_refused(
    scenario: Scenario, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("testbed.study.plan.LEAST_PAIRS", 10)
    directory = RunDirectory.open(Path(shutil.copytree(RUN, tmp_path / "run")))
    summary = directory.read_json("summary.json")
    summary["faithful"]["latency"] = False
    (directory.path / "summary.json").write_text(json.dumps(summary))
    right, latency = needs_of_pilot(scenario, Effect(0.02, latency_ms=5), directory)
    assert "verdict" not in right.what
    assert latency.what.endswith("; the run's verdict on latency is false")
    translation = load_scenario(ROOT / "scenarios" / "translation.yaml")
    with pytest.raises(TestbedError, match="is about classification, and the scenario about translation"):
        needs_of_pilot(translation, Effect(0.02), directory)
