"""Runs that may share a network start the same containers; those that start others may not."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from testbed.network.container import ContainerSpec
from testbed.orchestrator.nodes.tier_specs import container_specs, round_trips
from testbed.scenario.scenario import Scenario, load_scenario, with_seed
from testbed.scenario.sharing import network_key
from testbed.scenario.timeline import under_events
from tests import SCENARIOS
from tiers.config import NODE_VARIABLE

POLICY = "from tiers.policies import Decision, Policy\nclass {name}(Policy):\n    def decide(self, c): ...\n"


def smoke(*overrides: str) -> Scenario:
    return load_scenario(SCENARIOS / "smoke.yaml", overrides)


def started(scenario: Scenario) -> list[ContainerSpec]:
    """What its containers are started with, but for what they are told again when a method begins."""
    specs = []
    for spec in container_specs(scenario, scenario.topology, Path("/models")):
        config = json.loads(spec.env[NODE_VARIABLE])
        told = round_trips(
            scenario.topology.node(spec.node), under_events(scenario.events, scenario.topology)
        )
        assert {key: config.pop(key) for key in told} == told
        specs.append(replace(spec, env={**spec.env, NODE_VARIABLE: config}))
    return specs


@pytest.mark.parametrize(
    "overrides",
    [
        ("links.core.loss=1%",),
        ("links.core.loss={model: gilbert, p: 1%, r: 30%}", "links.core.delay=300ms"),
        ("links.access.rate=1mbit", "links.core.queue=5", "links.core.jitter=2ms"),
        ("links.access.up={rate: 1mbit, queue: 2bdp}", "links.access.down={delay: 90ms, duplicate: 1%}"),
        ("links.access.profile=lte", "links.access.rate=9mbit"),
        ("methods.recserve.beta=0.1", "methods.recserve.window=10"),
        ("methods=[{name: device-only}]",),
        ("methods=[{name: x, policy: oracle}]",),
        ("trace.requests=3", "trace.seed=9", "trace.arrivals.rate=99"),
        ("replay={mode: lockstep, deadline: 5s}",),
        ("replay={mode: closed, users: 3, think: 1s}",),
        ("name=another",),
    ],
)
def test_figures_methods_trace_and_replay_may_differ(overrides: tuple[str, ...]) -> None:
    one, other = smoke(), smoke(*overrides)
    assert one != other
    assert network_key(one) == network_key(other) is not None
    assert one.topology.unshaped == other.topology.unshaped
    assert started(one) == started(other)


def test_seeds_may_differ() -> None:
    assert network_key(with_seed(smoke(), 7)) == network_key(smoke())


@pytest.mark.parametrize(
    "overrides",
    [
        ("tiers.device.nodes=3",),
        ("tiers.edge.cpus=0.25",),
        ("tiers.edge.memory=200MiB",),
        ("tiers.cloud.model={kind: recorded, service: 9ms}",),
        ("tiers.cloud.congestion=reno",),
        ("links.access.shared=true",),
        ("task.template='{text} Is that good?'",),
        ("when_unreachable=skip",),
        ("events=[{at: 1s, link: core, set: {loss: 1%}}]",),
    ],
)
def test_what_else_differs_needs_a_network_of_its_own(overrides: tuple[str, ...]) -> None:
    assert network_key(smoke(*overrides)) != network_key(smoke())


def test_of_events_that_are_equal_a_killed_tier_alone_keeps_a_network_to_itself() -> None:
    pause, change = "{at: 1s, node: edge1, do: pause, for: 1s}", "{at: 2s, link: core, set: {rate: 1mbit}}"
    paused = f"events=[{pause}, {change}]"
    assert network_key(smoke(paused)) == network_key(smoke(paused, "links.core.delay=1ms")) is not None
    assert network_key(smoke("events=[{at: 1s, node: edge1, do: kill, for: 1s}]")) is None


def test_a_method_that_is_calibrated_keeps_a_network_to_itself() -> None:
    calibrated = smoke("methods=[{name: static-quantile}]", "calibration={rows: 50}")
    assert network_key(calibrated) is None
    unused = smoke("calibration={rows: 50}")
    assert network_key(unused) == network_key(smoke())


def test_classes_in_files_are_mounted_at_the_start(tmp_path: Path) -> None:
    for name in ("One", "Other"):
        (tmp_path / f"{name}.py").write_text(POLICY.format(name=name))
    one, again, other = (
        smoke(f"methods=[{{name: m, policy: '{tmp_path}/{name}.py:{name}', share: {share}}}]")
        for name, share in (("One", 1), ("One", 2), ("Other", 1))
    )
    assert network_key(one) == network_key(again) is not None
    assert started(one) == started(again)
    assert network_key(one) != network_key(other)
    assert started(one) != started(other)
