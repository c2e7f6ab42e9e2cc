"""What is kept up: one method that needs no replay, without the scenario's events."""

from __future__ import annotations

from pathlib import Path

import pytest

from testbed.errors import TestbedError
from testbed.orchestrator.serving.keep_up import prepared
from testbed.orchestrator.serving.serve import devices_to_ask
from testbed.scenario.scenario import Scenario, load_scenario
from tests import SCENARIOS

SMOKE = SCENARIOS / "smoke.yaml"


def scenario(tmp_path: Path, methods: str, more: str = "") -> Scenario:
    text = SMOKE.read_text().replace("  - {name: cloud-only}\n", methods) + more
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    return load_scenario(path)


def names(kept_up: tuple[Scenario, list[str]]) -> list[str]:
    return [method.name for method in kept_up[0].methods]


def test_recserve_is_in_force_unless_another_method_is_named() -> None:
    loaded = load_scenario(SMOKE)
    assert names(prepared(loaded, None, record=False)) == ["recserve"]
    assert names(prepared(loaded, "cloud-only", record=False)) == ["cloud-only"]


def test_without_recserve_the_first_is(tmp_path: Path) -> None:
    loaded = load_scenario(SMOKE, methods=["cloud-only"])
    assert names(prepared(loaded, None, record=True)) == ["cloud-only"]


def test_a_method_that_is_not_there_is_refused() -> None:
    with pytest.raises(TestbedError, match="--method: the scenario has no method 'recserv'; did you mean"):
        prepared(load_scenario(SMOKE), "recserv", record=False)


def test_a_method_that_knows_the_answers_beforehand_is_refused(tmp_path: Path) -> None:
    loaded = scenario(tmp_path, "  - {name: oracle}\n")
    assert names(prepared(loaded, None, record=False)) == ["recserve"]
    with pytest.raises(TestbedError, match="--method: oracle knows every answer beforehand"):
        prepared(loaded, "oracle", record=False)


def test_a_method_whose_windows_a_replay_shares_is_refused() -> None:
    shared = ["replay.mode=lockstep", "methods.recserve.scope=tier"]
    loaded = load_scenario(SMOKE, shared)
    assert names(prepared(loaded, None, record=False)) == ["cloud-only"]
    with pytest.raises(TestbedError, match="--method: recserve shares windows among nodes"):
        prepared(loaded, "recserve", record=False)
    with pytest.raises(TestbedError, match="methods: each needs a replay of the trace"):
        prepared(load_scenario(SMOKE, shared, methods=["recserve"]), None, record=False)


def test_events_do_not_happen_and_that_is_said(tmp_path: Path) -> None:
    event = "events:\n  - {at: 1s, link: core, set: {delay: 50ms}}\n"
    kept_up, notes = prepared(scenario(tmp_path, "", event), None, record=False)
    assert kept_up.events == ()
    assert notes == ["the scenario's events do not happen: they belong to a replay"]


def test_a_record_keeps_its_captures() -> None:
    loaded = load_scenario(SMOKE, ["captures=discard"])
    assert prepared(loaded, None, record=True)[0].captures == "keep"
    assert prepared(loaded, None, record=False)[0].captures == "discard"


def test_one_device_is_asked_or_all_in_turn() -> None:
    loaded = load_scenario(SMOKE)
    assert devices_to_ask(loaded, None) == ["device1"]
    assert devices_to_ask(loaded, "device2") == ["device2"]
    assert devices_to_ask(loaded, "spread") == ["device1", "device2"]
    with pytest.raises(TestbedError, match="--device: tier device has no node 'edge1'"):
        devices_to_ask(loaded, "edge1")
