"""What a run says of how long each of its phases took."""

from __future__ import annotations

import time
from contextlib import suppress

from testbed.orchestrator.phases import Phases


def test_a_phases_time_is_the_sum_of_its_turns_however_they_end_and_of_nothing_else() -> None:
    phases, began_s = Phases(), time.monotonic()
    for _ in range(2):
        with phases.timed("measuring"):
            time.sleep(0.05)
    with suppress(ZeroDivisionError), phases.timed("replaying"):
        time.sleep(0.05)
        raise ZeroDivisionError
    time.sleep(0.3)
    with phases.timed("starting"):
        pass
    whole_s = time.monotonic() - began_s
    told = phases.to_json()
    assert list(told) == ["starting", "measuring", "replaying"]
    assert told["measuring"] >= 0.1
    assert told["replaying"] >= 0.05
    assert sum(told.values()) <= whole_s - 0.3 + 0.015  # each is rounded to a hundredth


def test_the_longest_phase_is_said_first_and_none_that_took_no_second() -> None:
    phases = Phases()
    phases.seconds |= {"starting": 4.0, "measuring": 9.0, "judging": 0.4}
    told = str(phases)
    assert told.startswith("the run took ")
    assert told.endswith(": 9 s measuring links, 4 s starting containers and links")
