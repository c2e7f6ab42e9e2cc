"""A trace file is checked line by line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from testbed.errors import TestbedError
from testbed.scenario.requests import build_trace, prompts_for
from testbed.scenario.scenario import load_scenario, with_requests
from testbed.scenario.sections.trace import FileTrace
from testbed.scenario.workload.trace_file import (
    TraceFile,
    read_trace,
    read_trace_file,
    trace_line,
    write_trace,
)
from tests import QUICKSTART
from tests.scenario.test_requests import DEVICES, HELD_OUT, LEARNT, drawn


def line(**changes: Any) -> str:
    entry = {
        "id": "a",
        "at_s": 0.5,
        "device": "device1",
        "dataset": "rotten_tomatoes",
        "split": "test",
        "row": HELD_OUT[0].row,
    }
    entry.update(changes)
    return json.dumps({key: value for key, value in entry.items() if value is not None})


class TestFiles:
    def test_a_trace_reads_back_as_it_was_and_holds_no_text(self, tmp_path: Path) -> None:
        trace = drawn(50)
        path = tmp_path / "trace.jsonl"
        write_trace(trace, path)
        assert read_trace(path, DEVICES, ["negative", "positive"]) == trace
        content = path.read_text()
        assert not any(example.text in content for example in prompts_for(trace).values())
        assert set(json.loads(content.splitlines()[0])) == {"id", "at_s", "device", "dataset", "split", "row"}

    def test_a_scenario_takes_the_first_requests_of_a_file(self, tmp_path: Path) -> None:
        trace = drawn(10)
        path = tmp_path / "trace.jsonl"
        write_trace(trace, path)
        scenario = load_scenario(QUICKSTART, [f"trace={{file: {path}}}"])
        assert isinstance(scenario.trace, FileTrace)
        assert build_trace(scenario) == trace
        assert build_trace(with_requests(scenario, 4)) == trace[:4]
        with pytest.raises(TestbedError, match="holds 10 requests, fewer than the 11 asked for"):
            build_trace(with_requests(scenario, 11))

    def test_a_header_is_kept_apart_from_the_requests(self, tmp_path: Path) -> None:
        trace = drawn(3)
        path = tmp_path / "trace.jsonl"
        write_trace(trace, path, {"made_by": "a tést", "rows": {"kept": 3}})
        read = read_trace_file(path, DEVICES)
        assert read == TraceFile({"unit": "s", "made_by": "a tést", "rows": {"kept": 3}}, trace)
        assert path.read_text().splitlines()[1:] == [trace_line(request).rstrip() for request in trace]
        write_trace(trace, path)
        assert read_trace_file(path).header is None

    @pytest.mark.parametrize(
        ("bad", "words"),
        [
            ('{"trace": []}', "a header is an object with the key trace alone, and that is an object"),
            ('{"trace": {"unit": "s"}, "id": "a"}', "a header is an object with the key trace alone"),
            ('{"trace": {}}', "a header's unit must be 's', not None; write times in seconds"),
            ('{"trace": {"unit": "ms"}}', "a header's unit must be 's', not 'ms'; write times in seconds"),
            (f'{{"trace": {{"unit": "s"}}}}\n{line()}\n{{"trace": {{"unit": "s"}}}}', "unknown key 'trace'"),
            ('{"trace": {"unit": "s"}}', "holds no request; write one JSON object a line"),
        ],
    )
    def test_a_bad_header_is_told(self, tmp_path: Path, bad: str, words: str) -> None:
        path = tmp_path / "trace.jsonl"
        path.write_text(f"{bad}\n")
        with pytest.raises(TestbedError) as caught:
            read_trace(path)
        assert words in str(caught.value)

    @pytest.mark.parametrize(
        ("bad", "words"),
        [
            ("{", "is not JSON in UTF-8"),
            ("[" * 4000, "is not JSON in UTF-8"),
            ("[1]", "must be an object with id, at_s, device"),
            (line(row=None), "row is missing; add it"),
            (line(text="a film"), "unknown key 'text'"),
            (line(devise="x"), "unknown key 'devise'; did you mean device?"),
            (line(at_s="1"), "at_s must be a number, not '1'"),
            (line(row=1.5), "row must be a whole number, not 1.5"),
            (line(row=True), "row must be a whole number, not True"),
            (line(at_s=-1), "at_s must be seconds from the start, 0 or more"),
            (line(at_s=float("nan")), "at_s must be seconds from the start, 0 or more"),
            (line(at_s=10**400), "at_s must be seconds from the start, 0 or more"),
            (line(at_s=0.25), "at_s 0.25 is before the line above (0.5); sort by time"),
            (line(id="first"), "id 'first' was used before; give each request its own"),
            (line(id="thirteenchars"), "must be 1 to 12 letters"),
            (line(id=""), "must be 1 to 12 letters"),
            (line(id="a\r\nb"), "must be 1 to 12 letters"),
            (line(device="device3"), "no device 'device3' in the lowest tier; did you mean device2?"),
            (line(dataset="imbd"), "no data set 'imbd'; did you mean imdb?"),
            (line(split="train"), "split 'train' is refused, for models may have learnt it"),
            (line(row=LEARNT[0].row), "is in its train split, which models have learnt"),
            (line(row=10**9), "rotten_tomatoes has no row 1000000000"),
            (line(id="x" * 5000), "the line is longer than 4096 bytes; a trace holds no text"),
        ],
    )
    def test_a_bad_line_is_named(self, tmp_path: Path, bad: str, words: str) -> None:
        path = tmp_path / "trace.jsonl"
        path.write_text(f"{line(id='first')}\n\n{bad}\n")
        with pytest.raises(TestbedError) as caught:
            read_trace(path, DEVICES)
        assert str(caught.value).startswith(f"{path}:3: ")
        assert words in str(caught.value)
        assert "\n" not in str(caught.value)

    def test_bytes_that_are_no_text_are_refused(self, tmp_path: Path) -> None:
        path = tmp_path / "trace.jsonl"
        path.write_bytes(b"\xff\xfe\n")
        with pytest.raises(TestbedError, match=r":1: is not JSON in UTF-8"):
            read_trace(path)

    def test_labels_must_be_the_scenarios(self, tmp_path: Path) -> None:
        path = tmp_path / "trace.jsonl"
        path.write_text(line())
        with pytest.raises(TestbedError, match=r"has not the scenario's labels \[no, yes\]"):
            read_trace(path, labels=["no", "yes"])

    def test_a_file_that_is_empty_missing_or_a_directory(self, tmp_path: Path) -> None:
        empty = tmp_path / "empty.jsonl"
        empty.touch()
        with pytest.raises(TestbedError, match="holds no request"):
            read_trace(empty)
        with pytest.raises(TestbedError, match="cannot be read"):
            read_trace(tmp_path / "none.jsonl")
        with pytest.raises(TestbedError, match="cannot be written"):
            write_trace(drawn(1), tmp_path)
