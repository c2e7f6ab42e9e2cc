"""How the requests of a method ended."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from testbed.orchestrator.replay.replay import Outcome
from testbed.results.evidence import Outcomes
from testbed.scenario.scores import Scores
from testbed.scenario.workload.trace_file import Request
from tiers.protocol import ANSWERED


def count_outcomes(
    method: str,
    trace: Sequence[Request],
    outcomes: Sequence[Outcome],
    labels: Sequence[str],
    *,
    made_up: Mapping[str, int] | None = None,
    tiers_made_up: Sequence[str] = (),
    judged: bool = True,
    scores: Scores | None = None,
) -> Outcomes:
    """Count how requests ended; ``labels`` are the task's answers, empty where any answer will do.

    ``made_up``, ``tiers_made_up`` and ``judged`` are as :class:`Outcomes` has them.
    """
    times = Counter(outcome.request_id for outcome in outcomes)
    answers = [outcome.answer for outcome in outcomes if outcome.outcome == ANSWERED]
    strange = [answer for answer in answers if answer is None or (labels and answer not in labels)]
    return Outcomes(
        method,
        requests=len(trace),
        ended=dict(Counter(outcome.outcome for outcome in outcomes)),
        repeated=sum(count > 1 for count in times.values()),
        strange_answers=len(strange),
        strange_answer=strange[0] if strange else None,
        made_up=dict(made_up or {}),
        tiers_made_up=tuple(tiers_made_up),
        judged=judged,
        unscored=scores.failed if scores else 0,
        unscored_why=scores.why if scores else None,
        degraded=sum(outcome.degraded for outcome in outcomes),
    )
