"""What share went up, what was asked for, and what equal confidences took from it."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from testbed.results.offload import offload_figures, tie_warnings
from testbed.scenario.scenario import Scenario, load_scenario, with_methods
from tests.results.simulated import TEXT, simulate
from tiers.policies import Place, make_policy

PLACE = Place("device1", "device", ("device", "edge", "cloud"))


@pytest.fixture(scope="module")
def scenario(tmp_path_factory: pytest.TempPathFactory) -> Scenario:
    path = tmp_path_factory.mktemp("offload") / "simulated.yaml"
    path.write_text(TEXT)
    return load_scenario(path)


def served(policy: dict[str, Any], confidences: list[float]) -> list[dict[str, Any]]:
    """Rows of requests that one device answers or sends up, one after the other, by the tier's own policy."""
    made = make_policy(policy, PLACE)
    rows = []
    for confidence in confidences:
        decision = made.decide(confidence)
        rows.append(
            {
                "path": ["device1"], "confidences": [confidence], "thresholds": [decision.threshold],
                "window_seqs": [decision.window_seq], "window_lengths": [decision.window_length],
                "kept": [decision.keep], "lives": [0],
            }
        )  # fmt: skip
    return rows


def figures(
    scenario: Scenario, confidences: list[float], beta: float, window: int = 10_000
) -> dict[str, Any]:
    """The device's figures under RecServe."""
    (method,) = [method for method in scenario.methods if method.name == "recserve"]
    method = method.model_copy(update={"beta": beta, "window": window})
    rows = served({"policy": "recserve", "beta": beta, "window": window}, confidences)
    return offload_figures(method, rows, scenario.topology)["device"]


def test_one_confidence_for_all_sends_up_nothing_and_that_is_explained(scenario: Scenario) -> None:
    found = figures(scenario, [0.98] * 100, beta=0.9)
    assert (found["decisions"], found["offloaded"], found["share"]) == (100, 0, 0.0)
    assert (found["share_asked"], found["distinct_confidences"]) == (0.9, 1)
    assert (found["tied_at_threshold"], found["largest_tie"]) == (0.99, 1.0)
    assert found["share_untied"] == pytest.approx(found["share_expected"])
    assert round(found["share_expected"], 3) == 0.870
    (warning,) = tie_warnings("recserve", {"device": found})
    assert warning.startswith("recserve: device sent up a share of 0.000 where β asked for 0.900")
    assert "1 distinct in 100 decisions" in warning


@pytest.mark.parametrize(("requests", "expected"), [(20, 0.159), (100, 0.117)])
def test_the_expected_share_of_a_short_run_is_more_than_beta(
    scenario: Scenario, requests: int, expected: float
) -> None:
    found = figures(scenario, [number / requests for number in range(requests)], beta=0.1)
    assert round(found["share_expected"], 3) == expected


def test_beyond_the_window_the_expected_share_is_that_of_a_full_one(scenario: Scenario) -> None:
    found = figures(scenario, [number / 1000 for number in range(1000)], beta=0.3, window=10)
    filling = sum(math.ceil(round(0.3 * (m - 1), 9)) / m for m in range(2, 11))
    assert found["share_expected"] == pytest.approx((filling + 990 * 3 / 10) / 1000)


@given(
    confidences=st.lists(st.floats(0, 1, width=16), min_size=1, max_size=60, unique=True),
    beta=st.integers(0, 20).map(lambda number: number / 20),
    window=st.integers(2, 30),
)
def test_without_ties_what_went_up_is_what_would_have(
    scenario: Scenario, confidences: list[float], beta: float, window: int
) -> None:
    found = figures(scenario, confidences, beta, window)
    assert found["share_untied"] == pytest.approx(found["share"])
    assert found["distinct_confidences"] == len(confidences)
    assert list(tie_warnings("recserve", {"device": found})) == []


@given(
    values=st.lists(st.integers(0, 4), min_size=2, max_size=25),
    beta=st.integers(0, 20).map(lambda number: number / 20),
    window=st.integers(2, 30),
    seed=st.integers(0, 3),
)
def test_ties_only_take_and_what_they_take_is_between_the_orders_that_break_them(
    scenario: Scenario, values: list[int], beta: float, window: int, seed: int
) -> None:
    found = figures(scenario, [value / 4 for value in values], beta, window)
    falling = [value / 4 - at / 1000 + 0.1 for at, value in enumerate(values)]
    rising = [value / 4 + at / 1000 for at, value in enumerate(values)]
    shares = [
        figures(scenario, [c / 2 for c in broken], beta, window)["share"] for broken in (falling, rising)
    ]
    assert found["share"] <= found["share_untied"] + 1e-9
    assert min(shares) - 1e-9 <= found["share_untied"] <= max(shares) + 1e-9


