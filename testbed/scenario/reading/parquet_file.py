"""Columns of a Parquet file as texts, in bounded memory. A field of a nested column is ``column.field``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from testbed.errors import TestbedError, one_line
from testbed.scenario.reading.cells import (
    MAX_CELL_BYTES,
    MAX_FILE_BYTES,
    MAX_ROWS,
    as_text,
    require_bounded,
    require_column,
)

ROWS_AT_A_TIME = 64
"""A long text that a file holds once is there once for each of them."""


def read_parquet(path: Path, columns: Sequence[str]) -> Iterator[tuple[str | None, ...]]:
    """Each row's values of these columns as texts; ``None`` for one without a value.

    Raises:
        TestbedError: it is no Parquet file, lacks a column, or is larger than may be; or a value is no text.
    """
    with _opened(path) as file:
        known = _names(file.schema_arrow)
        for column in columns:
            require_column(path, column, known)
        row = total = 0
        try:
            for batch in file.iter_batches(ROWS_AT_A_TIME, columns=list(dict.fromkeys(columns))):
                cells = [_column(batch, column) for column in columns]
                total += sum(_bytes(path, cell) for cell in cells)
                require_bounded(path, total, row)
                for values in zip(*(cell.to_pylist() for cell in cells), strict=True):
                    yield tuple(_text(path, row, *named) for named in zip(columns, values, strict=True))
                    row += 1
        except (OSError, ValueError, pa.ArrowException) as error:  # ValueError: text that is no UTF-8
            raise _damaged(path, error) from None


def _opened(path: Path) -> pq.ParquetFile:
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise TestbedError(f"{path}: is larger than {MAX_FILE_BYTES >> 20} MiB; cut it")
        file = pq.ParquetFile(path)
    except (OSError, ValueError, pa.ArrowException) as error:
        raise _damaged(path, error) from None
    if file.metadata.num_rows > MAX_ROWS:
        raise TestbedError(f"{path}: has more than {MAX_ROWS:,} rows; cut it")
    return file


def _damaged(path: Path, error: Exception) -> TestbedError:
    return TestbedError(f"{path}: cannot be read as Parquet ({one_line(str(error), 200)}); take a whole copy")


def _names(schema: pa.Schema) -> list[str]:
    names = []
    for field in schema:
        if pa.types.is_struct(field.type):
            names += [f"{field.name}.{inner.name}" for inner in field.type]
        else:
            names.append(field.name)
    return names


def _column(batch: pa.RecordBatch, column: str) -> Any:
    if column in batch.schema.names:
        return batch.column(column)
    outer, _, inner = column.rpartition(".")
    return pc.struct_field(batch.column(outer), inner)


def _bytes(path: Path, cells: Any) -> int:
    """The bytes of a batch's texts, of which none is made a Python object before its length is known.

    Raises:
        TestbedError: one is longer than may be.
    """
    if not (pa.types.is_string(cells.type) or pa.types.is_large_string(cells.type)):
        return int(cells.nbytes)
    lengths = pc.binary_length(cells)
    if (longest := pc.max(lengths).as_py() or 0) > MAX_CELL_BYTES:
        raise TestbedError(
            f"{path}: has a text of {longest:,} bytes; {MAX_CELL_BYTES:,} are the most, so cut it"
        )
    return int(pc.sum(lengths).as_py() or 0)


def _text(path: Path, row: int, column: str, value: object) -> str | None:
    try:
        return as_text(value)
    except ValueError as error:
        raise TestbedError(f"{path}: row {row} (counted from 0): {column} {error}") from None
