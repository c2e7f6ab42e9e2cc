"""Costs by hand: tokens and CPU seconds of every tier that worked, and null with its reason where unknown."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from testbed.results.cost import cost_figures, method_costs, with_costs
from testbed.scenario.scenario import Scenario, load_scenario
from tests import SCENARIOS

PRICES = [
    "tiers.device.price={prompt: 1 $/tok, generated: 10 $/tok, cpu: 100 $/s}",
    "tiers.edge.price={prompt: 2 $/tok, generated: 20 $/tok}",
    "tiers.cloud.price={cpu: 3600 $/h}",
]


@pytest.fixture(scope="module")
def scenario() -> Scenario:
    return load_scenario(SCENARIOS / "quickstart.yaml", PRICES, methods=["recserve", "cloud-only"])


def row(request: int, path: list[str], *, method: str = "recserve", **changes: Any) -> dict[str, Any]:
    inferred = method == "recserve"
    nodes = len(path)
    return {
        "method": method,
        "request_id": f"r{request}",
        "device": "device1",
        "outcome": "answered",
        "path": path,
        "hops": ["device1-edge1", "edge1-cloud1"][: max(0, nodes - 1)],
        "skipped": [None] * nodes,
        "forward_errors": [None] * nodes,
        "node_answers": ["positive" if inferred or node == "cloud1" else None for node in path],
        "inference_ms": [5.0 if inferred or node == "cloud1" else 0.0 for node in path],
        "prompt_tokens": [3 if inferred or node == "cloud1" else None for node in path],
        "generated_tokens": [1 if inferred or node == "cloud1" else None for node in path],
        **changes,
    }


def used(seconds: Mapping[str, float | None], method: str = "recserve") -> list[dict[str, Any]]:
    every: dict[str, float | None] = {"device1": 0.0, "device2": 0.0, "edge1": 0.0, "cloud1": 0.0, **seconds}
    return [{"node": node, "method": method, "cpu_seconds": cpu_s} for node, cpu_s in every.items()]


def test_a_tier_that_inferred_and_passed_on_costs_too(scenario: Scenario) -> None:
    rows = [row(0, ["device1"]), row(1, ["device1", "edge1"]), row(2, ["device1", "edge1", "cloud1"])]
    found = method_costs(scenario, scenario.methods[0], rows, used({}))
    assert found.unit == "$"
    assert found.requests == [13.0, 13.0 + 26.0, 13.0 + 26.0]
    assert found.tiers == {"device": 39.0, "edge": 52.0, "cloud": 0.0}
    assert found.reasons == []


def test_cpu_seconds_are_divided_by_the_time_of_inference_and_sum_to_the_nodes(scenario: Scenario) -> None:
    rows = [row(0, ["device1"], inference_ms=[30.0]), row(1, ["device1"], inference_ms=[10.0])]
    found = method_costs(
        scenario, scenario.methods[0], rows, used({"device1": 0.4, "device2": 0.01, "cloud1": 2.0})
    )
    assert found.requests == pytest.approx([13 + 30.0, 13 + 10.0])
    # The second device and the cloud were idle: theirs is the method's cost, and no request's.
    assert found.tiers == pytest.approx({"device": 26 + 40.0 + 1.0, "edge": 0.0, "cloud": 2.0})
    figures = cost_figures(
        scenario, scenario.methods[0], rows, used({"device1": 0.4, "device2": 0.01, "cloud1": 2.0})
    )
    assert figures["cost"] == pytest.approx(69.0)
    assert figures["cost_per_request"] == pytest.approx(33.0)
    assert figures["cost_per_request_ci"] is None  # of two requests


def test_a_request_of_a_batch_has_its_share_of_the_batchs_time(scenario: Scenario) -> None:
    # The model was at work for 40 ms for both of the batch, and for 20 ms for the third.
    batch = [row(number, ["device1"], inference_ms=[40.0], batch_sizes=[2]) for number in range(2)]
    rows = [*batch, row(2, ["device1"], inference_ms=[20.0], batch_sizes=[1])]
    found = method_costs(scenario, scenario.methods[0], rows, used({"device1": 0.6}))
    assert found.requests == pytest.approx([13 + 20.0] * 3)


def test_a_node_that_only_relays_costs_its_cpu_and_no_tokens(scenario: Scenario) -> None:
    way = ["device1", "edge1", "cloud1"]
    rows = [row(number, way, method="cloud-only") for number in range(2)]
    found = method_costs(
        scenario, scenario.methods[1], rows, used({"device1": 0.1, "cloud1": 4.0}, "cloud-only")
    )
    assert found.requests == pytest.approx([5.0 + 2.0] * 2)
    assert found.tiers == pytest.approx({"device": 10.0, "edge": 0.0, "cloud": 4.0})


@pytest.mark.parametrize(
    ("changes", "cpu", "reason", "unknown"),
    [
        ({"prompt_tokens": [None, 3]}, {}, "device: its model counts no tokens", "device"),
        ({"generated_tokens": None}, {}, "device: its model counts no tokens", "device"),
        ({"hops": ["device1-edge1", "edge1-cloud1"]}, {}, "cloud: what it did not record", "cloud"),
        ({}, {"device1": None}, "device: the kernel did not count its CPU time", "device"),
        (
            {"node_answers": ["positive", None], "forward_errors": ["inference", None]},
            {},
            "edge: what a failed inference took is not known",
            "edge",
        ),
    ],
)
def test_what_cannot_be_known_is_null_with_its_reason_and_never_0(
    scenario: Scenario,
    changes: dict[str, Any],
    cpu: dict[str, float | None],
    reason: str,
    unknown: str,
) -> None:
    rows = [row(0, ["device2"]), row(1, ["device1", "edge1"], **changes)]
    figures = cost_figures(scenario, scenario.methods[0], rows, used(cpu))
    assert (figures["cost"], figures["cost_per_request"], figures["cost_per_request_ci"]) == (None,) * 3
    assert figures["cost_reason"].startswith(reason)
    assert [tier for tier, cost in figures["cost_by_tier"].items() if cost is None] == sorted(
        {unknown, *(["edge"] if "generated_tokens" in changes else [])}
    )
    costs = [one["cost"] for one in with_costs(scenario, "recserve", rows, used(cpu))]
    assert costs == [13.0, None]


def test_a_request_that_reached_nobody_is_unknown_unless_it_was_never_sent(scenario: Scenario) -> None:
    rows = [row(0, [], outcome="timeout"), row(1, [], outcome="deadline")]
    assert method_costs(scenario, scenario.methods[0], rows, used({})).requests == [None, 0.0]


def test_the_cpu_time_of_a_tier_that_is_recorded_is_not_its_models() -> None:
    prices = [f"tiers.{tier}.price.cpu=1 J/s" for tier in ("device", "edge", "cloud")]
    scenario = load_scenario(SCENARIOS / "smoke.yaml", prices)
    figures = cost_figures(scenario, scenario.methods[1], [row(0, ["device1"])], used({"device1": 1.0}))
    assert figures["cost_unit"] == "J"
    assert figures["cost"] is None
    assert "device: its CPU time is not a model's, for its answers are recorded" in figures["cost_reason"]


def test_an_engine_that_the_testbed_starts_costs_its_cpu_seconds_and_one_elsewhere_is_not_known() -> None:
    prices = [f"tiers.{tier}.price.cpu=1 J/s" for tier in ("device", "edge", "cloud")]
    path = ["device1", "edge1", "cloud1"]
    rows = [row(0, path, method="cloud-only")]
    seconds = used({"device1": 1.0, "cloud1": 3.0}, "cloud-only")
    started = load_scenario(SCENARIOS / "engine.yaml", prices)
    assert cost_figures(started, started.methods[0], rows, seconds)["cost"] == pytest.approx(4.0)
    model = "tiers.cloud.model={kind: openai, url: 'http://localhost:1/v1', model: small}"
    elsewhere = load_scenario(SCENARIOS / "engine.yaml", [*prices, model])
    figures = cost_figures(elsewhere, elsewhere.methods[0], rows, seconds)
    assert figures["cost"] is None
    assert figures["cost_reason"] == "cloud: its engine's CPU time is not measured"


def test_without_prices_there_is_no_cost() -> None:
    scenario = load_scenario(SCENARIOS / "smoke.yaml")
    assert cost_figures(scenario, scenario.methods[1], [row(0, ["device1"])], used({})) == {}
    assert with_costs(scenario, "recserve", [{"cost": None}], used({})) == [{"cost": None}]


def test_a_requests_mean_has_an_interval(scenario: Scenario) -> None:
    rows = [row(number, ["device1"], inference_ms=[1.0 + 7 * number % 40]) for number in range(40)]
    figures = cost_figures(scenario, scenario.methods[0], rows, used({"device1": 8.2}))
    assert figures["cost"] == pytest.approx(40 * 13 + 820)
    assert figures["cost_per_request"] == pytest.approx(13 + 20.5)
    low, high = figures["cost_per_request_ci"]
    assert low < figures["cost_per_request"] < high


@pytest.mark.parametrize("path", ["device", "edge"])
def test_prices_come_back_from_a_manifest(scenario: Scenario, path: str) -> None:
    again = Scenario.model_validate(scenario.model_dump(mode="json"))
    assert again.tier(path).price == scenario.tier(path).price


def test_a_price_of_a_million_tokens_is_that_of_one_to_the_last_digit(tmp_path: Path) -> None:
    given = "tiers.{}.price={{prompt: 0.15 $/Mtok, generated: 0.60 $/Mtok, cpu: 0.036 $/h}}"
    scenario = load_scenario(
        SCENARIOS / "smoke.yaml", [given.format(tier) for tier in ("device", "edge", "cloud")]
    )
    price = scenario.tiers[0].price
    assert price is not None
    assert (price.prompt_token, price.generated_token, price.cpu_second) == (0.15e-6, 0.60e-6, 1e-5)
