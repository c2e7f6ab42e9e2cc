"""Users in a closed loop: who asks what, when, and how many at once."""

from __future__ import annotations

import asyncio
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from testbed.orchestrator.replay.closed_loop import ClosedLoop, draw_closed_loop, run_closed
from testbed.scenario.sections.replay import Replay, ThinkDistribution

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
    assert [request.index for request in ended] == list(range(len(times)))
    for request in ended:
        before = ended[request.index - users].done_at_s if request.index >= users else 0.0
        assert request.wanted_s == before + times[request.index][0]
        outstanding = [other for other in ended if other.wanted_s <= request.wanted_s < other.done_at_s]
        assert len({other.index % users for other in outstanding}) == len(outstanding) <= users


def think_times_s(distribution: ThinkDistribution, requests: int, seed: int = 7) -> Sequence[float]:
    """Of 4 users who think for 0.5 s on average."""
    settings = Replay(mode="closed", users=4, think_s=0.5, think_distribution=distribution)
    loop = draw_closed_loop(settings, requests, seed)
    assert loop is not None
    assert loop.users == 4
    return loop.think_s


def test_think_times_are_the_seeds_and_a_longer_trace_begins_with_them() -> None:
    short, long = (think_times_s("exponential", requests) for requests in (100, 4000))
    assert long[:100] == short
    assert short != think_times_s("exponential", 100, seed=8)
    assert statistics.mean(long) == pytest.approx(0.5, rel=0.1)
    assert statistics.stdev(long) == pytest.approx(0.5, rel=0.1)


def test_a_fixed_think_time_is_that_of_every_request() -> None:
    assert think_times_s("fixed", 3) == [0.5, 0.5, 0.5]


def test_other_modes_have_no_users() -> None:
    assert draw_closed_loop(Replay(mode="lockstep"), 3, 7) is None
