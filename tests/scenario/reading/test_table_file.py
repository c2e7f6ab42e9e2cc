"""Files of rows: CSV, JSON Lines and Parquet give the same texts; what is wrong in one is one sentence."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from testbed.errors import TestbedError
from testbed.scenario.reading import cells
from testbed.scenario.reading.table_file import read_table

ROWS = [
    {"question": 'Two lines,\n"quoted"?', "label": "no", "n": 5},
    {"question": "Ein Ä", "label": "yes", "n": 7},
]


def as_csv(rows: list[dict[str, Any]]) -> bytes:
    lines = [",".join(rows[0])]
    lines += [",".join('"' + str(value).replace('"', '""') + '"' for value in row.values()) for row in rows]
    return "\r\n".join(lines).encode()


def as_json_lines(rows: list[dict[str, Any]]) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


def as_parquet(rows: list[dict[str, Any]]) -> bytes:
    content = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), content)
    return content.getvalue()


WRITERS = {"csv": as_csv, "jsonl": as_json_lines, "parquet": as_parquet}


def written(folder: Path, content: bytes, ending: str = "csv") -> Path:
    path = folder / f"mine.{ending}"
    path.write_bytes(content)
    return path


def values(path: Path, *columns: str) -> list[tuple[str | None, ...]]:
    return [record.values for record in read_table(path, columns)]


def refusal(path: Path, *columns: str) -> str:
    with pytest.raises(TestbedError) as caught:
        values(path, *(columns or ("question", "label")))
    return str(caught.value)


@pytest.mark.parametrize("ending", WRITERS)
def test_each_format_gives_the_same_texts(ending: str, tmp_path: Path) -> None:
    path = written(tmp_path, WRITERS[ending](ROWS), ending)
    assert values(path, "label", "question") == [("no", 'Two lines,\n"quoted"?'), ("yes", "Ein Ä")]
    assert values(path, "n") == [("5",), ("7",)]
    assert values(path, "n", "n") == [("5", "5"), ("7", "7")]


@pytest.mark.parametrize("ending", WRITERS)
def test_a_column_that_is_missing_is_named_beside_those_that_are_there(ending: str, tmp_path: Path) -> None:
    said = refusal(written(tmp_path, WRITERS[ending](ROWS), ending), "questoin")
    assert "has no column 'questoin'; it has 'question', 'label', 'n'" in said


def test_a_byte_order_mark_and_blank_lines_are_no_part_of_a_file(tmp_path: Path) -> None:
    assert values(written(tmp_path, b"\xef\xbb\xbfa,b\n1,2\n\n3,4\n\n\n"), "a") == [("1",), ("3",)]
    assert values(written(tmp_path, b'\xef\xbb\xbf{"a": 1}\n\n{"a": 2}\n', "jsonl"), "a") == [("1",), ("2",)]


def test_a_field_of_a_nested_column_has_both_names(tmp_path: Path) -> None:
    path = written(tmp_path, as_parquet([{"translation": {"de": "Ja.", "en": "Yes."}}]), "parquet")
    assert values(path, "translation.en", "translation.de") == [("Yes.", "Ja.")]


def test_what_has_no_value_is_told_from_an_empty_text(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [{"a": None, "b": ""}, {"a": float("nan"), "b": True}]
    assert values(written(tmp_path, as_json_lines(rows), "jsonl"), "a", "b") == [(None, ""), (None, "true")]
    assert values(written(tmp_path, as_parquet([{"a": 1.5}, {"a": None}]), "parquet"), "a") == [
        ("1.5",),
        (None,),
    ]
    assert values(written(tmp_path, b'a,b\n,"x"\n'), "a") == [("",)]


@pytest.mark.parametrize(
    ("content", "ending", "sentence"),
    [
        (b"What is it?,no\nAnd now?,yes\n", "csv",
         "has no column 'question'; it has 'What is it?', 'no'; the first line names a CSV file's columns"),
        (b"question;label\nwhat?;no\n", "csv",
         "mine.csv: its columns are separated by semicolons; save it with commas"),
        (b"question\tlabel\nwhat?\tno\n", "csv",
         "mine.csv: its columns are separated by tabs; save it with commas"),
        (b"question,label\nwhat, then?,no\n", "csv",
         "mine.csv:2: has 3 fields, and the header has 2; put texts that hold commas or line breaks in"),
        (b'question,label\n"what?,no\n', "csv",
         "mine.csv:2: is not CSV (unexpected end of data); save it as CSV again"),
        (b"question,question,label\na,b,c\n", "csv",
         "mine.csv: has 2 columns 'question'; give each a name of its own"),
        (b"question,label\nd\xe9j\xe0 vu,no\n", "csv",
         "mine.csv:2: is not text in UTF-8; save the file as UTF-8"),
        ("question,label\nwhat?,no\n".encode("utf-16"), "csv",
         "mine.csv:1: is not text in UTF-8 but in UTF-16; save it as UTF-8"),
        (b"question,label\n" + b"x" * 140_000 + b",no\n", "csv",
         "mine.csv:2: is not CSV (field larger than field limit (131072)); cut the text"),
        (b"", "csv",
         "mine.csv: has no column 'question'; it has none"),
        (b'{"question": "what?"}\n', "jsonl", "mine.jsonl:1: has no column 'label'; it has 'question'"),
        (b'{"question": "a", "label": 1}\n["a", 1]\n', "jsonl",
         "mine.jsonl:2: must be an object whose keys are the columns"),
        (b"{'question': 1}\n", "jsonl", "mine.jsonl:1: is not JSON; write one object a line"),
        (b"[" * 100_000 + b"\n", "jsonl", "mine.jsonl:1: is not JSON; write one object a line"),
        (b'{"question": ["a"], "label": 1}\n', "jsonl",
         "mine.jsonl:1: 'question' is of the kind list; write a text or a number"),
        (b'{"question": "\\ud800", "label": 1}\n', "jsonl",
         "mine.jsonl:1: 'question' has half a surrogate pair, which is no Unicode; remove it"),
        (b'{"question": "' + b"x" * 140_000 + b'", "label": 1}\n', "jsonl",
         "mine.jsonl:1: 'question' is 140,000 bytes long, and a text has 131,072 at most; cut it"),
        (b"question,label\n", "parquet", "mine.parquet: cannot be read as Parquet"),
        (as_parquet([{"question": "x" * 140_000, "label": 1}]), "parquet",
         "mine.parquet: has a text of 140,000 bytes; 131,072 are the most, so cut it"),
        (as_parquet([{"question": ["a"], "label": 1}]), "parquet",
         "mine.parquet: row 0 (counted from 0): question is of the kind list; write a text or a number"),
        (b"question,label\n", "tsv",
         "mine.tsv: its name does not end with .csv, .jsonl or .parquet; did you mean .csv?"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_one_sentence(content: bytes, ending: str, sentence: str, tmp_path: Path) -> None:
    assert sentence in refusal(written(tmp_path, content, ending))


@pytest.mark.parametrize("ending", WRITERS)
def test_a_file_with_too_much_in_it_is_refused(
    ending: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(tmp_path, WRITERS[ending](ROWS), ending)
    with monkeypatch.context() as small:
        small.setattr(cells, "MAX_ROWS", 1)
        assert "has more than 1 rows; cut it" in refusal(path)
    with monkeypatch.context() as small:
        small.setattr(cells, "MAX_ALL_BYTES", 3)
        assert "its texts have more than 0 MiB; cut it" in refusal(path)
