"""Traces: the same for a seed everywhere, and never with a sentence that a model has learnt."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom

from testbed.errors import TestbedError
from testbed.scenario.requests import build_trace, draw_trace, prompts_for, summarise
from testbed.scenario.scenario import load_scenario, with_requests, with_seed
from testbed.scenario.sections.trace import Arrivals, DrawnTrace
from testbed.scenario.workload.datasets import load
from testbed.scenario.workload.trace_file import Request
from tests import QUICKSTART

DEVICES = ["device1", "device2"]
HELD_OUT = load("rotten_tomatoes", "test")
LEARNT = load("rotten_tomatoes", "train")


def drawn(requests: int, process: Any = "poisson", rate: float = 3.0, seed: int = 1) -> list[Request]:
    trace = DrawnTrace(requests=requests, arrivals=Arrivals(process=process, rate_per_s=rate), seed=seed)
    return draw_trace(trace, "rotten_tomatoes", DEVICES)


class TestDrawing:
    def test_a_seed_gives_the_same_trace_on_every_host(self) -> None:
        assert drawn(2) == [
            Request("r000001", 0.40369, "device1", "rotten_tomatoes", "test", 26066),
            Request("r000002", 1.310078, "device1", "rotten_tomatoes", "test", 31824),
        ]

    def test_another_seed_gives_another(self) -> None:
        assert drawn(50, seed=1) != drawn(50, seed=2)

    @settings(max_examples=20)
    @given(st.integers(1, 100), st.integers(0, 2**63 - 1))
    def test_a_shorter_trace_is_the_beginning_of_a_longer_one(self, requests: int, seed: int) -> None:
        assert drawn(100, seed=seed)[:requests] == drawn(requests, seed=seed)

    def test_no_prompt_comes_twice_while_rows_last(self) -> None:
        trace = drawn(len(HELD_OUT))
        assert Counter(request.row for request in trace) == Counter(example.row for example in HELD_OUT)
        assert summarise(trace).repeated_prompts == 0

    def test_beyond_that_every_row_comes_again_before_any_comes_a_third_time(self) -> None:
        trace = drawn(len(HELD_OUT) + 500)
        counts = Counter(request.row for request in trace)
        assert Counter(counts.values()) == {1: len(HELD_OUT) - 500, 2: 500}
        assert summarise(trace).repeated_prompts == 500

    def test_only_held_out_rows_are_drawn(self) -> None:
        learnt = {example.row for example in LEARNT}
        assert not learnt & {request.row for request in drawn(3000)}

    def test_ids_are_unique_and_fit_the_header(self) -> None:
        ids = [request.id for request in drawn(3000)]
        assert len(set(ids)) == 3000
        assert all(len(request_id) <= 12 for request_id in ids)

    def test_poisson_gaps_are_exponential(self) -> None:
        times = [0.0, *(request.at_s for request in drawn(5000, rate=10.0))]
        gaps = [later - earlier for earlier, later in itertools.pairwise(times)]
        assert min(gaps) >= 0
        assert sum(gaps) / len(gaps) == pytest.approx(0.1, rel=4 / math.sqrt(5000))
        for quantile in (0.1, 0.5, 0.9):
            below = sum(gap <= -0.1 * math.log1p(-quantile) for gap in gaps)
            low, high = binom.interval(0.9999, 5000, quantile)
            assert low <= below <= high

    def test_uniform_arrivals_are_evenly_spaced(self) -> None:
        assert [request.at_s for request in drawn(4, "uniform", rate=4.0)] == [0.0, 0.25, 0.5, 0.75]

    def test_devices_are_drawn_evenly(self) -> None:
        counts = Counter(request.device for request in drawn(5000))
        assert set(counts) == set(DEVICES)
        low, high = binom.interval(0.9999, 5000, 0.5)
        assert low <= counts["device1"] <= high

    def test_the_scenarios_requests_and_seed_are_obeyed(self) -> None:
        scenario = with_seed(with_requests(load_scenario(QUICKSTART), 5), 3)
        assert build_trace(scenario) == drawn(5, seed=3)


class TestPrompts:
    def test_each_request_gets_its_text_and_reference(self) -> None:
        trace = drawn(5)
        prompts = prompts_for(trace)
        by_row = {example.row: example for example in HELD_OUT}
        assert prompts == {request.id: by_row[request.row] for request in trace}

    def test_a_row_of_another_split_is_not_found(self) -> None:
        request = dataclasses.replace(drawn(1)[0], row=LEARNT[0].row)
        with pytest.raises(TestbedError, match="test split has no row"):
            prompts_for([request])

    def test_a_summary_counts_bytes_and_time(self) -> None:
        summary = summarise(drawn(5, "uniform", rate=2.0))
        assert (summary.requests, summary.duration_s, summary.rate_per_s) == (5, 2.0, 2.5)
        assert sum(summary.by_device.values()) == sum(summary.by_reference.values()) == 5
        texts = [example.text for example in prompts_for(drawn(5)).values()]
        assert summary.prompt_bytes == sum(len(text.encode()) for text in texts)
