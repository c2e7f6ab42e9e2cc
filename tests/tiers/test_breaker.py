"""A breaker by itself: what opens it, who probes, and what comes too late to count."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from tiers.breaker import FAILURES, Breaker, Permit, Sign, sign_of
from tiers.errors import RequestError, error_body
from tiers.protocol import ErrorKind
from tiers.records import Reply

PAUSE_S = 0.2


@pytest.fixture(autouse=True)
def _short_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tiers.breaker.PAUSE_S", PAUSE_S)


def opened() -> Breaker:
    breaker = Breaker()
    permits = [breaker.admit() for _ in range(FAILURES)]
    assert [breaker.settle(permit, "failed") for permit in permits] == [False] * (FAILURES - 1) + [True]
    assert breaker.is_open
    return breaker


def refuses(breaker: Breaker) -> bool:
    try:
        breaker.admit()
    except RequestError as error:
        return (error.status, error.kind) == (503, "breaker_open")
    return False


def test_failures_in_a_row_open_it_and_one_answer_between_them_does_not_let_them() -> None:
    breaker = Breaker()
    for _ in range(4):
        for _ in range(FAILURES - 1):
            assert not breaker.settle(breaker.admit(), "failed")
        assert not breaker.settle(breaker.admit(), "alive")
    assert not breaker.is_open
    assert refuses(opened())


def test_after_a_pause_one_request_probes_alone_and_its_answer_closes_the_breaker() -> None:
    breaker = opened()
    time.sleep(PAUSE_S)
    with ThreadPoolExecutor(8) as crowd:
        refused = list(crowd.map(lambda _: refuses(breaker), range(40)))
    assert refused.count(False) == 1
    breaker = opened()
    time.sleep(PAUSE_S)
    probe = breaker.admit()
    assert probe.is_probe
    assert refuses(breaker)
    assert not breaker.settle(probe, "alive")
    assert not breaker.is_open
    assert not breaker.admit().is_probe


def test_a_probe_that_fails_or_hears_nothing_opens_it_for_another_pause() -> None:
    signs: tuple[Sign, ...] = ("failed", "silent")
    for sign in signs:
        breaker = opened()
        time.sleep(PAUSE_S)
        assert breaker.settle(breaker.admit(), sign)
        assert refuses(breaker)
        time.sleep(PAUSE_S)
        assert breaker.admit().is_probe


def test_silence_counts_only_if_no_other_request_was_answered_meanwhile() -> None:
    breaker = Breaker()
    for _ in range(4 * FAILURES):
        slow = breaker.admit()
        breaker.settle(breaker.admit(), "alive")
        assert not breaker.settle(slow, "silent")
    assert not breaker.is_open
    waiting = [breaker.admit() for _ in range(FAILURES)]
    assert [breaker.settle(permit, "silent") for permit in waiting][-1]


def test_what_was_sent_before_the_breaker_opened_neither_prolongs_nor_ends_its_pause() -> None:
    breaker = Breaker()
    early = [breaker.admit() for _ in range(FAILURES + 3)]
    for permit in early[:FAILURES]:
        breaker.settle(permit, "failed")
    time.sleep(0.7 * PAUSE_S)
    assert not breaker.settle(early[-3], "failed")
    assert not breaker.settle(early[-2], "alive")
    assert refuses(breaker)
    time.sleep(0.3 * PAUSE_S)
    probe: Permit = breaker.admit()
    assert not breaker.settle(early[-1], "failed")
    assert refuses(breaker)
    breaker.settle(probe, "alive")
    assert not breaker.is_open


@pytest.mark.parametrize(
    ("status", "kind", "sign"),
    [
        (503, "not_ready", "failed"),
        (500, "internal", "failed"),
        (502, "not_ready", "alive"),  # of a tier further up
        (502, "upstream", "alive"),
        (500, "inference", "alive"),  # the request's own
        (504, "deadline", "alive"),  # slow, not dead
        (503, "breaker_open", "alive"),
        (400, "invalid_request", "alive"),
    ],
)
def test_a_tier_that_says_it_is_unwell_counts_as_a_failure_and_other_errors_do_not(
    status: int, kind: ErrorKind, sign: str
) -> None:
    assert sign_of(Reply(status, error_body(kind, "…"))) == sign


def test_an_error_that_no_tier_wrote_counts_as_a_failure_too() -> None:
    assert sign_of(Reply(503, b"<html>out of order</html>")) == "failed"
    assert sign_of(Reply(200, b"{}")) == "alive"
