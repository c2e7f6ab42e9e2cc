"""What time-outs follow, and figures that no time-out can mend."""

from __future__ import annotations

from pathlib import Path

import pytest

from testbed.errors import TestbedError
from testbed.scenario.patience import longest_s, round_trip_s, slowest_way_up_s
from testbed.scenario.scenario import load_scenario
from testbed.scenario.timeline import under_events
from testbed.scenario.topology import Shape
from tests import ROOT
from tests.scenario.test_event_checks import with_events

QUICKSTART = ROOT / "scenarios" / "quickstart.yaml"


def test_the_longest_time_in_a_link_is_a_full_queue_the_delay_and_its_jitter(tmp_path: Path) -> None:
    assert longest_s(Shape(None, delay_ms=15_000)) == 15
    assert longest_s(Shape(1_000_000, delay_ms=50, queue_frames=100)) == pytest.approx(1.2112 + 0.05)
    assert longest_s(Shape(None, delay_ms=50, jitter_ms=5)) == pytest.approx(0.08)
    delays = tmp_path / "delays"
    delays.write_text("10\n10\n900\n")
    assert longest_s(Shape(None, delay_ms=10, delay_file=str(delays))) == 0.9


def test_a_node_s_is_its_own_link_s_under_whatever_events_bring() -> None:
    scenario = with_events("[{at: 5s, link: core, set: {delay: 9s}, for: 2s}]")
    usual, worst = scenario.topology, under_events(scenario.events, scenario.topology)
    assert slowest_way_up_s("edge1", worst) - slowest_way_up_s("edge1", usual) > 17  # up and down
    assert slowest_way_up_s("device1", worst) == slowest_way_up_s("device1", usual) > 0
    assert slowest_way_up_s("cloud1", worst) == 0
    assert round_trip_s(worst.links) == slowest_way_up_s("edge1", worst)
    alone = with_events("[{at: 5s, link: core, direction: up, set: {delay: 9s}, for: 2s}]")
    assert 8 < round_trip_s(under_events(alone.events, usual).links) - round_trip_s(usual.links) < 10


def test_a_delay_under_which_no_request_meets_the_deadline_is_refused_with_the_mend() -> None:
    with pytest.raises(TestbedError) as refused:
        load_scenario(QUICKSTART, ["links.core.rate=5mbit", "links.core.delay=15s"])
    sentence = str(refused.value)
    assert "replay.deadline: is 30 s" in sentence
    assert "60 s at least" in sentence
    assert "write more, or lower links.core.delay" in sentence
    longer = load_scenario(
        QUICKSTART, ["links.core.rate=5mbit", "links.core.delay=15s", "replay.deadline=120s"]
    )
    assert slowest_way_up_s("edge1", longer.topology) > 30
    load_scenario(QUICKSTART, ["links.core.rate=5mbit", "links.core.delay=7s"])


def test_a_delay_over_which_tcp_cannot_connect_is_refused() -> None:
    with pytest.raises(TestbedError, match=r"links\.core\.delay: makes a round trip of 80 s on edge1-cloud1"):
        load_scenario(QUICKSTART, ["links.core.rate=1mbit", "links.core.delay=40s", "replay.deadline=10min"])


def test_events_may_raise_a_delay_for_a_while_beyond_what_requests_can_wait_for() -> None:
    with_events("[{at: 5s, link: core, set: {rate: 1mbit, delay: 60s}, for: 2s}]")
