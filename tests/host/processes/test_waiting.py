"""Waiting until something is so, or cannot become so, or takes too long."""

from __future__ import annotations

import itertools
import time

import pytest

from testbed.errors import TestbedError
from testbed.host.processes.waiting import wait_until


def test_the_first_true_answer_is_returned() -> None:
    answers = iter([0, 0, 7])
    assert wait_until(lambda: next(answers), 10, 0.001) == 7


def test_it_is_asked_once_even_without_time() -> None:
    assert wait_until(lambda: True, 0, 1)
    assert not wait_until(lambda: False, 0, 1)


def test_what_takes_too_long_is_a_false_answer_or_an_error() -> None:
    assert wait_until(lambda: False, 0.02, 0.001) is False
    with pytest.raises(TestbedError, match="it did not come"):
        wait_until(lambda: False, 0.02, 0.001, or_raise="it did not come")
    count = itertools.count()
    with pytest.raises(TestbedError, match=r"asked \d+ times"):
        wait_until(lambda: next(count) < 0, 0.02, 0.001, or_raise=lambda: f"asked {next(count)} times")


def test_what_has_become_impossible_is_not_waited_for() -> None:
    start_s = time.monotonic()
    assert not wait_until(lambda: False, 30, 0.001, possible=lambda: False)
    assert time.monotonic() - start_s < 10
