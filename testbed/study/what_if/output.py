"""Writes points as a table for scripts: CSV or Parquet, a row for each, the same bytes for the same input."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from testbed.errors import TestbedError

_WRITERS: dict[str, Callable[[pa.Table, Path], None]] = {
    ".csv": pa.csv.write_csv,
    ".parquet": pq.write_table,
}
_SCALARS = (str, int, float, bool, type(None))


def check_out(path: Path) -> None:
    """Tell before the work whether points can be written there, as far as one can know.

    Raises:
        TestbedError: the file's name ends otherwise, or its directory is not there.
    """
    if path.suffix not in _WRITERS:
        raise TestbedError(f"--out {path}: must end with {' or '.join(_WRITERS)}")
    if not path.parent.is_dir():
        raise TestbedError(f"--out {path}: there is no directory {path.parent}; make it")


def write_points(path: Path, points: Sequence[Mapping[str, Any]]) -> None:
    """Write the figures of points, with a column for each key of the grid beside theirs.

    Raises:
        TestbedError: the file cannot be written.
    """
    rows = [_flat(figures) for figures in points]
    names = list(dict.fromkeys(name for row in rows for name in row))
    table = pa.table({name: _column([row.get(name) for row in rows]) for name in names})
    try:
        _WRITERS[path.suffix](table, path)
    except OSError as error:
        raise TestbedError(f"--out {path}: cannot be written ({error.strerror or error})") from None


def _flat(figures: Mapping[str, Any]) -> dict[str, Any]:
    """One row; a key of the grid that is named like a figure has ``set_`` before it."""
    row: dict[str, Any] = {}
    for name, value in figures.items():
        if name == "settings":
            row |= {f"set_{key}" if key in figures else key: given for key, given in value.items()}
        else:
            row[name] = value
    return row


def _column(values: Sequence[Any]) -> Any:
    """Numbers, or text; values of several kinds, such as one for all tiers and one for each, are JSON."""
    kinds = {type(value) for value in values if value is not None}
    if kinds <= {int, float} or (len(kinds) == 1 and kinds <= set(_SCALARS)):
        number = pa.float64() if float in kinds else None
        return pa.array([float(v) if number and v is not None else v for v in values], type=number)
    return pa.array([None if value is None else json.dumps(value) for value in values], type=pa.string())
