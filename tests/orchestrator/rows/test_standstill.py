"""A tier that stood still is told from one that worked, that its quota held back, or an event stopped."""

from __future__ import annotations

from dataclasses import asdict, replace
from itertools import count
from typing import Any

import pytest

from testbed.host.standstill import Glance, How
from testbed.orchestrator.replay.replay import Outcome
from testbed.orchestrator.rows.standstill import own_spans, own_times, quotas, stood_still
from testbed.orchestrator.watch.standstill import Seen
from testbed.results.columns import EventRow
from testbed.results.evidence import OwnTime, StoodStill
from tiers.protocol import ANSWERED

START_S = 1000.0
"""The method's time 0 on the clock of looks and records."""
PAUSE = EventRow("m", 1, "pause", "edge1", at_s=2.0, for_s=2.0, took_effect_at_s=2.02, ended_at_s=4.03)


def seen(
    *,
    still: tuple[float, float] = (0, 0),
    how: How = "frozen",
    busy: float = 0.0,
    throttled: float = 0.0,
    seconds: float = 10.0,
) -> Seen:
    """What ten looks a second see of a container that stands still for a while.

    ``busy`` and ``throttled`` are shares of the time in which it does not.
    """
    found, ran_s, held_s = Seen(), 7.0, 3.0
    for number in count():
        at_s = number / 10
        if at_s > seconds:
            return found
        is_still = still[0] <= at_s < still[1]
        found.add(Glance(START_S + at_s, how if is_still else None, ran_s, held_s))
        if not is_still:
            ran_s, held_s = ran_s + busy / 10, held_s + throttled / 10
    raise AssertionError


def record(arrived: float, handed_over: float, **changes: Any) -> dict[str, Any]:
    """A request that a node passes on at once, and that waits half of its time for the tier above."""
    began = arrived + (handed_over - arrived) / 2
    return {
        "request_id": "r1", "thread_ms": 0.0, "queue_ms": 0.0, "inference_ms": 0.0, "inferred_s": None,
        "arrived_s": START_S + arrived, "handed_over_s": START_S + handed_over,
        "forward_began_s": START_S + began, "upstream_ms": 0.0, **changes,
    }  # fmt: skip


def own(one: Seen, *records: dict[str, Any], events: tuple[EventRow, ...] = ()) -> OwnTime:
    (found,) = own_times("m", {"edge1": records}, {"edge1": one}, events, START_S)
    return found


def test_own_time_is_what_neither_queue_nor_model_nor_the_tier_above_took() -> None:
    whole = record(
        0, 10, thread_ms=500.0, queue_ms=1500.0, inference_ms=1000.0, inferred_s=START_S + 3.0,
        forward_began_s=START_S + 4.0, upstream_ms=5000.0,
    )  # fmt: skip
    spans = [(span.since_s - START_S, span.until_s - START_S) for span in own_spans(whole)]
    assert spans == [(0.5, 1.0), (3.0, 4.0), (9.0, 10.0)]
    relayed = record(0, 10, thread_ms=500.0, queue_ms=500.0, forward_began_s=None, upstream_ms=None)
    assert [span.seconds for span in own_spans(relayed)] == [9.5]


@pytest.mark.parametrize(
    ("doing", "explained_ms"),
    [
        ({}, (0, 0)),  # waiting for nobody and doing nothing
        ({"busy": 1.0}, (4000, 4000)),
        ({"busy": 0.25, "throttled": 0.75}, (4000, 4000)),
        ({"busy": 0.1}, (400, 430)),
        ({"busy": 2.0}, (4000, 4000)),  # on two CPUs: no more than the time itself
        ({"busy": 0.5, "still": (2, 6)}, (0, 110)),  # at work before and after, and not in that time
    ],
)
def test_its_work_and_its_quota_explain_own_time_and_nothing_else_does(
    doing: dict[str, Any], explained_ms: tuple[float, float]
) -> None:
    found = own(seen(**doing), record(2, 6, forward_began_s=None))
    assert found.own_ms == pytest.approx(4000)
    assert explained_ms[0] - 1 <= found.explained_ms <= explained_ms[1] + 1


def test_throttling_that_the_kernel_counts_when_it_is_over_explains_the_time_before() -> None:
    late = Seen()
    for number in range(100):
        late.add(Glance(START_S + number / 10, None, 1.0, 0.0 if number < 63 else 4.0))
    assert own(late, record(2, 6, forward_began_s=None)).unexplained_ms == 0


def test_an_event_that_has_a_tier_stand_still_explains_its_own_time_and_no_other_tiers() -> None:
    still = seen(still=(2, 4), how="stopped", busy=0.01)
    waited = record(2.1, 4.05, forward_began_s=None)
    assert own(still, waited, events=(PAUSE,)).unexplained_ms < 100
    assert own(still, waited, events=(replace(PAUSE, target="cloud1"),)).unexplained_ms > 1800
    assert own(still, waited, events=(replace(PAUSE, took_effect_at_s=None),)).unexplained_ms > 1800


