"""What an oracle is told before a run, and where there is nothing that it could be told."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from testbed.errors import TestbedError
from testbed.scenario.foreknowledge import Foreknown, foreknow
from testbed.scenario.requests import build_trace, prompts_for
from testbed.scenario.scenario import Scenario, load_scenario
from testbed.scenario.workload.datasets import Example
from tests import SCENARIOS
from tests.scenario.refusals import refusal

SMOKE = SCENARIOS / "smoke.yaml"
ORACLE = "methods=[{name: bound, policy: oracle}]"


def asked() -> dict[str, Example]:
    return prompts_for(build_trace(load_scenario(SMOKE, requests=30)))


def recorded(folder: Path, tier: str, wrong: int, lacking: int = 0) -> str:
    """An override: the tier answers all rightly but each ``wrong``-th request, and lacks the last ones."""
    path = folder / f"{tier}.jsonl"
    lines = []
    for number, example in enumerate(asked().values()):
        other = "positive" if example.reference == "negative" else "negative"
        answer = other if number % wrong == 0 else example.reference
        lines.append({"text": example.text, "answer": answer, "confidence": 0.5})
    path.write_text("".join(json.dumps(line) + "\n" for line in lines[: 30 - lacking]))
    return f"tiers.{tier}.model={{kind: recorded, path: {path}, service: 0ms, missing: made-up}}"


def scenario(folder: Path, *overrides: str, method: str = ORACLE) -> Scenario:
    tiers = [recorded(folder, "device", 2), recorded(folder, "edge", 3), recorded(folder, "cloud", 5)]
    return load_scenario(SMOKE, [*tiers, method, *overrides], requests=30)


def sent_up(found: Foreknown) -> dict[str, list[int]]:
    """By tier the numbers of the requests that go up."""
    names = list(asked())
    given = found.methods["bound"]["goes_up"]
    return {tier: sorted(map(names.index, ids)) for tier, ids in given.items()}


def test_it_is_told_which_requests_go_up_from_each_tier(tmp_path: Path) -> None:
    found = foreknow(scenario(tmp_path), asked())
    assert sent_up(found) == {
        "device": [number for number in range(0, 30, 2) if number % 3 or number % 5],
        "edge": [number for number in range(0, 30, 3) if number % 5],
    }
    assert found.answers.keys() == {"device", "edge", "cloud"}
    assert found.answers["cloud"].keys() == asked().keys()


def test_a_tier_that_relays_is_none_that_could_be_right(tmp_path: Path) -> None:
    relayed = "methods=[{name: bound, policy: oracle, relay: [edge]}]"
    edge = "tiers.edge.model=embedded/edge"
    found = foreknow(scenario(tmp_path, edge, method=relayed), asked())
    assert sent_up(found) == {"device": [number for number in range(0, 30, 2) if number % 5]}


def test_nothing_is_read_where_no_method_asks_for_it() -> None:
    assert foreknow(load_scenario(SMOKE), asked()) == Foreknown()


def test_answers_that_are_not_known_before_the_run_are_refused_in_one_sentence(tmp_path: Path) -> None:
    (other := tmp_path / "other").mkdir()
    knows = "methods.bound: oracle knows every answer before the run, and tiers.edge.model"
    for override, says in (
        ("tiers.edge.model=embedded/edge", "has no recordings; use recorded tiers, or leave the method out"),
        ("tiers.edge.model={kind: recorded, service: 1ms}", "has no recordings; use recorded tiers"),
        (recorded(other, "edge", 3, lacking=4), "makes up the answers to 4 of the trace's 30 requests"),
    ):
        with pytest.raises(TestbedError) as caught:
            foreknow(scenario(tmp_path, override), asked())
        assert str(caught.value).startswith(f"{knows} {says}")


def test_a_task_without_right_and_wrong_has_no_oracle() -> None:
    sentence = refusal("methods=[{name: oracle}]", path=SCENARIOS / "translation.yaml")
    assert "methods.oracle: translation has no right and wrong answers to know; leave oracle out" in sentence
