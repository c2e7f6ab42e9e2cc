"""Reads an answer matrix that anybody may have made: whole and as it was written, or refused."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import ValidationError

from testbed.errors import TestbedError
from testbed.scenario.matrix.checks import check_header, check_numbers, grid
from testbed.scenario.matrix.header import FORMAT, Header
from testbed.scenario.matrix.matrix import Matrix, ModelAnswers
from testbed.scenario.matrix.table import METADATA_KEY, SCHEMA, digest

MAX_FILE_BYTES = 1 << 30
MAX_BYTES = 2 << 30
"""Of a matrix in memory, whatever its compression."""
MAX_ROWS = 5_000_000
_BATCH = 1024


def read_header(path: Path) -> Header:
    """The header alone, unchecked against the rows: quick, to see what a file holds.

    Raises:
        TestbedError: it is no answer matrix, or of another format.
    """
    with _opened(path) as file:
        return _header(path, _told(path, file))


def read_matrix(path: Path) -> Matrix:
    """Read a matrix and check it: columns, checksum, numbers, and that each model has each row once.

    Raises:
        TestbedError: in one sentence, what of this does not hold.
    """
    with _opened(path) as file:
        told = _told(path, file)
        header = _header(path, told)
        table = _table(path, file)
    if (found := digest(told, table)) != header.sha256:
        raise TestbedError(
            f"{path}: its content has the checksum {found[:12]}… and its header says "
            f"{header.sha256[:12] or 'none'}…; it was changed after it was recorded: take an unchanged copy"
        )
    check_numbers(path, header, table)
    table = grid(path, header, table)
    matrix = _matrix(header, table)
    check_header(path, matrix)
    return matrix


def matrix_at(path: str) -> Matrix:
    """As :func:`read_matrix`, and once for all tiers of a scenario, as long as the file is as it was."""
    try:
        found = Path(path).stat()
    except OSError:
        return read_matrix(Path(path))
    return _read_once(path, found.st_ino, found.st_mtime_ns, found.st_size)


@lru_cache(maxsize=4)
def _read_once(path: str, *_as_it_was: int) -> Matrix:
    return read_matrix(Path(path))


@contextmanager
def _opened(path: Path) -> Iterator[pq.ParquetFile]:
    """The file, opened; whatever Arrow cannot make of it in the block is one sentence."""
    try:
        if not path.is_file():
            raise TestbedError(
                f"{path} is no file; name an answer matrix, which `testbed models record` makes"
            )
        if (size := path.stat().st_size) > MAX_FILE_BYTES:
            raise TestbedError(
                f"{path}: {size >> 20} MiB are more than a matrix's {MAX_FILE_BYTES >> 20}; "
                "record fewer rows or models in a file"
            )
        with pq.ParquetFile(path) as file:
            yield file
    except (pa.ArrowException, OSError, ValueError, OverflowError, MemoryError) as error:
        raise TestbedError(
            f"{path} cannot be read as Parquet ({error}); it is cut short, damaged or another file: "
            "take an unchanged copy"
        ) from error


def _told(path: Path, file: pq.ParquetFile) -> dict[str, Any]:
    """What the header says, as JSON has it."""
    raw = (file.metadata.metadata or {}).get(METADATA_KEY)
    if raw is None:
        raise TestbedError(
            f"{path} is no answer matrix: its metadata has no {METADATA_KEY.decode()}; "
            "`testbed models record` makes one"
        )
    try:
        told = json.loads(raw, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise TestbedError(f"{path}: its header is no JSON ({error}); take an unchanged copy") from None
    if not isinstance(told, dict):
        raise TestbedError(f"{path}: its header is no JSON object; take an unchanged copy")
    return told


def _no_number(constant: str) -> None:
    raise ValueError(f"{constant} is no number")


def _header(path: Path, told: dict[str, Any]) -> Header:
    if told.get("format") != FORMAT or told["format"] is True:
        raise TestbedError(
            f"{path}: has the format {told.get('format')!r}, and this testbed reads {FORMAT}; "
            "record it again, or use the testbed that made it"
        )
    try:
        return Header.model_validate(told)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"]))
        raise TestbedError(
            f"{path}: its header's {field} is wrong ({first['msg']}); record it again"
        ) from None


def _table(path: Path, file: pq.ParquetFile) -> pa.Table:
    """The columns of the schema, in its types; others are passed over."""
    if missing := [name for name in SCHEMA.names if name not in file.schema_arrow.names]:
        raise TestbedError(
            f"{path} lacks the column{'s' * (len(missing) > 1)} {', '.join(missing)}; "
            "docs/MODELS.md has all that a matrix needs"
        )
    if file.metadata.num_rows > MAX_ROWS:
        raise TestbedError(f"{path}: {file.metadata.num_rows} rows are more than the {MAX_ROWS} allowed")
    batches, size = [], 0
    for batch in file.iter_batches(batch_size=_BATCH, columns=SCHEMA.names):
        size += batch.nbytes
        if size > MAX_BYTES:
            raise TestbedError(
                f"{path}: unpacked it takes over {MAX_BYTES >> 20} MiB; record fewer rows in a file"
            )
        batches.append(batch)
    table = pa.Table.from_batches(batches).select(SCHEMA.names) if batches else None
    if table is None or not len(table):
        raise TestbedError(f"{path} holds no rows; record some")
    for field in SCHEMA:
        kind = table.schema.field(field.name).type
        if kind != field.type and not _alike(kind, field.type):
            raise TestbedError(f"{path}: its column {field.name} is {kind} and must be {field.type}")
        if not field.nullable and table.column(field.name).null_count:
            raise TestbedError(f"{path}: its column {field.name} has rows without a value; record it again")
    table = table.replace_schema_metadata(None).cast(SCHEMA).combine_chunks()
    table.validate(full=True)  # texts are UTF-8, offsets are within bounds
    return table


def _alike(kind: Any, asked: Any) -> bool:
    """Whether a type holds the same values: other programs name a list's elements otherwise."""
    if pa.types.is_list(kind) and pa.types.is_list(asked):
        return bool(kind.value_type == asked.value_type)
    return bool(pa.types.is_large_string(kind) and pa.types.is_string(asked))


def _matrix(header: Header, table: pa.Table) -> Matrix:
    count = len(table) // len(header.models)
    columns: dict[str, list[Any]] = {
        name: table.column(name).to_pylist() for name in SCHEMA.names if name not in ("model", "row")
    }
    models = {}
    for number, name in enumerate(header.models):
        own = slice(number * count, (number + 1) * count)
        models[name] = ModelAnswers(
            name,
            columns["answer"][own],
            columns["logits"][own],
            columns["token_logprobs"][own],
            columns["confidence"][own],
            columns["prompt_tokens"][own],
            columns["completion_tokens"][own],
            columns["cut_off"][own],
            columns["service_ms"][own],
        )
    return Matrix(
        header,
        table.column("row").to_numpy()[:count].astype(np.int64),
        columns["prompt_sha256"][:count],
        table.column("prompt_bytes").to_numpy()[:count].astype(np.int64),
        columns["reference"][:count],
        models,
    )
