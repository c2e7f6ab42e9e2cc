"""What a trace looks like, in figures."""

from __future__ import annotations

import random
import tracemalloc
from pathlib import Path

import pytest

from testbed.errors import TestbedError
from testbed.scenario.requests import build_trace
from testbed.scenario.scenario import load_scenario
from testbed.scenario.traces.open import open_trace
from testbed.scenario.traces.shape import dispersion, rate_over_time, shape_of
from testbed.scenario.workload.datasets import DATASETS, load
from testbed.scenario.workload.trace_file import Request, write_trace
from tests import QUICKSTART, ROOT

HELD_OUT = load("rotten_tomatoes", "test")


def requests(*times_s: float, devices: str = "a", dataset: str = "rotten_tomatoes") -> list[Request]:
    return [
        Request(f"r{number}", at_s, devices[number % len(devices)], dataset, "test", HELD_OUT[number].row)
        for number, at_s in enumerate(times_s)
    ]


class TestDispersion:
    def test_it_is_the_variance_of_counts_over_their_mean(self) -> None:
        # 40 windows of a second, two and no requests in turn: mean 1, variance 40 / 39.
        times = [second + part for second in range(0, 40, 2) for part in (0.1, 0.9)]
        assert dispersion([*times, 40.0], 1) == pytest.approx(40 / 39)

    def test_of_equal_gaps_it_is_nothing_and_of_poisson_arrivals_one(self) -> None:
        assert dispersion([number / 4 for number in range(401)], 1) == 0
        draws, at_s = random.Random(1), 0.0
        times = [at_s := at_s + draws.expovariate(10) for _ in range(20_000)]
        for window_s in (0.1, 1, 10):
            assert dispersion(times, window_s) == pytest.approx(1, abs=0.35)

    @pytest.mark.parametrize("rate", [10, 20, 100])
    def test_requests_at_the_edges_of_windows_are_each_in_one(self, rate: int) -> None:
        """Of floats, the window from 0.1 * 3 on lacks the request at 0.3, and the one before has two."""
        assert dispersion([round(number / rate, 6) for number in range(100 * rate)], 0.1) == 0

    def test_a_trace_of_a_year_takes_no_memory_for_its_empty_windows(self) -> None:
        times = [number * 31_536.0 for number in range(1001)]
        tracemalloc.start()
        found = dispersion(times, 0.1)
        _, peak_bytes = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert found == pytest.approx(1, abs=1e-4)  # hardly ever two in a window
        assert peak_bytes < 1 << 20

    def test_over_windows_that_are_too_few_it_tells_nothing(self) -> None:
        assert dispersion([0.0, 19.0], 1) is None
        assert dispersion([0.0, 21.0], 1) is not None


class TestShape:
    def test_it_counts_rates_gaps_and_shares(self) -> None:
        shape = shape_of(requests(0, 1, 1, 4, devices="aab"), DATASETS, None)
        assert (shape["requests"], shape["duration_s"], shape["rate_per_s"]) == (4, 4.0, 1.0)
        assert shape["gaps_s"]["largest"] == 3
        assert shape["gaps_s"]["of_0"] == 0.3333
        assert shape["devices"] == {"a": {"requests": 3, "share": 0.75}, "b": {"requests": 1, "share": 0.25}}
        assert shape["datasets_by_quarter"] == []
        assert sum(shape["rate_over_time"]["requests"]) == 4

    def test_lengths_are_those_of_the_prompts(self) -> None:
        lengths = [len(example.text.encode()) for example in HELD_OUT[:10]]
        found = shape_of(requests(*range(10)), DATASETS, None)["prompt_bytes"]
        assert found["mean"] == pytest.approx(sum(lengths) / 10, abs=0.05)
        assert found["largest"] == max(lengths)
        assert sum(found["histogram"]["requests"]) == 10

    def test_a_data_set_that_is_not_at_hand_hides_lengths_alone(self) -> None:
        shape = shape_of(requests(0, 1, dataset="mine"), DATASETS, None)
        assert shape["prompt_bytes"] is None
        assert "data set mine is none of the testbed's; give --scenario" in shape["prompt_bytes_lack"]

    def test_a_trace_of_one_moment_has_no_rate(self) -> None:
        shape = shape_of(requests(0, 0), DATASETS, None)
        assert (shape["rate_per_s"], shape["rate_over_time"], shape["gaps_s"]) == (None, None, None)
        assert shape["dispersion"] == []

    def test_the_last_request_is_in_the_last_part(self) -> None:
        found = rate_over_time([0.0, 6.0], bins=6)
        assert found == {"bin_s": 1.0, "requests": [1, 0, 0, 0, 0, 1]}

    def test_a_drift_shows_in_the_quarters(self) -> None:
        trace = [*requests(0, 1), *requests(2, 3, dataset="imdb")]
        quarters = shape_of(trace, DATASETS, None)["datasets_by_quarter"]
        assert quarters == [{"rotten_tomatoes": 1}, {"rotten_tomatoes": 1}, {"imdb": 1}, {"imdb": 1}]


class TestOpening:
    def test_a_scenario_a_run_and_a_file_are_opened(self, tmp_path: Path) -> None:
        drawn = build_trace(load_scenario(QUICKSTART))
        assert open_trace(QUICKSTART, None, None).requests == drawn
        of_run = open_trace(ROOT / "tests" / "data" / "run-v1", None, None)
        assert (len(of_run.requests) > 0, of_run.header) == (True, None)
        write_trace(drawn, tmp_path / "x.jsonl", {})
        opened = open_trace(tmp_path / "x.jsonl", None, QUICKSTART)
        assert (opened.requests, opened.header) == (drawn, {"unit": "s"})

    def test_the_unit_is_asked_for_where_it_is_not_plain(self, tmp_path: Path) -> None:
        path = tmp_path / "x.jsonl"
        write_trace(requests(0, 6900), path)
        with pytest.raises(
            TestbedError, match=r"are these milliseconds. write --unit ms, or --unit s if they are"
        ):
            open_trace(path, None, None)
        assert open_trace(path, "ms", None).requests[-1].at_s == 6.9
