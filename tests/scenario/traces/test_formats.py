"""Traces as others publish them are read by their columns; what is wrong in one is a sentence."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from testbed.errors import TestbedError
from testbed.scenario.traces.formats import (
    FORMATS,
    MAX_TOKENS,
    Arrival,
    Format,
    format_named,
    read_arrivals,
    unit_named,
    with_columns,
)
from tests.scenario.traces.samples import (
    AZURE_2023,
    AZURE_2024,
    BURSTGPT,
    BURSTGPT_SESSIONS,
    MOONCAKE,
    NAMED,
    written,
)

CSV = FORMATS["csv"]


def named(unit: str | None = "s") -> Format:
    return with_columns(CSV, "when", "asked", None, unit_named(unit))


def refusal(path: Path, kind: Format) -> str:
    with pytest.raises(TestbedError) as caught:
        list(read_arrivals(path, kind))
    assert "\n" not in str(caught.value)
    return str(caught.value)


class TestReading:
    @pytest.mark.parametrize(
        ("name", "text", "seconds", "tokens"),
        [
            ("azure", AZURE_2023, [0, 1.5000001, 1.722467, 601.5], [(30, 44), (20, 109), (25, 0), (40, 8)]),
            ("azure", AZURE_2024, [0, 0.99007], [(30, 5), (20, 7)]),
            ("burstgpt", BURSTGPT, [0, 0, 40], [(30, 18), (0, 0), (20, 0)]),
            ("burstgpt", BURSTGPT_SESSIONS, [0, 51, 82, 83], [(30, 4), (20, 2), (20, 1), (20, 1)]),
            ("mooncake", MOONCAKE, [0, 3, 5.999], [(30, 500), (20, 3), (20, 26)]),
        ],
    )
    def test_each_format_gives_times_and_tokens(
        self, tmp_path: Path, name: str, text: str, seconds: list[float], tokens: list[tuple[int, int]]
    ) -> None:
        rows = list(read_arrivals(written(tmp_path, text), FORMATS[name]))
        assert [round((row.at_ns - rows[0].at_ns) / 10**9, 9) for row in rows] == seconds
        assert [(row.input_tokens, row.output_tokens) for row in rows] == tokens
        assert {row.dated for row in rows} == {name == "azure"}

    def test_any_file_is_read_by_named_columns(self, tmp_path: Path) -> None:
        kind = with_columns(CSV, "when", "asked", None, "s")
        rows = list(read_arrivals(written(tmp_path, NAMED), kind, device_column="who"))
        assert rows[0] == Arrival(250_000_000, False, 30, None, "ann")
        lines = '{"when": "2024-05-10T00:00:00Z", "asked": 3}\n'
        rows = list(read_arrivals(written(tmp_path, lines, "x.jsonl"), named(None)))
        assert rows == [Arrival(1_715_299_200_000_000_000, True, 3, None, None)]

    def test_a_large_file_is_read_as_it_is_asked_for(self, tmp_path: Path) -> None:
        """So that a mistake behind what is taken is no hindrance, and memory is bounded."""
        path = written(tmp_path, f"{NAMED}oops,x,y\n")
        rows = read_arrivals(path, named())
        assert [next(rows).input_tokens for _ in range(3)] == [30, 20, 25]


class TestBadInput:
    @pytest.mark.parametrize(
        ("text", "words"),
        [
            (
                "when,asked\n1,3\n2\n",
                "trace.csv:3: has 1 fields, and the header has 2; the line may be cut off",
            ),
            ("when,asked\n1,3\n2,\n", "'asked': has no value; the file may be cut off there"),
            ("when,asked\n,3\n", "'when': has no value; the file may be cut off there"),
            ("when,asked\n2,3\n1,3\n", "trace.csv:3: 'when': 1 is before the time above, 2; sort the file"),
            ("when,asked\n1,-3\n", "'asked': -3 is negative"),
            ("when,asked\n1,3.5\n", "'asked': '3.5' is no number of tokens; write a whole number"),
            ("when,asked\n1,many\n", "'asked': 'many' is no number of tokens"),
            ("when,asked\n1,10000001\n", "10000001 tokens are more than 10,000,000, which no model takes"),
            ("when,asked\n20,3\n20500,3\n", "two units in one file; write all times in one"),
            ("when,asked\n20,3\n27000,3\n", "trace.csv:3: 'when': 27000 is 1,350 times the time above, 20"),
            ("when,asked\n1,3\n2023-11-16 18:15:46,3\n", "is a date with"),
            ("when,asked\n", "holds no row; take the whole file"),
            ("", "has no column 'when'; it has none"),
            ("when;asked\n1;3\n", "its columns are separated by semicolons; save it with commas"),
            ("<html>\n", "has no column 'when'; it has '<html>'"),
        ],
    )
    def test_it_is_one_sentence_with_the_row(self, tmp_path: Path, text: str, words: str) -> None:
        path = written(tmp_path, text)
        sentence = refusal(path, named())
        assert sentence.startswith(f"{path}")
        if words == "is a date with":
            words = "is a date without a zone, and above is a number: two units in one file"
        assert words in sentence

    def test_a_unit_that_is_not_plain_is_asked_for(self, tmp_path: Path) -> None:
        assert "in which unit is 0.25? give --unit, one of s, ms, us, ns" in refusal(
            written(tmp_path, NAMED), named(None)
        )

    @pytest.mark.parametrize(
        "time", ["11/16/2023 18:15", "2023-11-16 18:15", "2023-11-16", "18:15:46", "'\n'", "soon", "1,5"]
    )
    def test_what_is_neither_a_number_nor_a_date_is_not_asked_for_its_unit(
        self, tmp_path: Path, time: str
    ) -> None:
        sentence = refusal(written(tmp_path, f'when,asked\n"{time}",3\n'), named(None))
        assert (
            f"{time!r} is neither a number nor a date such as 2023-11-16 18:15:46.680590; write" in sentence
        )
        assert "in which unit" not in sentence

    def test_a_file_of_another_format_is_named(self, tmp_path: Path) -> None:
        path = written(tmp_path, BURSTGPT)
        sentence = refusal(path, FORMATS["azure"])
        assert "has no column 'TIMESTAMP'; it has 'Timestamp', 'Model'" in sentence
        assert sentence.endswith("it looks like BurstGPT: testbed trace import burstgpt")
        path = written(tmp_path, MOONCAKE, "x.jsonl")
        assert refusal(path, named()).endswith("it looks like Mooncake: testbed trace import mooncake")
        assert "is not JSON" in refusal(written(tmp_path, AZURE_2023), FORMATS["mooncake"])

    def test_a_file_that_is_cut_off_in_a_line(self, tmp_path: Path) -> None:
        path = written(tmp_path, MOONCAKE[:-20])
        assert refusal(path, FORMATS["mooncake"]) == f"{path}:3: is not JSON; write one object a line"
        path = written(tmp_path, AZURE_2023[:-4])
        assert f"{path}:5: has 2 fields, and the header has 3; the line may be cut off" in refusal(
            path, FORMATS["azure"]
        )

    def test_a_pointer_of_git_lfs_is_named(self, tmp_path: Path) -> None:
        text = "version https://git-lfs.github.com/spec/v1\noid sha256:4bb3\nsize 52283111\n"
        assert "is a pointer of Git LFS, not the trace; fetch the file itself" in refusal(
            written(tmp_path, text), FORMATS["burstgpt"]
        )

    def test_a_file_that_is_packed_or_missing(self, tmp_path: Path) -> None:
        path = tmp_path / "trace.csv"
        path.write_bytes(b"\x1f\x8b\x08\x00\x00\x00\x00\x00")
        assert "gzip" in refusal(path, FORMATS["azure"])
        assert "cannot be read" in refusal(tmp_path / "none.csv", FORMATS["azure"])


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from([("azure", AZURE_2024), ("burstgpt", BURSTGPT), ("mooncake", MOONCAKE)]),
    st.integers(0, 200),
    st.integers(0, 20),
    st.one_of(
        st.binary(max_size=8), st.sampled_from([b"\r", b'"', b"1e99", b"-", b"\xc3", b"[" * 3000, b"9" * 40])
    ),
)
def test_whatever_is_written_over_a_file_it_is_read_or_refused(
    tmp_path: Path, sample: tuple[str, str], at: int, length: int, put: bytes
) -> None:
    name, text = sample
    path = tmp_path / "trace.csv"
    content = text.encode()
    path.write_bytes(content[:at] + put + content[at + length :])
    try:
        rows = list(read_arrivals(path, FORMATS[name]))
    except TestbedError:
        return
    assert [row.at_ns for row in rows] == sorted(row.at_ns for row in rows)
    assert all(0 <= row.input_tokens <= MAX_TOKENS for row in rows)


class TestOptions:
    def test_what_a_format_says_itself_is_not_to_be_given(self) -> None:
        with pytest.raises(
            TestbedError, match="--unit: BurstGPT say that themselves; leave it out, or import"
        ):
            with_columns(FORMATS["burstgpt"], None, None, None, "ms")

    def test_what_csv_needs_is_asked_for(self) -> None:
        with pytest.raises(TestbedError, match="--time-column: is missing; name the column of times"):
            with_columns(CSV, None, "asked", None, None)
        with pytest.raises(
            TestbedError, match="--input-column: is missing; name the column of prompts' tokens"
        ):
            with_columns(CSV, "when", None, None, None)

    @pytest.mark.parametrize(
        ("columns", "words"),
        [
            (("t", "t", None), "--input-column: 't' is the --time-column already; name another column"),
            (("t", "in", "t"), "--output-column: 't' is the --time-column already; name another column"),
            (("t", "in", "in"), "--output-column: 'in' is the --input-column already; name another column"),
        ],
    )
    def test_a_column_is_of_one_thing(self, columns: tuple[str, str, str | None], words: str) -> None:
        with pytest.raises(TestbedError) as caught:
            with_columns(CSV, *columns, "s")
        assert str(caught.value) == words

    def test_names_that_there_are_not(self) -> None:
        with pytest.raises(TestbedError, match="no format 'asure' of traces; did you mean azure"):
            format_named("asure")
        with pytest.raises(TestbedError, match="--unit: 'sec' is no unit of times"):
            unit_named("sec")
