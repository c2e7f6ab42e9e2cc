"""A compact trace is the trace that it was made of, in less memory."""

from __future__ import annotations

import dataclasses
import tracemalloc
from collections.abc import Callable, Iterable, Sequence

import pytest

from testbed.scenario.requests import build_trace, requests_of
from testbed.scenario.scenario import load_scenario
from testbed.scenario.workload.compact import CompactTrace
from testbed.scenario.workload.trace_file import Request
from tests import SCENARIOS

CITY = load_scenario(SCENARIOS / "city.yaml", requests=2000)


def test_drawn_requests_come_out_as_they_went_in() -> None:
    trace, compact = build_trace(CITY), CompactTrace.of(requests_of(CITY))
    assert list(compact) == trace
    assert len(compact) == 2000
    assert compact.ids is None
    assert (compact[0], compact[-1], compact[7:9]) == (trace[0], trace[-1], trace[7:9])
    assert [compact.id_of(at) for at in (0, 1999)] == ["r000001", "r002000"]
    with pytest.raises(IndexError):
        compact[2000]
    assert CompactTrace.of(compact) is compact
    assert list(CompactTrace.of([])) == []


@pytest.mark.parametrize("odd_at", [0, 3, 9])
def test_ids_data_sets_and_devices_of_any_name_stay(odd_at: int) -> None:
    trace = [
        Request(
            f"r{number:06d}",
            number / 7,
            f"device{number % 3}",
            "sst2" if number % 2 else "mine",
            "test",
            number,
        )
        for number in range(1, 11)
    ]
    trace[odd_at] = dataclasses.replace(trace[odd_at], id="another")
    assert list(CompactTrace.of(trace)) == trace


def test_it_takes_less_than_a_fifth() -> None:
    def bytes_of(made: Callable[[Iterable[Request]], Sequence[Request]]) -> int:
        tracemalloc.start()
        kept = made(requests_of(CITY))
        found, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert len(kept) == 2000
        return found

    bytes_of(list)  # the data set is read
    assert bytes_of(CompactTrace.of) < bytes_of(list) / 5
