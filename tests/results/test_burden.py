"""The burden as the paper counts it: by hand, and against the bytes of a real run."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from testbed.results.burden import burden_paper_bytes, paper_bytes
from testbed.results.directory import RunDirectory
from testbed.scenario.scenario import Scenario, load_scenario
from testbed.scenario.sections.methods import Method
from tests import ROOT
from tests.results.simulated import TEXT, simulate

TIERS = ("device", "edge", "cloud")


@pytest.fixture(scope="module")
def scenario(tmp_path_factory: pytest.TempPathFactory) -> Scenario:
    path = tmp_path_factory.mktemp("burden") / "simulated.yaml"
    path.write_text(TEXT)
    return load_scenario(path)


def method(scenario: Scenario, name: str) -> Method:
    return next(method for method in scenario.methods if method.name == name)


def row(tier: str | None, prompt_bytes: int | None = 100, **changes: Any) -> dict[str, Any]:
    return {
        "request_id": "r0", "outcome": "answered", "tier": tier, "prompt_bytes": prompt_bytes,
        "answer": "positive", **changes,
    }  # fmt: skip


def test_prompt_and_answer_count_twice_on_each_hop(scenario: Scenario) -> None:
    recserve = method(scenario, "recserve")
    rows = [row("device"), row("edge", 50), row("cloud", 30)]
    assert burden_paper_bytes(recserve, TIERS, rows) == 0 + 2 * (50 + 8) + 4 * (30 + 8)


def test_characters_count_as_their_bytes_in_utf_8(scenario: Scenario) -> None:
    rows = [row("edge", 50, answer="größer")]
    assert burden_paper_bytes(method(scenario, "recserve"), TIERS, rows) == 2 * (50 + 8)


def test_a_tier_that_alone_serves_is_one_hop_away(scenario: Scenario) -> None:
    assert burden_paper_bytes(method(scenario, "cloud-only"), TIERS, [row("cloud")]) == 2 * 108
    assert burden_paper_bytes(method(scenario, "device-only"), TIERS, [row("device")]) == 0


def test_a_tier_that_relays_is_a_hop_as_any_other(scenario: Scenario) -> None:
    assert burden_paper_bytes(method(scenario, "no-edge"), TIERS, [row("cloud")]) == 4 * 108


def test_requests_without_an_answer_and_attempts_above_the_answer_cost_nothing(scenario: Scenario) -> None:
    lost = row(None, outcome="deadline", answer=None)
    best_so_far = row("device", hops=["device1-edge1"], hop_prompt_bytes=[100], hop_answer_bytes=[0])
    assert burden_paper_bytes(method(scenario, "recserve"), TIERS, [lost, best_so_far]) == 0


def test_only_the_requests_named_count(scenario: Scenario) -> None:
    rows = [row("edge", 10, request_id="r1"), row("edge", 90, request_id="r2")]
    assert burden_paper_bytes(method(scenario, "recserve"), TIERS, rows, {"r1"}) == 2 * 18


def test_without_the_prompts_length_there_is_no_figure(scenario: Scenario) -> None:
    rows = [row("edge"), row("device", None)]
    assert burden_paper_bytes(method(scenario, "recserve"), TIERS, rows) is None
    assert burden_paper_bytes(method(scenario, "recserve"), TIERS, []) == 0


def test_the_theory_of_equal_prompts_is_the_share_on_each_hop_over_cloud_only() -> None:
    """β = 0.5 of 1,000 equal requests: 500 cross a hop and 250 a second one; β (1 + β) = 0.75."""
    levels = np.repeat([0, 1, 2], [500, 250, 250])
    recursive, direct = paper_bytes(levels, 80, 20), paper_bytes(np.full(1000, 2), 80, 20, alone=True)
    assert recursive.sum() / direct.sum() == 0.75


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 2**40), st.integers(0, 2**20)), max_size=20))
def test_many_requests_at_once_cost_what_each_costs_alone(given: list[tuple[int, int, int]]) -> None:
    levels, prompts, answers = np.array(given, dtype=np.int64).reshape(-1, 3).T
    recursive, alone = (paper_bytes(levels, prompts, answers, alone=alone) for alone in (False, True))
    assert recursive.tolist() == [2 * level * (x + y) for level, x, y in given]
    assert alone.tolist() == [2 * (x + y) if level else 0 for level, x, y in given]


def test_in_a_run_without_failures_it_is_twice_the_bytes_that_crossed() -> None:
    """A run of schema version 1, whose prompts' lengths are those that crossed under cloud-only."""
    run = RunDirectory.open(ROOT / "tests" / "data" / "run-v1")
    scenario = Scenario.model_validate(run.read_json("manifest.json")["scenario"])
    rows = run.read_table("requests.parquet")
    lengths = {row["request_id"]: row["hop_prompt_bytes"][0] for row in rows if row["method"] == "cloud-only"}
    rows = [{**row, "prompt_bytes": lengths[row["request_id"]]} for row in rows]
    for made in scenario.methods:
        of_method = [row for row in rows if row["method"] == made.name]
        assert {row["outcome"] for row in of_method} == {"answered"}
        crossed = 2 * sum(sum(row["hop_prompt_bytes"]) + sum(row["hop_answer_bytes"]) for row in of_method)
        hops = len(scenario.tier_names) - 1 if made.only_tier == scenario.tier_names[-1] else 1
        assert burden_paper_bytes(made, scenario.tier_names, of_method) == crossed / hops


def test_all_methods_of_a_simulated_run_have_it(scenario: Scenario) -> None:
    rows = simulate(scenario, 50)
    for made in scenario.methods:
        of_method = [row for row in rows if row["method"] == made.name]
        crossed = sum(
            (len(row["path"]) - 1) * (row["prompt_bytes"] + len(row["answer"])) for row in of_method
        )
        hops = 2 if made.name == "cloud-only" else 1
        assert burden_paper_bytes(made, TIERS, of_method) == 2 * crossed // hops
