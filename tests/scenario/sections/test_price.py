"""Prices of tiers: in units that people write, one unit for all, refused in one sentence otherwise."""

from __future__ import annotations

from pathlib import Path

import pytest

from testbed.errors import TestbedError
from testbed.scenario.scenario import load_scenario
from testbed.scenario.written import scenario_yaml
from tests import SCENARIOS

ALL = "prompt: 1 $/Mtok, cpu: 0.04 $/h"


@pytest.mark.parametrize(
    ("prices", "sentence"),
    [
        (
            ["{prompt: 1}", ALL, ALL],
            "tiers.device.price.prompt: 1 is no price of a token; write it like 0.15 $/Mtok",
        ),
        (["{prompt: 1 $}", ALL, ALL], "tiers.device.price.prompt: '1 $' is no price of a token"),
        (["{prompt: -1 $/tok}", ALL, ALL], "tiers.device.price.prompt: '-1 $/tok' is no price of a token"),
        (["{prompt: 1 $/h}", ALL, ALL], "a token's price is per tok or ktok or Mtok, not per h"),
        (["{cpu: 1 $/tok}", ALL, ALL], "a CPU second's price is per s or h, not per tok"),
        (["{cpu: 1 DM/h}", ALL, ALL], "prices are in $, €, J, not DM"),
        (["{}", ALL, ALL], "tiers.device.price: has no price; give prompt, generated or cpu"),
        (["{tokens: 1 $/tok}", ALL, ALL], "tiers.device.price.tokens: unknown key"),
        ([ALL, "{cpu: 15 J/s}", ALL], "tiers.edge.price: is in J, and tiers.cloud.price in $"),
        (
            ["{cpu: 15 J/s, prompt: 1 $/tok}", ALL, ALL],
            "tiers.device.price: is in J, and tiers.cloud.price in $",
        ),
        ([ALL, ALL, ""], "tiers.cloud.price: is missing, and device has one; give what it costs"),
    ],
)
def test_a_price_that_is_none_is_refused_by_field(prices: list[str], sentence: str) -> None:
    given = [
        f"tiers.{tier}.price={price if price.startswith('{') else f'{{{price}}}'}"
        for tier, price in zip(("device", "edge", "cloud"), prices, strict=True)
        if price
    ]
    with pytest.raises(TestbedError) as caught:
        load_scenario(SCENARIOS / "quickstart.yaml", given)
    assert sentence in str(caught.value)


def test_a_price_comes_back_from_what_is_written_of_a_scenario(tmp_path: Path) -> None:
    given = [f"tiers.{tier}.price={{{ALL}, generated: 0.60 $/Mtok}}" for tier in ("device", "edge", "cloud")]
    scenario = load_scenario(SCENARIOS / "quickstart.yaml", given)
    path = tmp_path / "again.yaml"
    path.write_text(scenario_yaml(scenario))
    assert "0.60 $/Mtok" in path.read_text()
    assert load_scenario(path) == scenario
