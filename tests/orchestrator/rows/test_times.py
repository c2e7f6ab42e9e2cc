"""Of which requests the time is known, and of which it should be."""

from __future__ import annotations

from typing import Any

import pytest

from testbed.results.evidence import Unexplained
from testbed.results.times import unexplained


def row(**changes: Any) -> dict[str, Any]:
    return {
        "outcome": "answered",
        "path": ["device1", "edge1"],
        "forward_errors": [None, None],
        "hop_up_ms": [5.0],
        "hop_down_ms": [5.0],
        "unexplained_ms": 0.5,
        **changes,
    }


def known_and_due(*rows: dict[str, Any]) -> tuple[int, int]:
    times = unexplained("recserve", rows)
    return times.requests, times.expected


@pytest.mark.parametrize("lacking", [{"hop_down_ms": [None]}, {"path": [], "hop_up_ms": []}])
def test_a_reply_whose_way_was_not_recorded_is_missed(lacking: dict[str, Any]) -> None:
    assert known_and_due(row(), row(**lacking)) == (1, 2)


@pytest.mark.parametrize(
    "excuse", [{"outcome": "timeout"}, {"forward_errors": ["deadline", None], "outcome": "answered"}]
)
def test_a_way_that_was_given_up_is_not(excuse: dict[str, Any]) -> None:
    assert known_and_due(row(), row(hop_down_ms=[None], **excuse)) == (1, 1)


def test_of_no_request_nothing_is_said() -> None:
    assert unexplained("recserve", []) == Unexplained("recserve", 0, 0, None, None, None, None)


def test_both_ends_are_kept() -> None:
    times = unexplained("recserve", [row(unexplained_ms=float(ms)) for ms in range(-50, 150)])
    assert (times.p1_ms, times.p50_ms, times.p99_ms, times.max_ms) == (-49, 49, 147, 149)
