"""Times of a trace file: seconds, milliseconds or since 1970; what is hard to believe is asked."""

from __future__ import annotations

import dataclasses
import json
import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from testbed.errors import TestbedError
from testbed.orchestrator.estimate import estimated_seconds
from testbed.scenario.requests import build_trace, summarise, time_notes
from testbed.scenario.scenario import Scenario, load_scenario
from testbed.scenario.workload.trace_file import Request, read_trace, write_trace
from testbed.scenario.workload.trace_time import ASKED_ABOVE_S, pauses
from tests import QUICKSTART, SCENARIOS
from tests.scenario.refusals import refusal
from tests.scenario.test_requests import HELD_OUT, drawn

SINCE_1970 = datetime(2023, 11, 16, 18, 15, 46, 680590, tzinfo=UTC).timestamp()


def written(folder: Path, times: Sequence[float | str]) -> Path:
    """A trace file with these ``at_s``."""
    path = folder / "trace.jsonl"
    lines = []
    for number, (time, example) in enumerate(zip(times, HELD_OUT, strict=False), start=1):
        entry = {"id": f"r{number}", "at_s": 0, "device": "device1", "dataset": "rotten_tomatoes"}
        entry |= {"split": "test", "row": example.row}
        lines.append(json.dumps(entry).replace('"at_s": 0', f'"at_s": {time}'))
    path.write_text("\n".join(lines) + "\n")
    return path


def replayed(path: Path, more: str = "", *overrides: str) -> list[Request]:
    return build_trace(scenario_with(path, more, *overrides))


def scenario_with(path: Path, more: str = "", *overrides: str) -> Scenario:
    return load_scenario(QUICKSTART, [f"trace={{file: {path}{more}}}", *overrides])


def question(path: Path, more: str = "") -> str:
    with pytest.raises(TestbedError) as caught:
        replayed(path, more)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)
    return str(caught.value).removeprefix(f"{path}: ")


class TestQuestions:
    def test_a_trace_of_days_is_asked_whether_it_is_in_milliseconds(self, tmp_path: Path) -> None:
        assert question(written(tmp_path, [0, 3_600_000, 7_200_000])) == (
            "the trace lasts 83 days; are these milliseconds? "
            "write trace: {file: …, unit: ms}, or unit: s if they are seconds"
        )

    def test_so_is_one_of_a_minute_in_milliseconds(self, tmp_path: Path) -> None:
        path = written(tmp_path, [400.5, 30_000, 60_000])
        assert question(path).startswith("the trace lasts 16 h 40 min; are these milliseconds?")
        assert [request.at_s for request in replayed(path, ", unit: ms")] == [0.4005, 30, 60]

    def test_whoever_says_seconds_is_believed(self, tmp_path: Path) -> None:
        path = written(tmp_path, [0, 7_200_000])
        assert replayed(path, ", unit: s")[-1].at_s == 7_200_000

    def test_only_what_is_replayed_counts(self, tmp_path: Path) -> None:
        path = written(tmp_path, [0, 10, 7_200_000])
        assert [request.at_s for request in replayed(path, ", requests: 2")] == [0, 10]

    def test_a_minute_of_seconds_is_no_question(self, tmp_path: Path) -> None:
        assert replayed(written(tmp_path, [0, ASKED_ABOVE_S]))[-1].at_s == ASKED_ABOVE_S

    @pytest.mark.parametrize("times", [[0, 250, 6900], [403.69, 1310.078, 6723.48], [10, 20, 100]])
    def test_a_few_seconds_in_milliseconds_are_asked_about_too(
        self, tmp_path: Path, times: list[float]
    ) -> None:
        path = written(tmp_path, times)
        assert "are these milliseconds? write trace: {file: …, unit: ms}" in question(path)
        assert replayed(path, ", unit: ms")[-1].at_s == times[-1] / 1000

    def test_a_header_says_that_they_are_seconds(self, tmp_path: Path) -> None:
        trace = replayed(written(tmp_path, [0, 7000]), ", unit: s")
        path = tmp_path / "headed.jsonl"
        write_trace(trace, path, {"made_by": "a test"})
        assert replayed(path) == trace
        with pytest.raises(TestbedError, match=r":1: its header says that times are in seconds; remove unit"):
            replayed(path, ", unit: ms")

    @pytest.mark.parametrize(
        ("times", "words"),
        [
            ([40_000, 40_050], "lasts 11 h 10 min, 11 h 10 min of it before r1; are these"),
            ([0, 50, 40_000, 40_050], "lasts 11 h 10 min, 11 h 10 min of it before r3; are these"),
        ],
    )
    def test_a_gap_that_makes_it_long_is_named(self, tmp_path: Path, times: list[float], words: str) -> None:
        assert words in question(written(tmp_path, times))

    @pytest.mark.parametrize(("unit", "factor"), [("milli", 1e3), ("micro", 1e6), ("nano", 1e9)])
    @pytest.mark.parametrize("more", ["", ", unit: s", ", unit: ms", ", unit: epoch"])
    def test_times_since_1970_in_finer_units_are_to_be_divided(
        self, tmp_path: Path, unit: str, factor: float, more: str
    ) -> None:
        path = written(tmp_path, [round(SINCE_1970 * factor), round((SINCE_1970 + 5) * factor)])
        assert question(path, more) == (
            f"at_s of its first request is {round(SINCE_1970 * factor)}; is that 2023-11-16 in {unit}seconds "
            f"since 1970? divide all by {factor:,.0f} and write trace: {{file: …, unit: epoch}}"
        )

    @pytest.mark.parametrize("more", ["", ", unit: s", ", unit: ms"])
    def test_seconds_since_1970_are_recognised(self, tmp_path: Path, more: str) -> None:
        path = written(tmp_path, [SINCE_1970, SINCE_1970 + 4.25])
        assert question(path, more) == (
            "at_s of its first request is 1700158546.68059; is that 2023-11-16 in seconds since 1970? "
            "write trace: {file: …, unit: epoch}"
        )

    @pytest.mark.parametrize("unit", ["s", "ms", "epoch"])
    def test_no_run_lasts_for_years(self, tmp_path: Path, unit: str) -> None:
        factor = 1000 if unit == "ms" else 1
        path = written(tmp_path, [1, 400 * 86_400 * factor])
        assert question(path, f", unit: {unit}") == (
            "the trace lasts 400 days, and it may last 366 at most; ask for fewer requests, or mend at_s"
        )


