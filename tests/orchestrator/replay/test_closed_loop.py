"""Users in a closed loop: who asks what, when, and how many at once."""

from __future__ import annotations

import asyncio
import statistics
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from testbed.orchestrator.replay.closed_loop import ClosedLoop, draw_closed_loop, run_closed

TIMES = st.floats(0, 100)


@dataclass(frozen=True)
class Ended:
    index: int
    wanted_s: float
    done_at_s: float


@given(st.lists(st.tuples(TIMES, TIMES), max_size=40), st.integers(1, 50))
def test_each_user_asks_a_think_time_after_its_answer_and_never_two_at_once(
    times: list[tuple[float, float]], users: int
) -> None:
    loop = ClosedLoop(users, [think_s for think_s, _ in times])

    async def send(index: int, wanted_s: float) -> Ended:
        await asyncio.sleep(0)
        return Ended(index, wanted_s, wanted_s + times[index][1])

    ended = asyncio.run(run_closed(loop, send))
    assert [one.index for one in ended] == list(range(len(times)))
    for one in ended:
        before = ended[one.index - users].done_at_s if one.index >= users else 0.0
        assert one.wanted_s == before + times[one.index][0]
        outstanding = [other for other in ended if other.wanted_s <= one.wanted_s < other.done_at_s]
        assert len({other.index % users for other in outstanding}) == len(outstanding) <= users


def test_think_times_are_the_seeds_and_a_longer_trace_begins_with_them() -> None:
    short, long = (draw_closed_loop(4, requests, 0.5, "exponential", 7) for requests in (100, 4000))
    assert long.think_s[:100] == short.think_s
    assert short.think_s != draw_closed_loop(4, 100, 0.5, "exponential", 8).think_s
    assert statistics.mean(long.think_s) == pytest.approx(0.5, rel=0.1)
    assert statistics.stdev(long.think_s) == pytest.approx(0.5, rel=0.1)


def test_a_fixed_think_time_is_that_of_every_request() -> None:
    assert draw_closed_loop(4, 3, 0.5, "fixed", 7) == ClosedLoop(4, [0.5, 0.5, 0.5])
