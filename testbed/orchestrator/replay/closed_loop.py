"""A closed loop: so many users, each of whom asks again a think time after the answer (on request only).

The trace gives the order of the requests, their devices and prompts; its times are not used. Request i
(counted from 0) is user i mod U's, and each user takes its own in the trace's order, so that who asks what
is the same under every method and for every speed of the tiers. A user thinks before each request, the
first one included.

What a closed loop cannot show: no more than U requests are ever outstanding, and a slow tier is asked less
often, so the queue that independent users would have met never builds up (Schroeder, Wierman and
Harchol-Balter, "Open versus closed: a cautionary tale", NSDI 2006).
"""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from testbed.scenario.sections.replay import Replay


class Done(Protocol):
    """How a request ended, and when: seconds since the start."""

    @property
    def done_at_s(self) -> float: ...


Ended = TypeVar("Ended", bound=Done)


@dataclass(frozen=True)
class ClosedLoop:
    """``think_s[i]`` is how long its user thinks before it sends request i of the trace."""

    users: int
    think_s: Sequence[float]


def draw_closed_loop(settings: Replay, requests: int, seed: int) -> ClosedLoop | None:
    """The users of a closed loop, ``None`` in other modes.

    The trace's seed decides think times, from a stream of their own: a longer trace begins with the same.
    """
    users, mean_s = settings.users, settings.think_s
    if users is None or mean_s is None:
        return None
    if settings.think_distribution == "fixed":
        return ClosedLoop(users, [mean_s] * requests)
    draws = random.Random(f"{seed}/think")
    return ClosedLoop(users, [-mean_s * math.log1p(-draws.random()) for _ in range(requests)])


async def run_closed(loop: ClosedLoop, send: Callable[[int, float], Awaitable[Ended]]) -> list[Ended]:
    """Let every user go through its requests; return what came of each, in the trace's order.

    Args:
        send: sends the request with that index when its user wants it sent (seconds since the start, not
            past when it is called), and returns once it is done, however it ended.
    """

    async def user(number: int) -> list[Ended]:
        done: list[Ended] = []
        for index in range(number, len(loop.think_s), loop.users):
            free_s = done[-1].done_at_s if done else 0.0
            done.append(await send(index, free_s + loop.think_s[index]))
        return done

    by_user = await asyncio.gather(*(user(number) for number in range(loop.users)))
    return [by_user[index % loop.users][index // loop.users] for index in range(len(loop.think_s))]
