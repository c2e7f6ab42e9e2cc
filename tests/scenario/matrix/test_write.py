"""An answer matrix is read as it was written, by whatever reads Parquet."""

from __future__ import annotations

import hashlib
import math
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from testbed.errors import TestbedError
from testbed.scenario.matrix import read_header, read_matrix, write_matrix
from tests.scenario.matrix.made import PROMPTS, classifier, generator, matrix, record


def test_what_is_written_is_read(tmp_path: Path) -> None:
    path = tmp_path / "new" / "m.parquet"
    service = {"samples": 1, "mean": 12.5, "p50": 12.5, "p95": 12.5}
    flips = {"samples": 3, "answers": 1, "confidence": 0.25}
    records = {
        "device": record(revision="sha256:0f", batch=32, service_ms=service, flips=flips, options={"a": 1})
    }
    written = matrix(classifier("device"), classifier("edge", [[0.5, 0.5]] * 3), records=records)
    header = write_matrix(written, path)
    read = read_matrix(path)
    assert read.header == header == read_header(path)
    assert header.model_copy(update={"sha256": ""}) == written.header
    assert read.rows.tolist() == [3, 10, 11]
    assert read.prompt_bytes.tolist() == [len(prompt.encode()) for prompt in PROMPTS]
    assert read.prompt_sha256 == [hashlib.sha256(prompt.encode()).digest() for prompt in PROMPTS]
    assert read.references == written.references
    assert read.models == dict(written.models)
    assert [path.name for path in path.parent.iterdir()] == ["m.parquet"]


def test_produced_sequences_references_that_are_lacking_and_empty_answers_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "m.parquet"
    written = matrix(generator("edge"), labels=[], references=[None, "schön", None])
    write_matrix(written, path)
    read = read_matrix(path)
    assert (read.references, read.models) == ([None, "schön", None], dict(written.models))


def test_any_reader_of_parquet_finds_a_row_for_each_model_and_row(tmp_path: Path) -> None:
    path = tmp_path / "m.parquet"
    write_matrix(matrix(classifier("device"), classifier("edge")), path)
    rows = pq.read_table(path).to_pylist()
    assert [(row["model"], row["row"]) for row in rows] == [
        (model, row) for model in ("device", "edge") for row in (3, 10, 11)
    ]
    assert rows[1]["answer"] == "positive"
    assert rows[1]["logits"] == [-2.0, 0.125]


FINITE = st.floats(allow_nan=False, allow_infinity=False)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(FINITE, FINITE), min_size=3, max_size=3))
def test_numbers_come_back_to_the_last_bit(
    tmp_path_factory: pytest.TempPathFactory, logits: list[list[float]]
) -> None:
    path = tmp_path_factory.mktemp("m") / "m.parquet"
    write_matrix(matrix(classifier("device", logits)), path)
    read = [value for row in read_matrix(path).models["device"].logits for value in row or ()]
    given_ = [value for row in logits for value in row]
    assert read == given_
    assert list(map(math.copysign, [1] * 6, read)) == list(map(math.copysign, [1] * 6, given_))


def test_a_file_that_cannot_be_written_is_said_and_the_older_one_stays(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(TestbedError, match=r"m\.parquet cannot be written \(.*\); name another file"):
        write_matrix(matrix(), tmp_path / "file" / "m.parquet")
    path = tmp_path / "m.parquet"
    path.mkdir()
    (path / "kept").touch()
    with pytest.raises(TestbedError, match=r"m\.parquet cannot be written"):
        write_matrix(matrix(), path)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["file", "m.parquet"]
