"""Requests go through the tree as they would, where that can be known otherwise: decisions, bytes, times."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from testbed.console import Quiet, Reporter
from testbed.errors import TestbedError
from testbed.results.directory import RunDirectory
from testbed.scenario.requests import prompts_for
from testbed.scenario.scenario import Scenario, load_scenario
from testbed.study.queues.messages import SYN_BYTES, request_payload, wire_bytes
from testbed.study.queues.plant import Plant
from testbed.study.queues.predict import WithQueues, with_queues
from testbed.study.queues.simulate import EXCHANGE_S, FORWARD_S, OWN_S, simulate, steps
from testbed.study.what_if.predict import what_if_scenario
from testbed.study.what_if.replay import replay
from testbed.study.what_if.scenarios import study_of_scenario
from testbed.study.what_if.study import Point
from testbed.validation.queueing import batch_means, mg1_sojourn
from tests import ROOT, SCENARIOS
from tests.study.queues.events import Events

CITY = SCENARIOS / "city.yaml"


def city(*settings: str, requests: int = 300) -> Scenario:
    return load_scenario(CITY, settings, requests=requests, emulated=False)


def told(*settings: str, requests: int = 300) -> WithQueues:
    return with_queues(city(*settings, requests=requests), Quiet())


def of(found: WithQueues, method: str) -> Mapping[str, Any]:
    return next(one for one in found.points if one["method"] == method)


def test_decisions_are_those_of_lockstep_where_no_request_meets_another() -> None:
    scenario = city("trace.arrivals={process: constant, rate: 0.5}")
    study = study_of_scenario(scenario)
    plant = Plant.of(study)
    for number, method in enumerate(scenario.methods, start=1):
        point, ticks = Point(number, method), []
        outcome = simulate(study, plant, point, lambda: ticks.append(1))  # noqa: B023
        assert outcome.answered_by.tolist() == replay(study, point).tolist()
        assert 0 < len(ticks) <= steps(plant)
    lockstep = what_if_scenario(scenario, Quiet()).points
    for queued, plain in zip(with_queues(scenario, Quiet()).points, lockstep, strict=True):
        assert {name: queued[name] for name in plain} == plain


def test_the_latency_of_a_request_alone_is_the_sum_of_its_parts() -> None:
    scenario = city("methods=[{name: cloud-only}]", requests=1)
    study = study_of_scenario(scenario)
    plant = Plant.of(study)
    (latency_s,) = simulate(study, plant, Point(1, scenario.methods[0]), lambda: None).latency_s
    request = int(wire_bytes(plant.request_payloads)[0])
    answer = int(plant.answer_payloads[2, 0])
    links = [(1e6, 0.010), (2e6, 0.025)]
    passed = [answer + plant.step_bytes[1][1], answer]
    expected_s = EXCHANGE_S + 3 * OWN_S + 2 * FORWARD_S + plant.service_s[2, 0]
    for (rate_bps, delay_s), down in zip(links, passed, strict=True):
        expected_s += (2 * SYN_BYTES + request + down + 66) * 8 / rate_bps + 4 * delay_s
    assert latency_s == pytest.approx(expected_s, abs=1e-9)


@pytest.mark.parametrize(("distribution", "second"), [("exponential", 2.0), ("fixed", 1.0)])
def test_a_lone_tier_is_the_queue_of_the_closed_form(distribution: str, second: float) -> None:
    path = SCENARIOS / "recorded" / "rotten_tomatoes.parquet"
    model = f"{{kind: recorded, path: {path}, service: 40ms, distribution: {distribution}}}"
    scenario = city(
        f"tiers=[{{name: device, model: {model}, cpus: 1, memory: 1GiB}}]",
        "links=[]",
        "methods=[{name: device-only}]",
        "trace.arrivals.rate=15",
        requests=200_000,
    )
    study = study_of_scenario(scenario)
    plant = Plant.of(study)
    services_s = plant.service_s[0][study.places]
    moment = float((services_s**2).mean())
    assert moment == pytest.approx(second * 0.04**2, rel=0.2)
    latency_s = simulate(study, plant, Point(1, scenario.methods[0]), lambda: None).latency_s
    found = batch_means((latency_s - EXCHANGE_S - OWN_S).tolist())
    expected_s = mg1_sojourn(15, float(services_s.mean()), moment)
    assert found.standard_error < 0.02 * expected_s
    assert abs(found.mean - expected_s) < 4 * found.standard_error


def test_payloads_are_as_long_as_those_of_a_run_on_the_wire() -> None:
    run = RunDirectory.open(ROOT / "tests/data/run-v6")
    texts = [example.text for example in prompts_for(run.read_trace()).values()]
    rows = run.read_table("links.parquet")
    parts = ("prompt_bytes", "envelope_bytes", "instrumentation_bytes", "http_header_bytes")
    up = [row for row in rows if row["method"] == "cloud-only" and row["direction"] == "up"]
    crossed = sum(row[part] for row in up for part in parts)
    assert abs(sum(map(request_payload, texts)) - crossed) <= 2 * len(texts)  # of an address's digits


def test_twice_the_same_and_another_seed_another() -> None:
    jitter = "links.access.jitter=4ms"
    assert told(jitter).points == told(jitter).points
    assert told(jitter).points != told(jitter, "trace.seed=2").points


def test_jitter_widens_latencies_and_leaves_bytes() -> None:
    still, shaken = of(told(), "cloud-only"), of(told("links.core.jitter=24ms"), "cloud-only")
    assert shaken["prompt_bytes"] == still["prompt_bytes"]
    assert shaken["latency_ms_p99"] > still["latency_ms_p99"]


def test_more_than_a_cloud_can_do_is_told() -> None:
    found = told("trace.arrivals.rate=15", "replay.deadline=10s")
    sentences = [one for one in found.troubles if one.startswith("cloud-only")]
    assert "1 of 1 nodes of cloud are asked for more than they can do (load 2." in sentences[0]
    assert "longer than replay.deadline" in sentences[1]
    assert not [one for one in told().troubles if "cloud-only" in one]


def test_a_link_whose_queue_is_full_is_told() -> None:
    found = told("links.core.rate=8kbit", "links.core.queue=2")
    assert any("came to a full queue of links above edge, up" in one for one in found.troubles)
    assert any(
        "1 of 1 links above edge, up, are asked for more than their rate" in one for one in found.troubles
    )


def test_a_shared_link_is_one_queue_for_all_its_children() -> None:
    rate = "links.access.rate=24kbit"
    own, shared = (of(told(rate, f"links.access.shared={word}"), "cloud-only") for word in ("false", "true"))
    assert shared["load_up_device_max"] == pytest.approx(10 * own["load_up_device_mean"], rel=0.05)
    assert shared["latency_ms_p95"] > own["latency_ms_p95"]


def test_what_the_model_has_not_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    with_queues(city("links.core.loss=1%", requests=20), Reporter())
    notes = " ".join(capsys.readouterr().err.split())
    assert "links.core.loss: is left out" in notes
    assert "replay.mode" not in notes


@pytest.mark.parametrize("mode", ["{mode: lockstep}", "{mode: closed, users: 3, think: 1s}"])
def test_only_an_open_loop_has_queues(mode: str) -> None:
    with pytest.raises(TestbedError, match=r"--queues: replay\.mode is (lockstep|closed)"):
        told(f"replay={mode}")


def test_a_network_of_any_size_may_be_predicted_and_not_run() -> None:
    sizes = ["tiers.device.nodes=3000", "tiers.edge.nodes=30"]
    assert len(city(*sizes).topology.nodes) == 3031
    with pytest.raises(TestbedError, match="3031 nodes in all; there may be 1000 at most"):
        load_scenario(CITY, sizes)


def test_a_trace_of_one_moment_has_no_load() -> None:
    found = told("trace.arrivals={process: constant, rate: 100000}", requests=1)
    assert of(found, "recserve")["load_device_max"] is None
    assert np.isfinite(of(found, "recserve")["latency_ms_p99"])


@pytest.mark.parametrize("method", ["cloud-only", "recserve"])
@pytest.mark.parametrize("rates", [(), ("links.access.rate=16kbit", "links.core.rate=64kbit")])
def test_event_by_event_the_same_comes_out(method: str, rates: tuple[str, ...]) -> None:
    scenario = load_scenario(CITY, [*rates, "tiers.edge.nodes=3"], methods=[method], requests=1500)
    study = study_of_scenario(scenario)
    plant = Plant.of(study)
    outcome = simulate(study, plant, Point(1, scenario.methods[0]), lambda: None)
    events = Events(study, plant, 0.3 if method == "recserve" else None)
    events.run()
    plain = np.array([events.answered_by[one] for one in range(1500)])
    off_s = np.abs(outcome.latency_s - [events.latency_s[one] for one in range(1500)])
    assert plain.tolist() == outcome.answered_by.tolist()
    assert off_s.max() < 1e-9


def test_what_is_the_hosts_is_the_median_of_a_run_apart() -> None:
    rows = RunDirectory.open(ROOT / "tests/data/run-v6").read_table("requests.parquet")
    exchange_ms = np.median([row["lateness_ms"] + row["unexplained_ms"] for row in rows])
    answered_ms = np.median([row["own_ms"][-1] for row in rows])
    forwarded_ms = np.median([own_ms for row in rows for own_ms in row["own_ms"][:-1]])
    assert pytest.approx(exchange_ms, abs=0.05) == EXCHANGE_S * 1000
    assert pytest.approx(answered_ms, abs=0.05) == OWN_S * 1000
    assert pytest.approx(forwarded_ms, abs=0.05) == (OWN_S + FORWARD_S) * 1000


def test_every_policy_decides_here_as_in_lockstep() -> None:
    methods = (
        "methods=[{name: colserve}, {name: oracle}, {name: length-router, longest: 120}, {name: edge-only}, "
        "{name: casserve, thresholds: {device: 0.8, edge: 0.8}}, {name: recserve, relay: [edge]}]"
    )
    scenario = city(methods, "trace.arrivals={process: constant, rate: 0.5}", requests=200)
    for queued, plain in zip(
        with_queues(scenario, Quiet()).points, what_if_scenario(scenario, Quiet()).points, strict=True
    ):
        assert {name: queued[name] for name in plain} == plain
