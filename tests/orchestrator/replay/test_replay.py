"""The orchestrator against a real tier in a network namespace: open loop, lockstep, and tiers that fail."""

from __future__ import annotations

import gzip
import os
import signal
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import pairwise
from typing import Any

import pytest

from testbed.host.processes.proc import HeldProcess
from testbed.network.kernel.netns import add_namespaces, delete_namespaces, named, run_in, socket_in
from testbed.orchestrator.nodes.tier_process import environment, tier_processes
from testbed.orchestrator.replay.closed_loop import ClosedLoop
from testbed.orchestrator.replay.replay import GRACE_S, Outcome, replay
from testbed.scenario.workload.trace_file import Request
from tests.tiers.nodes import LABELS, TIERS
from tiers.protocol import ANSWERED, TIER_PORT

pytestmark = pytest.mark.root
NAMESPACE = f"tbreplay{os.getpid()}"


@pytest.fixture(scope="module", autouse=True)
def namespace() -> Iterator[None]:
    add_namespaces([NAMESPACE])
    try:
        run_in(named(NAMESPACE), ["ip", "link", "set", "dev", "lo", "up"])
        yield
    finally:
        delete_namespaces([NAMESPACE])


@contextmanager
def tier(service_ms: float) -> Iterator[HeldProcess]:
    """A tier of one node in a process of its own, so that it can be stopped and killed."""
    config = {
        "node": "cloud1",
        "tier": "cloud",
        "tiers": TIERS,
        "model": {"kind": "recorded", "default": {"service_ms": service_ms}},
        "task": {"kind": "classification", "labels": LABELS},
        "parent": None,
    }
    with tier_processes({"cloud1": named(NAMESPACE)}, {"cloud1": environment(config)}) as (node,):
        host: Any = node.host
        yield host.process


def uniform(requests: int, rate_per_s: float) -> list[Request]:
    return [
        Request(f"r{number}", number / rate_per_s, "device1", "rotten_tomatoes", "test", number)
        for number in range(requests)
    ]


def send(
    trace: list[Request],
    mode: str = "open",
    deadline_s: float = 20.0,
    closed: ClosedLoop | None = None,
    signals: Sequence[tuple[float, HeldProcess, signal.Signals]] = (),
) -> list[Outcome]:
    """Replay ``trace``, and send each process its signal so many seconds after time 0."""
    prompts = {request.id: f"prompt {request.id}" for request in trace}
    timers: list[threading.Timer] = []

    def started(start_s: float) -> None:
        for at_s, process, number in signals:
            wait_s = start_s + at_s - time.monotonic()
            timers.append(threading.Timer(wait_s, process.signal, [number]))
            timers[-1].start()

    try:
        return replay(
            trace, prompts, {"device1": named(NAMESPACE)},
            mode=mode, deadline_s=deadline_s, closed=closed, started=started,
        )  # fmt: skip
    finally:
        for timer in timers:
            timer.join()


def test_requests_are_sent_at_their_times_however_long_answers_take() -> None:
    with tier(service_ms=300) as _:
        outcomes = send(uniform(20, rate_per_s=20))
    assert {outcome.outcome for outcome in outcomes} == {ANSWERED}
    assert max(outcome.sent_at_s - outcome.scheduled_at_s for outcome in outcomes) < 0.2
    # One inference at a time: the last waits for all before it, and its latency says so.
    assert outcomes[-1].latency_ms > 4_000
    assert all(earlier.done_at_s < later.done_at_s for earlier, later in pairwise(outcomes))


