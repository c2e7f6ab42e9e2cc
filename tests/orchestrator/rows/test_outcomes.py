"""How requests ended, and answers that are none of the task's labels."""

from __future__ import annotations

import pytest

from testbed.orchestrator.replay.replay import Outcome
from testbed.orchestrator.rows.outcomes import count_outcomes
from testbed.scenario.workload.trace_file import Request

TRACE = [Request(f"r{number}", 0.0, "device1", "rotten_tomatoes", "test", number) for number in range(3)]
LABELS = ("negative", "positive")


def ended(request_id: str, answer: str | None, outcome: str = "answered") -> Outcome:
    return Outcome(request_id, "device1", 0.0, 0.0, 0.1, 100.0, outcome, answer, "device")


def test_an_answer_that_is_none_of_the_labels_is_counted_and_shown() -> None:
    outcomes = [ended("r0", "positive"), ended("r1", "LABEL_1"), ended("r2", None, "deadline")]
    counted = count_outcomes("recserve", TRACE, outcomes, LABELS)
    assert counted.ended == {"answered": 2, "deadline": 1}
    assert (counted.strange_answers, counted.strange_answer) == (1, "LABEL_1")


def test_a_task_without_labels_takes_any_answer() -> None:
    counted = count_outcomes("recserve", TRACE, [ended("r0", "Guten Tag")], ())
    assert (counted.strange_answers, counted.strange_answer) == (0, None)


@pytest.mark.parametrize("labels", [LABELS, ()])
def test_an_answered_request_without_an_answer_is_strange_whatever_the_task(labels: tuple[str, ...]) -> None:
    counted = count_outcomes("recserve", TRACE, [ended("r0", "positive"), ended("r1", None)], labels)
    assert (counted.strange_answers, counted.strange_answer) == (1, None)


def test_made_up_answers_are_told_as_they_were_counted() -> None:
    counted = count_outcomes("recserve", TRACE, [], LABELS, made_up={"edge": 2}, tiers_made_up=["cloud"])
    assert (counted.made_up, counted.tiers_made_up) == ({"edge": 2}, ("cloud",))
    assert count_outcomes("recserve", TRACE, [], LABELS).made_up == {}


def test_a_request_that_ended_twice_is_counted() -> None:
    assert count_outcomes("recserve", TRACE, [ended("r0", "positive")] * 2, LABELS).repeated == 1