class TestUnits:
    def test_milliseconds_are_thousandths(self, tmp_path: Path) -> None:
        times = [request.at_s for request in replayed(written(tmp_path, [0.5, 1, 1500, 1500]), ", unit: ms")]
        assert times == [0.0005, 0.001, 1.5, 1.5]

    def test_times_since_1970_count_from_the_first_request(self, tmp_path: Path) -> None:
        path = written(tmp_path, [SINCE_1970, SINCE_1970 + 0.25, SINCE_1970 + 7.000001])
        assert [request.at_s for request in replayed(path, ", unit: epoch")] == [0, 0.25, 7.000001]
        assert [request.at_s for request in replayed(path, ", unit: epoch, requests: 2")] == [0, 0.25]

    @settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(st.lists(st.integers(0, 6_000_000), min_size=1, max_size=50).map(sorted))
    def test_a_trace_is_the_same_in_each_unit(self, tmp_path: Path, times_ms: list[int]) -> None:
        in_ms = replayed(written(tmp_path, times_ms), ", unit: ms")
        in_s = replayed(written(tmp_path, [f"{ms // 1000}.{ms % 1000:03}" for ms in times_ms]), ", unit: s")
        assert in_ms == in_s
        shifted = [f"{ms // 1000 + 1_700_000_000}.{ms % 1000:03}" for ms in times_ms]
        since_1970 = replayed(written(tmp_path, shifted), ", unit: epoch")
        assert [request.at_s for request in since_1970] == [(ms - times_ms[0]) / 1000 for ms in times_ms]

    def test_what_is_written_is_in_seconds(self, tmp_path: Path) -> None:
        trace = replayed(written(tmp_path, [250, 1500]), ", unit: ms")
        write_trace(trace, tmp_path / "again.jsonl")
        assert replayed(tmp_path / "again.jsonl") == trace
        assert summarise(trace).duration_s == 1.5

    def test_a_manifest_keeps_the_unit(self, tmp_path: Path) -> None:
        scenario = scenario_with(written(tmp_path, [250, 1500]), ", unit: ms")
        again = Scenario.model_validate(scenario.model_dump(mode="json"))
        assert again == scenario
        assert build_trace(again) == build_trace(scenario)

    def test_an_unknown_unit_and_one_of_a_drawn_trace_are_refused(self, tmp_path: Path) -> None:
        path = written(tmp_path, [1])
        assert "trace.unit: must be 's', 'ms' or 'epoch', not 'us'" in refusal(
            f"trace={{file: {path}, unit: us}}"
        )
        assert "trace.unit: unknown key" in refusal("trace.unit=ms")

    @pytest.mark.parametrize(
        ("unit", "bad", "words"),
        [
            ("s", "-1", "at_s must be seconds from the start, 0 or more"),
            ("ms", "-1", "at_s must be milliseconds from the start, 0 or more"),
            ("epoch", "-1", "at_s must be seconds since 1970, 0 or more"),
            ("ms", "NaN", "at_s must be milliseconds from the start, 0 or more"),
            ("ms", "Infinity", "at_s must be milliseconds from the start, 0 or more"),
            ("epoch", "1e999", "at_s must be seconds since 1970, 0 or more"),
            ("ms", "4", "at_s 4.0 is before the line above (5.0); sort by time"),
            ("ms", '"6"', "at_s must be a number, not '6'"),
            ("ms", '"2023-11-16 18:15:46.68"', "at_s must be a number, not '2023-11-16 18:15:46.68'"),
            ("ms", '6, "at_s": 7', "key 'at_s' is given twice"),
        ],
    )
    def test_a_time_that_is_none_is_named_in_its_unit(
        self, tmp_path: Path, unit: str, bad: str, words: str
    ) -> None:
        path = written(tmp_path, [5, bad])
        with pytest.raises(TestbedError) as caught:
            replayed(path, f", unit: {unit}")
        assert str(caught.value).startswith(f"{path}:2: {words}")

    def test_times_since_1970_are_exact_to_the_microsecond(self, tmp_path: Path) -> None:
        first, draw, offset = datetime.fromtimestamp(SINCE_1970, UTC), random.Random(1), timedelta()
        stamps = [first]
        for _ in range(1999):
            offset += timedelta(microseconds=draw.randrange(1_000_000))
            stamps.append(first + offset)
        path = written(tmp_path, [f"{stamp.timestamp():.6f}" for stamp in stamps])
        times = [request.at_s for request in replayed(path, ", unit: epoch")]
        assert len(times) == len(stamps)
        assert times == [(stamp - first).total_seconds() for stamp in stamps]
        assert "is that 2023-11-16 in seconds since 1970?" in question(path)