def test_a_fixed_threshold_asks_for_no_share_and_meets_ties_too(scenario: Scenario) -> None:
    (method,) = [method for method in scenario.methods if method.name == "casserve"]
    rows = served({"policy": "casserve", "thresholds": {"device": 0.8, "edge": 0.9}}, [0.8, 0.8, 0.7, 0.9])
    found = offload_figures(method, rows, scenario.topology)["device"]
    assert (found["share"], found["share_asked"], found["share_expected"]) == (0.25, None, None)
    assert (found["tied_at_threshold"], found["largest_tie"], found["distinct_confidences"]) == (0.5, 0.5, 3)
    assert list(tie_warnings("casserve", {"device": found})) == []


def test_each_deciding_tier_of_a_method_has_its_figures_and_a_single_tier_has_none(
    scenario: Scenario,
) -> None:
    rows = simulate(scenario, 400)
    found = {
        method.name: offload_figures(
            method, [row for row in rows if row["method"] == method.name], scenario.topology
        )
        for method in scenario.methods
    }
    assert found["device-only"] == found["cloud-only"] == {}
    assert list(found["casserve"]) == list(found["recserve"]) == ["device", "edge"]
    device, edge = found["recserve"].values()
    assert device["decisions"] == 400
    assert edge["decisions"] == device["offloaded"]
    assert device["share_untied"] == pytest.approx(device["share"])
    assert device["share"] == pytest.approx(device["share_expected"], abs=0.08)


def test_a_tier_that_no_request_reached_has_no_shares(scenario: Scenario) -> None:
    (method,) = [method for method in scenario.methods if method.name == "recserve"]
    rows = served({"policy": "recserve", "beta": 0.0, "window": 5}, [0.1, 0.2])
    edge = offload_figures(method, rows, scenario.topology)["edge"]
    assert (edge["decisions"], edge["share"], edge["largest_tie"], edge["share_expected"]) == (
        0,
        None,
        None,
        None,
    )


def test_what_a_killed_node_lost_leaves_open_what_ties_took(scenario: Scenario) -> None:
    (method,) = [method for method in scenario.methods if method.name == "recserve"]
    rows = served({"policy": "recserve", "beta": 0.3, "window": 20}, [0.5] * 30)
    assert offload_figures(method, rows[:9] + rows[10:], scenario.topology)["device"]["share_untied"] is None
    again = [{**row, "lives": [1]} for row in rows]
    lives = offload_figures(method, rows + again, scenario.topology)["device"]
    once = offload_figures(method, rows, scenario.topology)["device"]
    assert lives["share_expected"] == pytest.approx(once["share_expected"])
    assert lives["share_untied"] == pytest.approx(once["share_untied"])


ASKED: dict[str, tuple[dict[str, float | None], bool]] = {
    "recserve": ({"device": 0.3, "edge": 0.3}, True),
    "by-tier": ({"device": 0.5, "edge": 0.1}, True),
    "enter-after": ({"device": 0.4, "edge": 0.4}, False),
    "no-edge": ({"device": 0.3, "edge": None}, True),
    "static-quantile": ({"device": 0.5, "edge": 0.3}, False),
    "by-share": ({"device": 0.4, "edge": 0.4}, False),
    "by-accuracy": ({"device": None, "edge": None}, False),
    "colserve": ({"device": 0.4, "edge": 0.2}, False),
    "budget": ({"device": 0.3, "edge": 0.3}, False),
    "budget-of-bytes": ({"device": None, "edge": None}, False),
    "length-router": ({"device": None, "edge": None}, False),
}


@pytest.mark.parametrize("name", ASKED)
def test_the_share_that_a_method_asks_for_stands_beside_what_it_got(scenario: Scenario, name: str) -> None:
    asked, expected = ASKED[name]
    alone = with_methods(scenario, [name])
    rows = simulate(alone, 600)
    found = offload_figures(alone.methods[0], rows, scenario.topology)
    assert {tier: of_tier.get("share_asked") for tier, of_tier in found.items()} == {
        tier: share for tier, share in asked.items() if tier not in alone.methods[0].relay
    }
    for tier, of_tier in found.items():
        assert (of_tier["share_expected"] is not None) == expected
        decided = [
            not row["kept"][row["path"].index(node)]
            for row in rows
            for node in row["path"]
            if node[:-1] == tier
        ]
        assert (of_tier["decisions"], of_tier["offloaded"]) == (len(decided), sum(decided))
        if asked[tier] is not None:
            assert of_tier["share"] == pytest.approx(asked[tier], abs=0.15)
    if name == "budget":
        assert found["device"]["share"] == pytest.approx(0.3, abs=3 * 4 / 600)