def endless(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        connection.sendall(b"100000\r\n" + b" " * (1 << 20) + b"\r\n")


def whole(body: bytes, fields: bytes = b"") -> Callable[[socket.socket], None]:
    head = b"HTTP/1.1 200 OK\r\n%sContent-Length: %d\r\n\r\n" % (fields, len(body))
    return lambda connection: connection.sendall(head + body)


@contextmanager
def strange(answer: Callable[[socket.socket], None]) -> Iterator[None]:
    """A tier that answers each request so."""
    ended = threading.Event()

    def serve(connection: socket.socket) -> None:
        with connection, suppress(OSError):
            while connection.recv(1 << 16):
                answer(connection)

    def accept() -> None:
        while not ended.is_set():
            with suppress(TimeoutError):
                threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()

    with socket_in(named(NAMESPACE)) as listener:
        listener.bind(("127.0.0.1", TIER_PORT))
        listener.listen()
        listener.settimeout(0.1)
        accepting = threading.Thread(target=accept)
        accepting.start()
        try:
            yield
        finally:
            ended.set()
            accepting.join()


@pytest.mark.parametrize(
    "answer",
    [
        endless,
        whole(b"[" * 100_000),
        whole(gzip.compress(b" " * (200 << 20), 1), b"Content-Encoding: gzip\r\n"),
    ],
    ids=["endless", "nested", "gzip of 200 MB"],
)
def test_what_is_no_answer_costs_its_request_alone(answer: Callable[[socket.socket], None]) -> None:
    with strange(answer):
        outcomes = send(uniform(3, rate_per_s=20), deadline_s=5)
    assert [outcome.outcome for outcome in outcomes] == ["malformed"] * 3


def test_a_tier_that_stalls_for_2_s_is_felt_by_all_who_came_meanwhile() -> None:
    with tier(service_ms=1) as process:
        stall = [(1.0, process, signal.SIGSTOP), (3.0, process, signal.SIGCONT)]
        outcomes = send(uniform(60, rate_per_s=10), signals=stall)
    felt = [outcome for outcome in outcomes if outcome.latency_ms > 200]
    assert 16 <= len(felt) <= 21  # about 20; a client that waits for answers would have felt it once
    assert max(outcome.latency_ms for outcome in outcomes) > 1_900
    for number, outcome in enumerate(outcomes[12:27], start=12):
        until_end_ms = 3_000 - 100 * number  # each waits 100 ms less than the one before
        assert until_end_ms - 1 <= outcome.latency_ms < until_end_ms + 500


def test_a_tier_that_dies_costs_each_request_one_named_error() -> None:
    with tier(service_ms=50) as process:
        outcomes = send(uniform(30, rate_per_s=20), signals=[(0.8, process, signal.SIGKILL)])
    ended = Counter(outcome.outcome for outcome in outcomes)
    assert set(ended) == {ANSWERED, "connection"}
    assert min(ended.values()) > 5
    assert len({outcome.request_id for outcome in outcomes}) == len(outcomes) == 30


def test_an_answer_that_comes_after_the_deadline_is_none() -> None:
    with tier(service_ms=400):
        outcomes = send(uniform(10, rate_per_s=10), deadline_s=1.0)
    ended = Counter(outcome.outcome for outcome in outcomes)
    assert set(ended) == {ANSWERED, "deadline"}
    for outcome in outcomes:
        assert (outcome.answer is not None) == (outcome.outcome == ANSWERED)
        assert outcome.latency_ms < 1_000 + GRACE_S * 1_000


def test_a_tier_that_never_answers_is_given_up() -> None:
    with tier(service_ms=1) as process:
        process.signal(signal.SIGSTOP)
        started = time.monotonic()
        outcomes = send(uniform(3, rate_per_s=10), deadline_s=0.5)
        assert time.monotonic() - started < 0.5 + GRACE_S + 2
    assert [outcome.outcome for outcome in outcomes] == ["timeout"] * 3


def test_in_lockstep_each_request_waits_for_the_one_before() -> None:
    with tier(service_ms=20):
        outcomes = send(uniform(10, rate_per_s=1000), mode="lockstep")
    assert outcomes[0].sent_at_s >= 0
    assert all(earlier.done_at_s <= later.sent_at_s for earlier, later in pairwise(outcomes))
    assert all(outcome.scheduled_at_s == pytest.approx(outcome.sent_at_s, abs=0.01) for outcome in outcomes)


def test_in_a_closed_loop_each_user_waits_for_the_answer_and_thinks() -> None:
    users, think_s = 3, 0.05
    with tier(service_ms=30):
        outcomes = send(uniform(30, rate_per_s=1000), mode="closed", closed=ClosedLoop(users, [think_s] * 30))
    assert [outcome.request_id for outcome in outcomes] == [f"r{number}" for number in range(30)]
    assert {outcome.outcome for outcome in outcomes} == {ANSWERED}
    for outcome in outcomes:
        assert outcome.sent_at_s >= outcome.scheduled_at_s
        assert sum(other.sent_at_s <= outcome.sent_at_s < other.done_at_s for other in outcomes) <= users
    for earlier, later in zip(outcomes, outcomes[users:], strict=False):  # of the same user
        assert later.scheduled_at_s == pytest.approx(earlier.done_at_s + think_s)


def test_in_a_closed_loop_users_of_a_dead_tier_each_go_through_their_requests() -> None:
    with tier(service_ms=20) as process:
        outcomes = send(
            uniform(40, rate_per_s=1),
            mode="closed",
            closed=ClosedLoop(2, [0.01] * 40),
            signals=[(0.3, process, signal.SIGKILL)],
        )
    assert set(Counter(outcome.outcome for outcome in outcomes)) == {ANSWERED, "connection"}
    assert len({outcome.request_id for outcome in outcomes}) == len(outcomes) == 40
