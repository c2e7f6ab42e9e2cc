"""Files of rows with named columns: CSV, JSON Lines or Parquet, read in bounded memory.

All values are texts here: numbers as they are written, in JSON and Parquet as Python writes them.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from testbed.errors import TestbedError
from testbed.scenario.reading.cells import (
    MAX_FILE_BYTES,
    as_text,
    require_bounded,
    require_column,
    shown,
)
from testbed.scenario.reading.line_file import read_values
from testbed.scenario.reading.mistakes import nearest
from testbed.scenario.reading.parquet_file import read_parquet

MAX_LINE_BYTES = 1 << 20


class Record(NamedTuple):
    """Where a row is in its file, and its values of the columns that were asked for, ``None`` without one."""

    place: str
    values: tuple[str | None, ...]


def read_table(path: Path, columns: Sequence[str]) -> Iterator[Record]:
    """Yield the rows of a file, whose name's ending says what it is.

    Raises:
        TestbedError: with file and row, what is wrong there and how to mend it.
    """
    records = read_records(path, columns, path.suffix)
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise TestbedError(f"{path}: is larger than {MAX_FILE_BYTES >> 20} MiB; cut it")
    except OSError as error:
        raise TestbedError(f"{path}: cannot be read ({error.strerror}); name a file that can") from None
    all_bytes = 0
    for rows, record in enumerate(records, 1):
        all_bytes += sum(len(value) for value in record.values if value)
        require_bounded(path, all_bytes, rows)
        yield record


def read_records(path: Path, columns: Sequence[str], ending: str) -> Iterator[Record]:
    """Yield the rows of a file of any size; ``ending`` says what it is. Raises as :func:`read_table`."""
    if ending not in _READERS:
        what = "its name does not end with .csv, .jsonl or .parquet"
        raise TestbedError(f"{path}: {what}; {nearest(ending, _READERS, 'save it as one of these')}")
    return _READERS[ending](path, columns)


def _csv(path: Path, columns: Sequence[str]) -> Iterator[Record]:
    reader = csv.reader(read_values(path, _line, "CSV file", MAX_LINE_BYTES + 1), strict=True)
    try:
        header = next(reader, [])
        _require_commas(path, header, columns)
        for column in columns:
            require_column(path, column, header, "; the first line names a CSV file's columns")
        at = [header.index(column) for column in columns]
        for fields in filter(None, reader):  # without blank lines
            if len(fields) != len(header):
                quotes = "put texts that hold commas or line breaks in double quotes"
                mend = quotes if len(fields) > len(header) else f"the line may be cut off; if not, {quotes}"
                raise TestbedError(
                    f"{path}:{reader.line_num}: has {len(fields)} fields, and the header has {len(header)}; "
                    f"{mend}"
                )
            yield _record(f"{path}:{reader.line_num}", columns, [fields[number] for number in at])
    except csv.Error as error:
        long = "field limit" in str(error)  # of the csv module, which is MAX_CELL_BYTES
        mend = "cut the text" if long else "save it as CSV again"
        raise TestbedError(f"{path}:{reader.line_num}: is not CSV ({error}); {mend}") from None


def _require_commas(path: Path, header: Sequence[str], columns: Sequence[str]) -> None:
    """Refuse a file that is separated by other signs, of which all is one column to a reader of commas."""
    for sign, name in ((";", "semicolons"), ("\t", "tabs")):
        if len(header) == 1 and sign in header[0] and not set(columns) <= set(header):
            raise TestbedError(f"{path}: its columns are separated by {name}; save it with commas")


def _line(line: bytes, _number: int) -> str:
    if len(line) > MAX_LINE_BYTES:
        raise ValueError(f"the line is longer than {MAX_LINE_BYTES:,} bytes; cut it")
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError:
        raise ValueError("is not text in UTF-8; save the file as UTF-8") from None


def _json_lines(path: Path, columns: Sequence[str]) -> Iterator[Record]:
    def parse(line: bytes, number: int) -> Record | None:
        if not line.strip():
            return None
        entry = _object(_line(line, number))
        for column in columns:
            require_column(f"{path}:{number}", column, list(entry))
        return _record(f"{path}:{number}", columns, [entry[column] for column in columns])

    for record in read_values(path, parse, "JSON Lines file", MAX_LINE_BYTES + 1, "JSON"):
        if record is not None:
            yield record


def _object(text: str) -> dict[str, Any]:
    try:
        entry = json.loads(text)
    except (ValueError, RecursionError):
        raise ValueError("is not JSON; write one object a line") from None
    if not isinstance(entry, dict):
        raise ValueError("must be an object whose keys are the columns")
    return entry


def _parquet(path: Path, columns: Sequence[str]) -> Iterator[Record]:
    for row, values in enumerate(read_parquet(path, columns)):
        yield Record(f"{path}: row {row} (counted from 0)", values)


def _record(place: str, columns: Sequence[str], values: Sequence[object]) -> Record:
    texts = []
    for column, value in zip(columns, values, strict=True):
        try:
            texts.append(as_text(value))
        except ValueError as error:
            raise TestbedError(f"{place}: {shown(column)} {error}") from None
    return Record(place, tuple(texts))


_READERS = {".csv": _csv, ".jsonl": _json_lines, ".parquet": _parquet}
"""By the ending of a file's name."""