class TestWhatIsSaid:
    def test_how_long_a_replay_of_hours_and_days_takes(self, tmp_path: Path) -> None:
        for last_s, words in ((5400, "1 h 30 min replay"), (7_200_000, "83 days replay")):
            scenario = scenario_with(
                written(tmp_path, [0, last_s]), ", unit: s", "methods=[{name: cloud-only}]"
            )
            said = str(estimated_seconds(scenario, build_trace(scenario), scenario.topology))
            assert words in said

    def test_pauses_are_noted(self) -> None:
        one, two, three = drawn(3)
        trace = [dataclasses.replace(one, at_s=0.0), dataclasses.replace(two, at_s=599.0)]
        assert pauses(trace) == []
        trace = [dataclasses.replace(one, at_s=700.0), dataclasses.replace(two, at_s=6700.0)]
        assert pauses([*trace, dataclasses.replace(three, at_s=6701.0)]) == [
            "trace: no request for 1 h 40 min before r000002, the longest of 2 pauses over 10 min"
        ]
        assert pauses(trace[:1]) == ["trace: no request for 12 min before r000001"]

    def test_of_the_traces_times_is_spoken_where_they_count_alone(self, tmp_path: Path) -> None:
        path = written(tmp_path, [700, 710])
        smoke = SCENARIOS / "smoke.yaml"
        overrides = [
            f"trace={{file: {path}, unit: s}}",
            "events=[{at: 999s, link: core, down: true, for: 1s}]",
        ]
        scenario = load_scenario(smoke, overrides)
        silent, late = time_notes(scenario, build_trace(scenario))
        assert silent == "trace: no request for 12 min before r1"
        assert late.startswith("events.1: at 999 s is after the last request")
        for replay in ("{mode: lockstep}", "{mode: closed, users: 2, think: 1s}"):
            scenario = load_scenario(smoke, [*overrides, f"replay={replay}"])
            assert time_notes(scenario, build_trace(scenario)) == []
            days = load_scenario(
                smoke, [f"trace={{file: {written(tmp_path, [0, 7_200_000])}}}", f"replay={replay}"]
            )
            assert len(build_trace(days)) == 2

    def test_a_file_that_is_read_alone_is_in_seconds(self, tmp_path: Path) -> None:
        assert [request.at_s for request in read_trace(written(tmp_path, [1, 2.5]))] == [1, 2.5]
