"""A link that goes down, a tier that stands still and one that is killed, at 20 requests a second, on real
links with real servers: each request is answered once and in time, and each byte has its cause.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pytest

from testbed.orchestrator.method import MethodResult, run_method
from testbed.orchestrator.session import Session
from testbed.results.audit import audit
from testbed.results.columns import Row
from testbed.results.evidence import Evidence
from testbed.results.fidelity import judge
from tests.orchestrator.emulation import emulated, scenario_of
from tests.orchestrator.test_method import no_progress, quiet_reporter
from tiers.supervisor import POLICY

pytestmark = pytest.mark.root
DEADLINE_S = 1.5
REQUESTS = 240
TEXT = f"""
name: unreachable
task: {{kind: classification, dataset: rotten_tomatoes, labels: [negative, positive]}}
tiers:
  - {{name: device, nodes: 2, model: {{kind: recorded, service: 1ms}}, cpus: 0.5, memory: 64MiB}}
  - {{name: edge,   nodes: 1, model: {{kind: recorded, service: 2ms}}, cpus: 0.5, memory: 64MiB}}
  - {{name: cloud,  nodes: 1, model: {{kind: recorded, service: 2ms}}, cpus: 0.5, memory: 64MiB}}
links:
  - {{name: access, between: [device, edge], rate: 20mbit, delay: 5ms}}
  - {{name: core, between: [edge, cloud], rate: 20mbit, delay: 5ms}}
methods:
  - {{name: upwards, policy: casserve, thresholds: {{device: 1, edge: 0.8}}}}
trace: {{requests: {REQUESTS}, arrivals: {{process: uniform, rate: 20}}, seed: 1}}
replay: {{mode: open, deadline: {DEADLINE_S}s}}
events:
  - {{at: 1s, link: core, down: true, for: 2s}}
  - {{at: 5s, node: edge1, do: pause, for: 2500ms}}
  - {{at: 9s, node: edge1, do: kill, for: 700ms}}
"""


@pytest.fixture(scope="module", params=["keep", "skip"])
def ran(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Session, MethodResult]]:
    folder = tmp_path_factory.mktemp("unreachable")
    POLICY.unlink(missing_ok=True)
    scenario = scenario_of(f"{TEXT}when_unreachable: {request.param}\n", folder)
    with emulated(scenario, folder / "run", quiet_reporter()) as session:
        yield session, run_method(session, scenario.methods[0], no_progress)
    POLICY.unlink(missing_ok=True)


def between(result: MethodResult, since: float, until: float) -> list[Row]:
    return [row for row in result.requests if since <= row["sent_at_s"] < until]


def test_every_request_is_answered_once_in_time_and_audited(ran: tuple[Session, MethodResult]) -> None:
    session, result = ran
    assert [event.error for event in result.observed.events] == [None] * 3
    assert result.outcomes.ended == {"answered": REQUESTS}
    assert result.outcomes.repeated == 0
    assert max(row["latency_ms"] for row in result.requests) < 1000 * DEADLINE_S + 500
    for recorded in result.observed.records.values():
        assert set(Counter((one["request_id"], one["life"]) for one in recorded).values()) == {1}
    found = audit(session.inputs.scenario, result.requests)
    assert found.differences == ()
    assert found.decisions > REQUESTS


def test_every_byte_has_its_cause_and_each_requests_hops_add_up_to_the_links(
    ran: tuple[Session, MethodResult],
) -> None:
    _, result = ran
    assert judge(Evidence(accounts=result.accounts)).reasons["bytes"] == ()
    crossed = Counter[str]()
    for row in result.requests:
        crossed.update(dict(zip(row["hops"], row["hop_prompt_bytes"], strict=True)))
    for link in result.links:
        if link["direction"] == "up":
            assert link["prompt_bytes"] == crossed[link["link"]] > 0


def test_a_dead_tier_costs_few_requests_their_time_and_is_asked_again_soon(
    ran: tuple[Session, MethodResult],
) -> None:
    session, result = ran
    skips = session.inputs.scenario.when_unreachable == "skip"
    assert sum(breaker.opened for breaker in result.breakers) >= 3
    assert sum(breaker.refused for breaker in result.breakers) > 20
    meanwhile = [*between(result, 6.8, 7.4), *between(result, 9.5, 9.7)]
    probes = [row for row in meanwhile if "edge1" in row["path"] or row["latency_ms"] > 500]
    assert len(probes) <= 4
    for row in meanwhile:
        if row not in probes:
            assert row["degraded"] is not skips
            assert row["path"] == ([row["device"], "cloud1"] if skips else [row["device"]])
    for since, until in ((0, 0.9), (4.8, 4.95), (8.7, 8.95)):
        rows = between(result, since, until)
        assert rows
        assert not any(any(row["forward_errors"]) or row["degraded"] for row in rows)


def test_only_where_it_is_asked_for_a_request_goes_past_a_tier_and_is_counted_on_both_links(
    ran: tuple[Session, MethodResult],
) -> None:
    session, result = ran
    past = [row for row in result.requests if any(row["skipped"]) and not row["degraded"]]
    if session.inputs.scenario.when_unreachable == "keep":
        assert past == []
        return
    assert len(past) > 20
    for row in past:
        assert (row["path"][0], row["path"][-1]) == (row["device"], "cloud1")
        assert row["hops"] == [f"{row['device']}-edge1", "edge1-cloud1"]
        assert row["hop_prompt_bytes"] == [row["prompt_bytes"]] * 2
        assert row["tier"] == "cloud"
    # The core is down, and the edge is not: nobody goes past it.
    assert all("edge1" in row["path"] for row in between(result, 1.1, 2.5))
