"""A run's estimated time, by phase."""

from __future__ import annotations

from dataclasses import replace

import pytest

from testbed.orchestrator.estimate import Estimate, estimated_seconds
from testbed.scenario.requests import build_trace
from testbed.scenario.scenario import load_scenario
from tests import SCENARIOS


def estimate(name: str, *overrides: str) -> Estimate:
    scenario = load_scenario(SCENARIOS / f"{name}.yaml", overrides)
    return estimated_seconds(scenario, build_trace(scenario), scenario.topology)


def test_an_open_loop_lasts_until_the_last_request_under_every_method() -> None:
    scenario = load_scenario(SCENARIOS / "quickstart.yaml")
    last_s = build_trace(scenario)[-1].at_s
    replays_s = estimate("quickstart").replays_s
    assert len(replays_s) == 5
    assert all(last_s < replay_s < last_s + 5 for replay_s in replays_s)
    slowly, fast = (estimate("quickstart", f"trace.arrivals.rate={rate}").replays_s[0] for rate in (2, 4))
    assert slowly / 2 == pytest.approx(fast, abs=3)


def test_in_lockstep_every_request_takes_its_inferences_and_its_round_trips() -> None:
    lockstep = ("replay.mode=lockstep", "trace.requests=100")
    still = estimate("smoke", *lockstep, "links.core.delay=0ms").replays_s[0]
    assert estimate("smoke", *lockstep, "links.core.delay=50ms").replays_s[0] - still == pytest.approx(10)
    slow = "tiers.cloud.model={kind: recorded, service: 108ms}"
    busy = estimate("smoke", *lockstep, "links.core.delay=0ms", slow)
    assert busy.replays_s[0] - still == pytest.approx(10)


def test_more_users_of_a_closed_loop_are_done_sooner() -> None:
    closed = "replay={mode: closed, think: 500ms, users: %d}"
    few, many = (estimate("smoke", closed % users).replays_s[0] for users in (1, 10))
    assert few > 20 * 0.5 > many


def test_losses_in_bursts_and_more_links_take_longer_to_measure() -> None:
    still = estimate("smoke").measuring_s
    assert estimate("smoke", "links.core.loss={model: gilbert, p: 0.1%, r: 90%}").measuring_s > still + 1
    assert estimate("smoke", "tiers.device.nodes=80").measuring_s > 2 * still
    alone = "tiers=[{name: cloud, model: {kind: recorded, service: 1ms}, cpus: 1, memory: 1GiB}]"
    assert estimate("smoke", alone, "links=[]", "methods=[{name: cloud-only}]").measuring_s == 0


def test_a_network_that_is_up_is_neither_started_nor_measured() -> None:
    scenario = load_scenario(SCENARIOS / "smoke.yaml")
    trace, topology = build_trace(scenario), scenario.topology
    fresh, kept = (estimated_seconds(scenario, trace, topology, kept=kept) for kept in (False, True))
    assert fresh.start_s > 1 < fresh.measuring_s
    assert kept == replace(fresh, start_s=0, measuring_s=0)


def test_rows_that_the_tiers_answer_before_the_run_take_time() -> None:
    static, rows = "methods=[{name: static-quantile}]", "calibration={rows: 500}"
    slow = "tiers.edge.model={kind: recorded, service: 40ms}"
    assert estimate("smoke", static, rows, slow).start_s - estimate("smoke", slow).start_s == 500 * 0.04
    assert estimate("smoke", rows, slow).start_s == estimate("smoke", slow).start_s


def test_the_sentence_has_the_whole_and_its_parts() -> None:
    assert str(Estimate(12.2, 61, (40.1, 40.3, 39.9, 40, 40), 2.2)) == (
        "about 4 min 40 s: 3 min 20 s replay (5 methods × 40 s), 1 min measuring links, "
        "12 s starting and loading models, 2 s accounting"
    )
    assert str(Estimate(3, 0, (800,), 0.1)) == "about 13 min: 13 min replay, 3 s starting and loading models"
    assert str(Estimate(3, 0, (10, 20), 0.1)) == "about 35 s: 30 s replay, 3 s starting and loading models"
