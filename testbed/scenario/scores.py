"""How good each answer is by its task's own rule, without trust in a rule that is the user's."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from testbed.errors import TestbedError
from testbed.scenario.scenario import Scenario
from testbed.scenario.sections.kind import task_of
from testbed.scenario.workload.datasets import Example
from tiers import plain
from tiers.tasks import Task


class Scores(NamedTuple):
    """The scores of answers, in [0, 1] or ``None``; how many got none, and why the first of them."""

    scores: list[float | None]
    failed: int
    why: str | None


def score_answers(kind: str, pairs: Iterable[tuple[str | None, str]]) -> Scores:
    """Score answers, each with its reference; no answer (``None``) scores 0, where answers have scores.

    Raises:
        TestbedError: the kind of task is a class of the user's that is not there any more.
    """
    task = task_of(kind)
    scores: list[float | None] = []
    failures = []
    for answer, reference in pairs:
        try:
            scores.append(_score(task, answer, reference))
        except ValueError as error:
            scores.append(None)
            failures.append(str(error))
    return Scores(scores, len(failures), failures[0] if failures else None)


def require_scores(scenario: Scenario, examples: Iterable[Example]) -> None:
    """See to it, before a run, that the task can score answers: the first references, as if they were some.

    Raises:
        TestbedError: the kind of task is a class of the user's that cannot be made, or gives no score.
    """
    task = task_of(scenario.task.kind)
    for example, _ in zip(examples, range(10), strict=False):
        try:
            _score(task, example.reference, example.reference)
        except ValueError as error:
            raise TestbedError(f"task.kind: {scenario.task.kind}: {error}") from None


def _score(task: Task, answer: str | None, reference: str) -> float | None:
    if answer is None:
        return None if type(task).score is Task.score else 0.0
    try:
        score = task.score(answer, reference)
    except (Exception, SystemExit) as error:  # a class of the user's may raise anything
        raise ValueError(f"score raised {plain.told(error)}") from None
    if type(task).score is Task.score:
        return None
    number = plain.number(score, "what score returned")
    if not 0 <= number <= 1:
        raise ValueError(f"score returned {number}, which is no number in [0, 1]")
    return number
