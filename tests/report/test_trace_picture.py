"""A trace in the terminal."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from testbed.report.trace_picture import columns_chart, print_trace, trace_lines
from testbed.scenario.traces.shape import shape_of
from testbed.scenario.workload.datasets import DATASETS
from tests.scenario.traces.test_shape import requests


def test_columns_are_as_high_as_their_values() -> None:
    assert columns_chart([0, 1, 2, 4], 2) == ["   █", " ▄██"]
    assert columns_chart([0, 1, 2, 4], 2, ascii_only=True) == ["   #", " :##"]


def test_what_is_not_nothing_is_seen() -> None:
    assert columns_chart([1, 1000], 1) == ["▁█"]
    assert columns_chart([0, 0], 2) == ["  ", "  "]


class TestPicture:
    def test_it_has_rate_bursts_lengths_and_devices(self) -> None:
        trace = requests(*(number / 4 for number in range(100)), devices="aaab")
        text = "\n".join(trace_lines("x.jsonl", shape_of(trace, DATASETS, {"made_by": "a test"})))
        assert "100 requests in 25 s, 4.04 a second on average" in text
        assert "gaps: 0.25 s on average, 0.25 s at most; they vary by 0.00 of their mean (Poisson: 1)" in text
        assert "index of dispersion of counts" in text
        assert "bytes on average" in text
        assert "75.0%" in text
        assert "  made_by: a test" in text

    def test_of_many_devices_those_with_the_most_are_shown(self) -> None:
        trace = requests(*range(20), devices="abcdefghijklmnopqrst")
        lines = trace_lines("x", shape_of(trace, DATASETS, None))
        assert "requests by device, the 12 with the most of 20" in lines
        assert sum(line.endswith("5.0%") for line in lines) == 12

    @pytest.mark.parametrize("times", [[0.0], [0.0, 0.0], [0.0, 0.001]])
    def test_a_trace_of_next_to_nothing_has_a_picture(self, times: list[float]) -> None:
        assert "request" in "\n".join(trace_lines("x", shape_of(requests(*times), DATASETS, None)))

    def test_a_terminal_without_utf_8_gets_signs_that_it_has(self) -> None:
        written = io.BytesIO()
        file = io.TextIOWrapper(written, encoding="ascii")
        shape = shape_of(requests(*range(30)), DATASETS, {"prompts": {"tokens": {"mean": 1.0}}, "lost": None})
        print_trace("x", shape, Console(file=file))
        file.flush()
        assert b"requests a second" in written.getvalue()
