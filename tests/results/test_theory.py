"""Theory beside measurement: each figure found in another way, over rows that the tiers' policies made."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from testbed.results.scorers import SCORERS
from testbed.results.theory import pays_below, theory_figures
from testbed.scenario.scenario import Scenario, load_scenario, with_methods
from tests import ROOT
from tests.results.simulated import TEXT, simulate

RIGHT = SCORERS["classification"].right
COST_MS = {"device": 10.0, "edge": 30.0, "cloud": 100.0}


@pytest.fixture(scope="module")
def scenario(tmp_path_factory: pytest.TempPathFactory) -> Scenario:
    path = tmp_path_factory.mktemp("theory") / "simulated.yaml"
    path.write_text(TEXT)
    return load_scenario(path)


def measured(scenario: Scenario, name: str, requests: int = 500) -> tuple[Scenario, list[dict[str, Any]]]:
    """The scenario with one method, and its rows with what crossed hops and the time of each inference."""
    alone = with_methods(scenario, [name])
    rows = []
    for row in simulate(alone, requests):
        tiers = [alone.topology.node(node).tier for node in row["path"]]
        hops = [f"hop{number}" for number in range(len(row["path"]) - 1)]
        times = [COST_MS[tier] * (c is not None) for tier, c in zip(tiers, row["confidences"], strict=True)]
        crossed = [row["prompt_bytes"]] * len(hops)
        rows.append({**row, "hops": hops, "hop_prompt_bytes": crossed, "inference_ms": times})
    return alone, rows


def figures(
    scenario: Scenario, name: str, requests: int = 500
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    alone, rows = measured(scenario, name, requests)
    return theory_figures(alone.methods[0], rows, alone.topology, RIGHT), rows


def test_bytes_on_a_hop_are_share_times_length_ratio_times_all_bytes(scenario: Scenario) -> None:
    for name in ("recserve", "casserve", "length-router", "no-edge"):
        found, rows = figures(scenario, name)
        total = sum(row["prompt_bytes"] for row in rows)
        for level, (tier, hop) in enumerate(found["hops"].items()):
            gone = [row["prompt_bytes"] for row in rows if len(row["path"]) > level + 1]
            assert tier == ("device", "edge")[level]
            assert hop["share"] == len(gone) / len(rows)
            assert hop["prompt_bytes"] == sum(gone)
            assert hop["length_ratio"] == pytest.approx(np.mean(gone) / (total / len(rows)))
            assert hop["share"] * hop["length_ratio"] * total == pytest.approx(sum(gone))
            low, high = hop["length_ratio_ci"]
            assert low < hop["length_ratio"] < high
            if hop["share_expected"] is None:
                assert hop["prompt_bytes_expected"] is None
            else:
                assert hop["prompt_bytes_expected"] == pytest.approx(hop["share_expected"] * total)
        assert found["recursion"]["burden"] == pytest.approx(
            sum(hop["share"] * hop["length_ratio"] for hop in found["hops"].values())
        )


def test_a_router_by_length_sends_up_longer_prompts_and_a_lot_does_not_look(scenario: Scenario) -> None:
    routed, drawn = (figures(scenario, name)[0]["hops"]["device"] for name in ("length-router", "colserve"))
    assert routed["length_ratio_ci"][0] > 1.2
    assert drawn["length_ratio_ci"][0] < 1 < drawn["length_ratio_ci"][1]


def test_expected_compute_is_the_cost_of_each_tier_times_the_share_that_reaches_it(
    scenario: Scenario,
) -> None:
    found, rows = figures(scenario, "recserve")
    compute, (first, second) = found["compute"], [hop["share_expected"] for hop in found["hops"].values()]
    assert compute["inferences_asymptotic"] == pytest.approx(1 + 0.3 + 0.09)
    assert compute["inference_ms_asymptotic"] == pytest.approx(10 + 0.3 * 30 + 0.09 * 100)
    assert compute["inferences_expected"] == pytest.approx(1 + first + second)
    assert compute["inference_ms_expected"] == pytest.approx(10 + first * 30 + second * 100)
    assert compute["inferences"] == sum(len(row["path"]) for row in rows) / len(rows)
    assert compute["inference_ms"] == pytest.approx(sum(sum(row["inference_ms"]) for row in rows) / len(rows))
    assert compute["inference_ms_of_top"] == 100.0


def test_a_tier_that_relays_costs_no_inference_and_passes_on_all_that_it_gets(scenario: Scenario) -> None:
    found, rows = figures(scenario, "no-edge")
    compute = found["compute"]
    assert compute["inferences_asymptotic"] == pytest.approx(1.3)
    assert compute["inference_ms_asymptotic"] == pytest.approx(10 + 0.3 * 100)
    assert compute["inferences"] == 1 + sum(len(row["path"]) == 3 for row in rows) / len(rows)
    assert found["tiers"]["edge"]["inferences"] == 0
    assert found["hops"]["device"]["share"] == found["hops"]["edge"]["share"]
    assert found["recursion"]["burden_asymptotic"] == pytest.approx(0.6)
    assert found["recursion"]["pays_below"] == pytest.approx(0.5)


def test_a_method_that_asks_for_no_share_has_no_theory_and_all_measurements(scenario: Scenario) -> None:
    found, _ = figures(scenario, "casserve")
    for hop in found["hops"].values():
        assert hop["share_asymptotic"] is hop["prompt_bytes_asymptotic"] is hop["share_expected"] is None
        assert hop["share"] > 0
    assert found["compute"]["inferences_asymptotic"] is found["recursion"]["burden_asymptotic"] is None
    assert found["compute"]["inference_ms"] > 10
    assert found["recursion"]["burden"] > 0


def test_where_one_tier_alone_serves_only_its_confidences_are_left(scenario: Scenario) -> None:
    found, rows = figures(scenario, "device-only")
    assert found["hops"] == {}
    assert found["compute"] is found["recursion"] is None
    assert [tier["inferences"] for tier in found["tiers"].values()] == [len(rows), 0, 0]


def test_a_hop_that_nothing_crosses_needs_neither_length_nor_cost(scenario: Scenario) -> None:
    alone, rows = measured(scenario, "recserve", 1)
    method = alone.methods[0].model_copy(update={"beta": 0.0})
    found = theory_figures(method, rows, alone.topology, RIGHT)
    assert found["hops"]["device"]["share"] == 0
    assert found["hops"]["device"]["length_ratio"] is None
    assert found["compute"]["inference_ms_asymptotic"] == 10.0
    assert found["recursion"]["burden_with_lengths"] == found["recursion"]["burden"] == 0.0


def test_without_the_prompts_lengths_what_rests_on_them_is_missing_and_nothing_else(
    scenario: Scenario,
) -> None:
    alone, rows = measured(scenario, "recserve")
    older = [{**row, "prompt_bytes": None} for row in rows]
    found, full = (theory_figures(alone.methods[0], rows, alone.topology, RIGHT) for rows in (older, rows))
    for tier, hop in found["hops"].items():
        missing = {key for key, value in hop.items() if value is None}
        assert missing == {
            "prompt_bytes_asymptotic", "prompt_bytes_expected", "length_ratio", "length_ratio_ci"
        }  # fmt: skip
        assert {**full["hops"][tier], **dict.fromkeys(missing)} == hop
    assert found["compute"] == full["compute"]
    missing = {key for key, value in found["recursion"].items() if value is None}
    assert missing == {"burden_with_lengths", "burden", "pays_below_with_lengths"}


def test_recursion_pays_below_the_golden_ratio_for_three_tiers_and_always_for_two() -> None:
    assert pays_below([1, 2], [1.0, 1.0]) == pytest.approx((math.sqrt(5) - 1) / 2)
    assert pays_below([1], [1.0]) == 1.0
    assert pays_below([1, 2, 3], [1.0] * 3) == pytest.approx(0.5436890126920764)  # β + β² + β³ = 1


def test_longer_prompts_going_up_lower_the_limit_and_a_relay_at_the_device_leaves_none() -> None:
    limit = pays_below([1, 2], [1.23, 1.4])
    assert 1.23 * limit + 1.4 * limit**2 == pytest.approx(1)
    assert limit < (math.sqrt(5) - 1) / 2 < pays_below([1, 2], [0.8, 0.7])
    assert pays_below([0, 1], [1.0, 1.0]) == 0.0
    assert pays_below([1], [0.7]) == 1.0


def test_every_figure_is_on_the_page(scenario: Scenario) -> None:
    page = (ROOT / "docs" / "RESULTS.md").read_text()
    found, _ = figures(scenario, "recserve")
    of_one = [found["hops"]["device"], found["tiers"]["device"], found["compute"], found["recursion"]]
    keys = [*found, *(key for one in of_one for key in one)]
    assert [key for key in keys if f"`{key}`" not in page and f"`theory.{key}`" not in page] == []
