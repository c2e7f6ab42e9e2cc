"""A matrix that anybody made is whole and as it was written, or is refused in one sentence."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from testbed.errors import TestbedError
from testbed.scenario.matrix import read_header, read_matrix, write_matrix
from testbed.scenario.matrix.table import METADATA_KEY, SCHEMA, digest
from tests.scenario.matrix.made import classifier, generator, matrix

Row = dict[str, Any]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "m.parquet"
    write_matrix(matrix(classifier("device"), classifier("edge")), path)
    return path


def refused(path: Path) -> str:
    with pytest.raises(TestbedError) as caught:
        read_matrix(path)
    sentence = str(caught.value)
    assert sentence.startswith(str(path))
    assert "\n" not in sentence
    return sentence


def told_in(path: Path) -> Row:
    """A file's header, as JSON has it."""
    found: Row = json.loads((pq.read_metadata(path).metadata or {})[METADATA_KEY])
    return found


def write_rows(
    path: Path,
    rows: list[Row],
    told: Callable[[Row], Any] = lambda told: told,
    *,
    schema: Any = SCHEMA,
    checksum: bool = True,
) -> None:
    """Write a matrix as some other program would: these rows, and its header as ``told`` has it."""
    header = told_in(path)
    table = pa.Table.from_pylist(rows, schema=schema)
    if checksum:
        header["sha256"] = digest(header, pa.Table.from_pylist(rows, schema=SCHEMA))
    text = json.dumps(told(header))
    pq.write_table(table.replace_schema_metadata({METADATA_KEY: text.encode()}), path)


def change(path: Path, at: int, **columns: Any) -> None:
    rows = pq.read_table(path).to_pylist()
    rows[at] |= columns
    write_rows(path, rows)


def test_the_order_of_rows_and_the_way_of_packing_are_free(path: Path) -> None:
    whole = read_matrix(path)
    header = told_in(path)
    rows = pq.read_table(path).to_pylist()[::-1]
    lists = pa.list_(pa.float64())  # as pyarrow names elements, and nullable
    fields = [pa.field(f.name, lists if f.name in ("logits", "token_logprobs") else f.type) for f in SCHEMA]
    write_rows(path, rows, schema=pa.schema([*fields, pa.field("note", pa.string())]))
    assert told_in(path)["sha256"] != header["sha256"]
    again = read_matrix(path)
    assert (again.rows.tolist(), again.models) == (whole.rows.tolist(), whole.models)


@pytest.mark.parametrize("keep", [0, 3, 100, -4, -100])
def test_a_file_that_is_cut_short_is_refused(path: Path, keep: int) -> None:
    path.write_bytes(path.read_bytes()[:keep])
    assert "it is cut short, damaged or another file" in refused(path)


def test_a_byte_that_changed_is_noticed(path: Path) -> None:
    whole = path.read_bytes()
    kept = 0
    for at in range(4, len(whole) - 8, 7):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 0x10]) + whole[at + 1 :])
        with suppress(TestbedError):
            read_matrix(path)
            kept += 1  # statistics of Parquet, which nobody reads
    assert kept < len(whole) / 14


def test_an_answer_that_was_changed_is_noticed(path: Path) -> None:
    rows = pq.read_table(path).to_pylist()
    rows[0]["answer"] = "positive"
    write_rows(path, rows, checksum=False)
    assert "it was changed after it was recorded: take an unchanged copy" in refused(path)


def test_a_header_that_was_changed_is_noticed(path: Path) -> None:
    rows = pq.read_table(path).to_pylist()
    write_rows(path, rows, lambda told: {**told, "cleaning": "none"})
    assert "it was changed after it was recorded" in refused(path)
    write_rows(path, rows, lambda told: {**told, "note": "of a later testbed"})
    assert "it was changed after it was recorded" in refused(path)


@pytest.mark.parametrize(
    ("told", "words"),
    [
        (lambda told: {**told, "format": 2}, "has the format 2, and this testbed reads 1"),
        (lambda told: {**told, "format": True}, "has the format True"),
        (lambda told: {"format": 1}, "its header's task is wrong (Field required)"),
        (lambda told: {**told, "models": {}}, "its header's models is wrong"),
        (lambda told: {**told, "models": {"device": {}}}, "its header's models.device.kind is wrong"),
        (lambda told: {**told, "cleaning": "mine"}, "its header's cleaning is wrong"),
        (lambda told: [told], "its header is no JSON object"),
        (lambda told: {**told, "more": float("nan")}, "its header is no JSON (NaN is no number)"),
        (lambda told: {**told, "sha256": ""}, "its header says none"),
    ],
)
def test_a_header_of_another_kind_is_refused(path: Path, told: Callable[[Row], Any], words: str) -> None:
    write_rows(path, pq.read_table(path).to_pylist(), told)
    assert words in refused(path)


