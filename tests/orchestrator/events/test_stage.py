"""Each kind of event has an effect."""

from __future__ import annotations

from testbed.orchestrator.events.stage import EFFECTS
from tests.scenario.test_event_checks import ALL, with_events


def test_every_kind_of_event_that_a_scenario_may_have_does_something() -> None:
    assert EFFECTS.keys() == {event.kind for event in with_events(ALL).events}
