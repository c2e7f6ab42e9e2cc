"""What share should cross each hop: by hand, and as the tiers' own policy does on average."""

from __future__ import annotations

import math
import random
import statistics
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from testbed.results.shares import expected_offloads, hop_shares
from testbed.scenario.scenario import Scenario, load_scenario, with_methods
from tests.results.simulated import TEXT, simulate
from tiers.policies import Place, make_policy

TIERS = ("device", "edge", "cloud")


@pytest.fixture(scope="module")
def scenario(tmp_path_factory: pytest.TempPathFactory) -> Scenario:
    path = tmp_path_factory.mktemp("shares") / "simulated.yaml"
    path.write_text(TEXT)
    return load_scenario(path)


@given(
    beta=st.integers(0, 20).map(lambda number: number / 20),
    window=st.integers(1, 40),
    requests=st.integers(0, 80),
    filled=st.integers(0, 40),
)
def test_it_is_the_sum_of_the_chances_over_windows_that_grow_until_they_are_full(
    beta: float, window: int, requests: int, filled: int
) -> None:
    lengths = [min(filled + number, window) for number in range(1, requests + 1)]
    chances = [math.ceil(round(beta * (length - 1), 9)) / length for length in lengths]
    assert expected_offloads(beta, window, requests, filled) == pytest.approx(math.fsum(chances))


@pytest.mark.parametrize(("requests", "share"), [(20, 0.159), (100, 0.117)])
def test_a_short_run_sends_up_more_than_beta(requests: int, share: float) -> None:
    assert round(expected_offloads(0.1, 10_000, requests) / requests, 3) == share


def test_between_whole_numbers_it_is_linear() -> None:
    below, above = (expected_offloads(0.3, 10, number) for number in (7, 8))
    assert expected_offloads(0.3, 10, 7.25) == pytest.approx(0.75 * below + 0.25 * above)
    assert expected_offloads(0.3, 10, 1000.5) == pytest.approx(expected_offloads(0.3, 10, 1000) + 0.15)


def sent_up(spec: dict[str, Any], asked: dict[str, int], draws: random.Random) -> Counter[str]:
    """How many requests three devices, two edges and a cloud send up, by the tiers' own policy."""
    parents = {"device1": "edge1", "device2": "edge1", "device3": "edge2", "edge1": "", "edge2": ""}
    policies = {node: make_policy(spec, Place(node, node[:-1], TIERS)) for node in parents}
    going = Counter[str]()
    for device in draws.sample(list(asked), sum(asked.values()), counts=list(asked.values())):
        node = device
        while node and not policies[node].decide(draws.random()).keep:
            going[node[:-1]] += 1
            node = parents[node]
    return going


@pytest.mark.parametrize("window", [10_000, 12])
def test_the_expected_share_of_each_hop_is_the_mean_of_many_runs(scenario: Scenario, window: int) -> None:
    """300 runs: the mean lies within four standard errors, at the tier above a selecting one too."""
    (method,) = with_methods(scenario, ["recserve"]).methods
    method = method.model_copy(update={"beta": 0.3, "window": window})
    asked = {"device1": 30, "device2": 9, "device3": 2}
    rows = [{"device": device} for device, requests in asked.items() for _ in range(requests)]
    expected = hop_shares(method, scenario.topology, rows)
    draws = random.Random(7)
    spec = {"policy": "recserve", "beta": 0.3, "window": window}
    runs = [sent_up(spec, asked, draws) for _ in range(300)]
    for tier, power in (("device", 1), ("edge", 2)):
        shares = [run[tier] / len(rows) for run in runs]
        error = statistics.stdev(shares) / math.sqrt(len(runs))
        assert expected[tier].expected == pytest.approx(statistics.mean(shares), abs=4 * error)
        assert expected[tier].asymptotic == pytest.approx(0.3**power)
    share = expected["device"].expected
    assert share is not None
    assert share > 0.3  # a short run sends up more than β


EXPECTED: dict[str, tuple[tuple[float | None, float | None], bool]] = {
    "recserve": ((0.3, 0.09), True),
    "by-tier": ((0.5, 0.05), True),
    "enter-after": ((0.4, 0.16), False),
    "prefilled": ((0.3, 0.09), True),
    "no-edge": ((0.3, 0.3), True),
    "static-quantile": ((0.5, 0.15), False),
    "static-no-edge": ((0.3, 0.3), False),
    "by-share": ((0.4, 0.16), False),
    "by-accuracy": ((None, None), False),
    "casserve": ((None, None), False),
    "colserve": ((0.4, 0.08), True),
    "budget": ((0.3, 0.09), True),
    "budget-of-bytes": ((None, None), False),
    "length-router": ((None, None), False),
    "oracle": ((None, None), False),
    "shared": ((0.3, 0.09), True),
}


@pytest.mark.parametrize("name", EXPECTED)
def test_each_method_has_the_product_of_what_it_asks_for_and_a_finite_share_where_that_follows(
    scenario: Scenario, name: str
) -> None:
    alone = with_methods(scenario, [name])
    (asymptotic, finite), rows = EXPECTED[name], simulate(alone, 600)
    found = hop_shares(alone.methods[0], alone.topology, rows)
    assert list(found) == ["device", "edge"]
    for share, expected in zip(found.values(), asymptotic, strict=True):
        assert share.asymptotic == (expected if expected is None else pytest.approx(expected))
        assert (share.expected is not None) == finite
    if finite:
        for level, share in enumerate(found.values()):
            measured = sum(len(row["path"]) - 1 > level for row in rows) / len(rows)
            assert share.expected == pytest.approx(measured, abs=0.06)


def test_a_window_that_was_prefilled_is_one_that_has_grown_already(scenario: Scenario) -> None:
    alone = with_methods(scenario, ["prefilled"])
    rows = simulate(alone, 30)
    filled = min(row["window_lengths"][0] for row in rows) - 1
    assert filled >= 39  # of a window of 40, which 60 rows fill
    share = hop_shares(alone.methods[0], alone.topology, rows)["device"].expected
    assert share == pytest.approx(math.ceil(0.3 * 39) / 40)


def test_a_window_of_a_whole_tier_grows_with_all_its_requests(scenario: Scenario) -> None:
    (method,) = with_methods(scenario, ["recserve"]).methods
    rows = [{"device": f"device{number % 3 + 1}"} for number in range(60)]
    of_tier, of_node = (
        hop_shares(method.model_copy(update={"scope": scope}), scenario.topology, rows)
        for scope in ("tier", "node")
    )
    window = int(method.of_tier("window", "device"))
    gone = expected_offloads(0.3, window, 60)
    assert of_tier["device"].expected == pytest.approx(gone / 60)
    assert of_tier["edge"].expected == pytest.approx(expected_offloads(0.3, window, gone) / 60)
    assert of_node["device"].expected == pytest.approx(3 * expected_offloads(0.3, window, 20) / 60)


def test_one_tier_alone_has_no_hop_of_its_own(scenario: Scenario) -> None:
    for name in ("cloud-only", "device-only"):
        alone = with_methods(scenario, [name])
        assert hop_shares(alone.methods[0], alone.topology, simulate(alone, 5)) == {}
