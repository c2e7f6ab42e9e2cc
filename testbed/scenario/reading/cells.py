"""What a file of rows may hold: bounds, and values of all kinds as texts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from testbed.errors import TestbedError

MAX_FILE_BYTES = 1 << 30
MAX_ROWS = 1_000_000
MAX_CELL_BYTES = 1 << 17
"""Of a text in UTF-8. A server takes a request of 1 MiB, in which a sign may take six bytes."""
MAX_ALL_BYTES = 1 << 30
"""Of all texts that are read of a file."""
SHOWN = 20
"""Columns that a sentence names."""


def require_column(place: Path | str, column: str, columns: Sequence[str], remark: str = "") -> None:
    """Refuse a column that a file, or a line of it, does not have, or has twice.

    Raises:
        TestbedError: it names the columns that are there.
    """
    if (count := columns.count(column)) == 1:
        return
    if count:
        raise TestbedError(f"{place}: has {count} columns {shown(column)}; give each a name of its own")
    names = [shown(name) for name in columns[:SHOWN]]
    more = f" and {len(columns) - SHOWN} more" if len(columns) > SHOWN else ""
    there = f"it has {', '.join(names)}{more}" if names else "it has none"
    raise TestbedError(f"{place}: has no column {shown(column)}; {there}{remark}")


def require_bounded(path: Path, all_bytes: int, rows: int) -> None:
    """Refuse a file of whose rows too much has been read.

    Raises:
        TestbedError: it has.
    """
    if all_bytes > MAX_ALL_BYTES:
        raise TestbedError(f"{path}: its texts have more than {MAX_ALL_BYTES >> 20} MiB; cut it")
    if rows > MAX_ROWS:
        raise TestbedError(f"{path}: has more than {MAX_ROWS:,} rows; cut it")


def shown(text: str) -> str:
    """A text as a sentence quotes it: its beginning, on one line."""
    return repr(text if len(text) <= 40 else f"{text[:40]}…")


def as_text(value: object) -> str | None:
    """A cell as text, to the letter; ``None`` for one without a value.

    Raises:
        ValueError: it is no single value, no Unicode, or too long.
    """
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return repr(value)
    if not isinstance(value, str):
        raise ValueError(f"is of the kind {type(value).__name__}; write a text or a number")
    try:
        size = len(value.encode())
    except UnicodeEncodeError:
        raise ValueError("has half a surrogate pair, which is no Unicode; remove it") from None
    if size > MAX_CELL_BYTES:
        raise ValueError(f"is {size:,} bytes long, and a text has {MAX_CELL_BYTES:,} at most; cut it")
    return value
