"""A recorded trace becomes one of ours: times kept, prompts of near lengths, and all that is lost told."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from testbed.errors import TestbedError
from testbed.scenario.reading import table_file
from testbed.scenario.requests import build_trace
from testbed.scenario.scenario import load_scenario
from testbed.scenario.traces.formats import FORMATS, with_columns
from testbed.scenario.traces.ground import Ground, ground
from testbed.scenario.traces.importing import Imported, Wanted, import_trace
from testbed.scenario.traces.near import TOLERANCE, Lengths, NearRows
from testbed.scenario.traces.scaling import Part, Scaling
from testbed.scenario.workload.datasets import DATASETS, load, own
from testbed.scenario.workload.trace_file import MAX_LINE_BYTES, read_trace_file, trace_lines, write_trace
from tests import QUICKSTART
from tests.scenario.traces.samples import (
    AZURE,
    AZURE_2023,
    AZURE_MISSING,
    BURSTGPT,
    BURSTGPT_SESSIONS,
    MOONCAKE,
    written,
)

BYTES = {example.row: len(example.text.encode()) for example in load("rotten_tomatoes", "test")}


def on(**keys: Any) -> Ground:
    given = {"scenario": None, "devices": 2, "seed": 1, "zipf": 0.0, "drift": None}
    return ground("rotten_tomatoes", **{**given, **keys})


def made(path: Path, name: str, where: Ground | None = None, **keys: Any) -> Imported:
    return import_trace(Wanted(path, name, FORMATS[name], where or on(), **keys))


class TestImport:
    def test_times_are_kept_and_prompts_are_near_the_lengths(self, tmp_path: Path) -> None:
        trace = list(made(written(tmp_path, AZURE_2023), "azure").requests)
        assert [request.at_s for request in trace] == [0, 1.5, 1.722467, 601.5]
        for request, tokens in zip(trace, (30, 20, 25, 40), strict=True):
            assert abs(BYTES[request.row] - 4 * tokens) <= TOLERANCE * 4 * tokens

    def test_a_run_reads_what_is_written_without_asking_for_a_unit(self, tmp_path: Path) -> None:
        imported = made(written(tmp_path, AZURE_2023), "azure")
        trace = list(imported.requests)
        path = tmp_path / "trace.jsonl"
        write_trace(trace, path, imported.header)
        assert read_trace_file(path).header == {"unit": "s", **imported.header}
        assert build_trace(load_scenario(QUICKSTART, [f"trace={{file: {path}}}"])) == trace

    def test_the_header_says_what_was_taken_lost_and_rounded(self, tmp_path: Path) -> None:
        path = written(tmp_path, AZURE_2023)
        header = made(path, "azure").header
        assert header["made_by"] == "testbed trace import azure"
        assert header["source"]["file"] == "trace.csv"
        assert header["source"]["licence"] == "CC-BY-4.0"
        assert header["source"]["last_line"] == "has no end"
        assert header["from"] == "2023-11-16 18:00:00.500000+00:00"
        assert header["rows"] == {"read": 4, "kept": 4}
        assert header["times"] == {"rounded_to_us": 1, "by_us_at_most": 0.1, "same_as_the_one_before": 0}
        assert header["lost"]["answers_tokens"]["mean"] == 40.2
        assert header["lost"]["answers_of_0_tokens"] == 1
        assert len(next(trace_lines([], header)).encode()) < MAX_LINE_BYTES / 2

    @pytest.mark.parametrize(
        ("name", "text", "keys", "told"),
        [
            ("azure", AZURE_2023, {}, True),
            ("azure", AZURE_2023[:-1].replace("40,", "40,44"), {}, True),
            ("azure", f"{AZURE_2023}\r\n", {}, False),
            ("azure", AZURE_2023, {"scaling": Scaling(Part.parse("0s,1min"))}, False),
            ("azure", AZURE_2023, {"most": 2}, False),
            ("mooncake", MOONCAKE[:-1], {}, False),  # a line of JSON that is cut is none
        ],
    )
    def test_a_last_value_that_may_be_short_is_told(
        self, tmp_path: Path, name: str, text: str, keys: dict[str, Any], told: bool
    ) -> None:
        path = written(tmp_path, text)
        imported = made(path, name, **keys)
        assert len(imported.notes) == 1 + told
        if told:
            assert imported.header["source"]["last_line"] == "has no end"
            assert imported.notes[1] == (
                f"{path}: row 4, the last one, has no line end; if the file was cut off there, its last "
                "value may be short"
            )

    def test_a_table_of_parquet_has_no_last_line(self, tmp_path: Path) -> None:
        path = tmp_path / "trace.parquet"
        pq.write_table(pa.table({"when": [1, 2], "asked": [30, 20]}), path)
        kind = with_columns(FORMATS["csv"], "when", "asked", None, "s")
        imported = import_trace(Wanted(path, "csv", kind, on()))
        assert "last_line" not in imported.header["source"]
        assert len(imported.notes) == 1

    def test_what_other_formats_lose_is_told_too(self, tmp_path: Path) -> None:
        header = made(written(tmp_path, BURSTGPT), "burstgpt").header
        assert header["rows"] == {"read": 3, "of a prompt of 0 tokens": 1, "kept": 2}
        assert header["from"] == "5.000000 s"
        assert header["lost"]["also"] == ["model", "kind of log"]
        header = made(written(tmp_path, MOONCAKE), "mooncake").header
        assert header["lost"]["also"] == ["shared prefixes (hash_ids)"]
        assert header["source"]["licence"] == "Apache-2.0"

    def test_no_text_is_in_it(self, tmp_path: Path) -> None:
        imported = made(written(tmp_path, AZURE_2023), "azure")
        content = "".join(trace_lines(imported.requests, imported.header))
        assert not any(example.text in content for example in load("rotten_tomatoes", "test"))

    def test_a_seed_gives_the_same_and_another_gives_another(self, tmp_path: Path) -> None:
        path = written(tmp_path, MOONCAKE)
        first, again, other = (list(made(path, "mooncake", on(seed=seed)).requests) for seed in (1, 1, 2))
        assert first == again != other

    def test_a_session_stays_at_its_device(self, tmp_path: Path) -> None:
        path = written(tmp_path, BURSTGPT_SESSIONS)
        imported = made(path, "burstgpt", on(devices=3), device_column="Session ID")
        devices = [request.device for request in imported.requests]
        assert devices[:3] == ["device1", "device2", "device1"]
        assert imported.header["asked"]["device_column"] == "Session ID"
        assert imported.header["device_values"] == 2

    def test_a_part_of_the_first_so_many(self, tmp_path: Path) -> None:
        path = written(tmp_path, AZURE_2023)
        part = Scaling(Part.parse("1s,1h"))
        imported = made(path, "azure", scaling=part, most=2)
        assert [request.at_s for request in imported.requests] == [0.5, 0.722467]
        assert imported.header["rows"] == {"read": 3, "before the part": 1, "kept": 2}
        with pytest.raises(
            TestbedError, match=r"trace.csv: --between: no request is between 11min and 20min"
        ):
            made(path, "azure", scaling=Scaling(Part.parse("11min,20min")))

    def test_a_trace_of_more_than_a_million_is_refused(self, tmp_path: Path) -> None:
        rows = "\n".join(["0,m,30,1,31,l"] * 1100)
        path = written(tmp_path, f"{BURSTGPT.splitlines()[0]}\n{rows}\n")
        with pytest.raises(
            TestbedError, match=r"more than 1,000,000 requests are left, and a trace has so many"
        ):
            made(path, "burstgpt", scaling=Scaling(rate_scale=1000))

    def test_the_recorded_trace_may_be_larger_than_a_data_set(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """It is read row by row, and a part may be taken of what was recorded in weeks."""
        for module in (own, table_file):
            monkeypatch.setattr(module, "MAX_FILE_BYTES", 10)
        assert len(list(made(written(tmp_path, AZURE_2023), "azure").requests)) == 4

    def test_the_data_set_drifts_on_the_way(self, tmp_path: Path) -> None:
        rows = "\n".join(f"{number},m,60,1,61,l" for number in range(400))
        path = written(tmp_path, f"{BURSTGPT.splitlines()[0]}\n{rows}\n")
        trace = list(made(path, "burstgpt", on(drift="imdb=25%:75%")).requests)
        names = [request.dataset for request in trace]
        assert set(names[:100]) == {"rotten_tomatoes"}
        assert set(names[300:]) == {"imdb"}
        assert 60 < names[100:300].count("imdb") < 140

    def test_what_cannot_be_read_twice_is_refused_and_not_waited_for(self, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "pipe")
        for path in (tmp_path / "pipe", Path("/dev/zero")):
            with pytest.raises(TestbedError, match="is a pipe, a socket or a device"):
                made(path, "azure")


class TestHowNear:
    def test_it_is_told_in_bytes_and_percent(self, tmp_path: Path) -> None:
        imported = made(written(tmp_path, AZURE_2023), "azure")
        near = imported.header["prompts"]
        assert near["tokens"]["mean"] == 28.8
        assert near["wanted_bytes"]["mean"] == 115.0
        assert near["within_5_percent"] == 1.0
        assert abs(near["off_by_percent"]["p95"]) <= 5
        found = [BYTES[request.row] for request in imported.requests]
        assert near["found_bytes"]["mean"] == round(sum(found) / 4, 1)
        assert "bytes on average, where the trace has 115.0 at 4 bytes a token; off by" in imported.notes[0]
        assert not any("longer than" in note for note in imported.notes)

    def test_where_prompts_are_too_short_it_is_said_with_a_scale_that_fits(self, tmp_path: Path) -> None:
        path = written(tmp_path, AZURE_2023)
        imported = made(path, "azure", lengths=Lengths(bytes_per_token=40))
        near = imported.header["prompts"]
        assert near["longest_row_bytes"] == max(BYTES.values())
        assert near["longer_than_any_row"] == 4
        assert (
            f"4 of 4 requests are longer than the longest prompt ({max(BYTES.values())} bytes)"
            in imported.notes[1]
        )
        assert "--length-scale 0.2" in imported.notes[1]
        scaled = made(path, "azure", lengths=Lengths(40, 0.1)).header["prompts"]
        assert scaled["within_5_percent"] == 1.0

    @pytest.mark.parametrize("wanted", [0.0, 1.0, 30.0, 111.0, 258.0, 10_000.0])
    def test_no_prompt_is_nearer_than_what_is_drawn_but_for_the_tolerance(self, wanted: float) -> None:
        near = NearRows(DATASETS["rotten_tomatoes"], seed=1)
        nearest = min(abs(length - wanted) for length in BYTES.values())
        for _ in range(50):
            row, length = near.draw(wanted)
            assert BYTES[row] == length
            assert abs(length - wanted) <= max(nearest, TOLERANCE * wanted)

    def test_among_prompts_as_near_one_is_drawn(self) -> None:
        near = NearRows(DATASETS["rotten_tomatoes"], seed=1)
        assert len({near.draw(111)[0] for _ in range(200)}) > 100


@pytest.mark.skipif(not AZURE, reason=AZURE_MISSING)
class TestAzure:
    def test_all_of_it_is_read(self) -> None:
        header = made(Path(AZURE), "azure", ground("imdb", None, 2, 1, 0.0, None)).header
        assert header["rows"] == {"read": 19_366, "kept": 19_366}
        assert header["from"].startswith("2023-11-16 18:15:46")
        assert header["prompts"]["within_5_percent"] > 0.8