def test_a_parquet_file_of_another_kind_is_refused(path: Path) -> None:
    pq.write_table(pa.table({"model": ["a"]}), path)
    assert "is no answer matrix: its metadata has no answer_matrix" in refused(path)
    with pytest.raises(TestbedError, match="is no answer matrix"):
        read_header(path)


def test_a_column_that_is_missing_or_of_another_type_is_named(path: Path) -> None:
    table = pq.read_table(path)
    pq.write_table(table.drop_columns(["cut_off", "logits"]), path)
    assert "lacks the columns logits, cut_off; docs/MODELS.md has all" in refused(path)
    at = table.schema.get_field_index("prompt_bytes")
    pq.write_table(table.set_column(at, "prompt_bytes", table["prompt_bytes"].cast(pa.string())), path)
    assert "its column prompt_bytes is string and must be int32" in refused(path)


def test_a_file_without_rows_is_refused(path: Path) -> None:
    write_rows(path, [])
    assert "holds no rows" in refused(path)


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    assert "is no file; name an answer matrix" in refused(tmp_path)
    assert "is no file" in refused(tmp_path / "none.parquet")


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"logits": [float("nan"), 1.0]}, "model device has logits of nan at row 10"),
        ({"logits": [0.0, float("-inf")]}, "logits of -inf at row 10"),
        ({"logits": []}, "0 logits for 2 labels at row 10"),
        ({"logits": None}, "neither logits nor token_logprobs nor a confidence at row 10"),
        ({"logits": [1.0]}, "1 logits for 2 labels at row 10"),
        ({"token_logprobs": [-1.0, 0.5]}, "token_logprobs of 0.5 at row 10"),
        ({"token_logprobs": [float("inf")]}, "token_logprobs of inf at row 10"),
        ({"confidence": 1.5}, "a confidence of 1.5 at row 10"),
        ({"confidence": float("nan")}, "a confidence of nan at row 10"),
        ({"service_ms": -1.0}, "a service_ms of -1.0 at row 10"),
        ({"service_ms": float("inf")}, "a service_ms of inf at row 10"),
        ({"prompt_tokens": -2}, "a prompt_tokens of -2 at row 10"),
    ],
)
def test_a_number_that_cannot_be_is_named_with_its_model_and_row(
    path: Path, columns: Row, words: str
) -> None:
    change(path, 1, **columns)
    assert f"{words}; record it again" in refused(path)


def test_a_row_twice_or_in_one_model_alone_is_refused(path: Path) -> None:
    rows = pq.read_table(path).to_pylist()
    write_rows(path, [*rows, rows[-1]])
    assert "model edge has row 11 more than once" in refused(path)
    write_rows(path, rows[:-1])
    assert "model edge lacks 1 of the 3 rows that others have (11)" in refused(path)
    assert "record all models over the same rows, or each in a file of its own" in refused(path)


def test_models_that_disagree_on_a_prompt_are_refused(path: Path) -> None:
    change(path, 4, reference="positive")
    assert "models device and edge have another reference for row 10" in refused(path)


def test_a_model_or_a_prompt_that_the_header_does_not_have_is_refused(path: Path) -> None:
    rows = pq.read_table(path).to_pylist()
    write_rows(path, [{**row, "model": "mine"} for row in rows])
    assert "its header says nothing of its model 'mine'" in refused(path)
    write_rows(path, [{**row, "prompt_sha256": b"x" * 32} for row in rows])
    assert "its header's dataset.sha256 is not of its prompts" in refused(path)
    write_rows(path, [row for row in rows if row["row"] != 3])
    assert "its header says 3 rows, and it has 2" in refused(path)


def test_text_that_is_no_utf_8_is_refused(path: Path) -> None:
    table = pq.read_table(path)
    at = table.schema.get_field_index("answer")
    spoilt = pa.array([b"\xff"] * len(table)).cast(pa.string(), safe=False)
    metadata = {METADATA_KEY: json.dumps(told_in(path))}
    pq.write_table(
        table.set_column(at, SCHEMA.field("answer"), spoilt).replace_schema_metadata(metadata), path
    )
    assert "cannot be read as Parquet" in refused(path)


def test_an_empty_list_of_tokens_is_no_mistake(tmp_path: Path) -> None:
    path = tmp_path / "g.parquet"
    write_matrix(matrix(generator("edge"), labels=[]), path)
    assert read_matrix(path).models["edge"].token_logprobs[2] == []
