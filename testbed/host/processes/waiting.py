"""Waiting until something is so."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from testbed.errors import TestbedError

T = TypeVar("T")


def wait_until(
    condition: Callable[[], T],
    timeout_s: float,
    poll_s: float,
    *,
    possible: Callable[[], bool] = lambda: True,
    or_raise: str | Callable[[], str] | None = None,
) -> T:
    """Ask ``condition`` every ``poll_s``, at least once, until its answer is true; return the last answer.

    Args:
        timeout_s: how long to ask.
        possible: whether the answer may still become true, such as whether a process lives. If not, waiting
            ends at once.
        or_raise: the sentence, or what gives it, of the error that is raised in place of a false answer.

    Raises:
        TestbedError: the answer did not become true, and there is a sentence for that.
    """
    end_s = time.monotonic() + timeout_s
    while not (answer := condition()):
        if time.monotonic() >= end_s or not possible():
            if or_raise is not None:
                raise TestbedError(or_raise if isinstance(or_raise, str) else or_raise())
            break
        time.sleep(poll_s)
    return answer
