"""Rows of ``requests.parquet`` with all columns, where a test is about some of them."""

from __future__ import annotations

from types import NoneType
from typing import Any, get_args, get_origin, get_type_hints

from testbed.results.columns import RequestRow
from testbed.results.table_shapes import PER_HOP

_HINTS = get_type_hints(RequestRow)
_NOTHING: dict[type, Any] = {str: "", float: 0.0, int: 0, bool: False}


def filled(row: dict[str, Any]) -> dict[str, Any]:
    """The row with nulls, zeros and empty texts for what it lacks, lists as long as they must be."""
    row = {"path": [], "hops": [], **row}
    return {name: row[name] if name in row else _nothing(name, hint, row) for name, hint in _HINTS.items()}


def _nothing(name: str, hint: Any, row: dict[str, Any]) -> Any:
    if NoneType in get_args(hint):
        return None
    if get_origin(hint) is list:
        return [_nothing(name, get_args(hint)[0], row) for _ in row["hops" if name in PER_HOP else "path"]]
    return _NOTHING[hint]