def test_the_least_explained_request_of_each_node_is_told() -> None:
    records = [record(0, 9.9, request_id="r1"), record(2, 6, request_id="r2", forward_began_s=None)]
    found = own(seen(busy=0.5, still=(2, 6)), *records)
    assert found.request_id == "r2"
    assert found.at_s == pytest.approx(2)
    assert own_times("m", {"edge1": [], "cloud1": records}, {"edge1": seen()}, (), START_S) == []


@pytest.mark.parametrize(
    ("one", "events", "expected"),
    [
        (seen(), (), []),
        (seen(still=(2, 6)), (), [("frozen", 2.0, 4.0)]),
        (seen(still=(2, 6), how="stopped"), (PAUSE,), [("stopped", 2.0, 1.72)]),  # for longer than asked
        (seen(still=(2, 4), how="stopped"), (PAUSE,), []),
        (seen(still=(2, 4)), (replace(PAUSE, target="edge2"),), [("frozen", 2.0, 2.0)]),
        (seen(still=(9.5, 11)), (), [("frozen", 9.5, 0.5)]),
        (seen(still=(10, 11)), (), [("frozen", 10.0, 0.0)]),  # by the last look
        (seen(still=(3, 11), how="stopped"), (replace(PAUSE, ended_at_s=None),), []),
    ],
)
def test_a_container_that_stood_still_is_told_unless_an_event_asked_for_it(
    one: Seen, events: tuple[EventRow, ...], expected: list[tuple[str, float, float]]
) -> None:
    found = stood_still("m", {"edge1": one}, {}, events, START_S)
    assert [(still.node, still.how) for still in found] == [("edge1", how) for how, _, _ in expected]
    for still, (_, at_s, seconds) in zip(found, expected, strict=True):
        assert still.at_s == pytest.approx(at_s)
        assert still.seconds == pytest.approx(seconds)


def outcome(scheduled_at_s: float, done_at_s: float, ended: str, *, degraded: bool = False) -> Outcome:
    return Outcome("r", "device1", scheduled_at_s, scheduled_at_s, done_at_s, 0.0, ended, degraded=degraded)


@pytest.mark.parametrize(
    ("one", "failed"),
    [
        (outcome(1.0, 11.0, "deadline"), 1),
        (outcome(5.9, 15.9, "connection"), 1),
        (outcome(3.0, 3.5, ANSWERED, degraded=True), 1),
        (outcome(3.0, 7.0, ANSWERED), 0),
        (outcome(0.0, 1.9, "deadline"), 0),
        (outcome(6.1, 7.0, "deadline"), 0),
    ],
)
def test_requests_that_failed_while_it_stood_still_are_counted(one: Outcome, failed: int) -> None:
    (found,) = stood_still("m", {"edge1": seen(still=(2, 6))}, {}, (), START_S, [one])
    assert found.failed == failed


def test_an_engine_that_stood_still_is_told_by_its_node() -> None:
    behind = {"edge1's engine": seen(still=(2, 4))}
    (found,) = stood_still("m", {"edge1": seen()}, behind, (PAUSE,), START_S)
    expected = StoodStill("m", "edge1's engine", "frozen", 2.0, 2.0)
    assert asdict(found) == pytest.approx(asdict(expected))


def test_a_quota_that_was_changed_within_a_method_or_between_two_is_told() -> None:
    def having(*cpus: float | None) -> Seen:
        found = Seen()
        for number, limit in enumerate(cpus):
            found.add(Glance(START_S + number, None, 1.0, 0.0, limit))
        return found

    first = {"edge1": having(0.5, 0.5), "cloud1": having(1.0, 1.0), "edge1's relay": having(None)}
    second = {"edge1": having(0.5, 0.05, 0.5), "cloud1": having(0.25)}
    assert quotas([first, second]) == {
        "edge1": [0.5, 0.05, 0.5], "cloud1": [1.0, 0.25], "edge1's relay": [None],
    }  # fmt: skip


def test_a_container_that_does_nothing_for_long_takes_no_memory() -> None:
    idle, busy = seen(seconds=1000), seen(seconds=1000, busy=0.5)
    assert (len(idle._at_s), len(busy._at_s)) == (2, 10_001)
    assert busy.busy_s(START_S + 500, START_S + 501) == pytest.approx(0.5)


@pytest.mark.parametrize(("still_until", "seconds"), [(4.0, None), (5.0, 1.0)])
def test_looks_that_are_seconds_apart_are_not_held_against_an_event(
    still_until: float, seconds: float | None
) -> None:
    """As with more than a hundred containers: a look every second, and an event that ends between two."""
    found = Seen()
    for number in range(20):
        is_still = 2.02 <= number / 1.5 < still_until
        found.add(Glance(START_S + number / 1.5, "stopped" if is_still else None, 1.0, 0.0))
    told = stood_still("m", {"edge1": found}, {}, [PAUSE], START_S)
    assert [one.seconds for one in told] == ([] if seconds is None else [pytest.approx(seconds, abs=0.2)])


def test_of_a_container_that_has_ended_nothing_is_seen() -> None:
    found = Seen()
    for glance in (Glance(START_S, None, 1.0, 0.0, 0.5), None):
        found.add(glance)
    assert quotas([{"edge1": found}]) == {"edge1": [0.5]}
    assert found.busy_s(START_S - 1, START_S + 1) == 0
