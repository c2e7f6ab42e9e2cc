"""How the requests of a method ended."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from testbed.orchestrator.replay.replay import Outcome
from testbed.results.evidence import Outcomes
from testbed.scenario.workload.trace_file import Request


def count_outcomes(
    method: str, trace: Sequence[Request], outcomes: Sequence[Outcome], labels: Sequence[str]
) -> Outcomes:
    """How requests ended; ``labels`` are the answers that the task knows, none if it knows any."""
    times = Counter(one.request_id for one in outcomes)
    strange = [
        one.answer for one in outcomes if labels and one.answer is not None and one.answer not in labels
    ]
    return Outcomes(
        method,
        requests=len(trace),
        ended=dict(Counter(one.outcome for one in outcomes)),
        repeated=sum(count > 1 for count in times.values()),
        strange_answers=len(strange),
        strange_answer=strange[0] if strange else None,
    )
