"""An answer matrix as an Arrow table: its columns, and the checksum over them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

METADATA_KEY = b"answer_matrix"
_FLOATS: Any = pa.list_(pa.field("element", pa.float64(), nullable=False))
_FIELDS: list[Any] = [
    pa.field("model", pa.string(), nullable=False),
    pa.field("row", pa.int64(), nullable=False),
    pa.field("prompt_sha256", pa.binary(32), nullable=False),
    pa.field("prompt_bytes", pa.int32(), nullable=False),
    pa.field("reference", pa.string()),
    pa.field("answer", pa.string(), nullable=False),
    pa.field("logits", _FLOATS),
    pa.field("token_logprobs", _FLOATS),
    pa.field("confidence", pa.float64()),
    pa.field("prompt_tokens", pa.int32()),
    pa.field("completion_tokens", pa.int32()),
    pa.field("cut_off", pa.bool_(), nullable=False),
    pa.field("service_ms", pa.float64()),
]
SCHEMA = pa.schema(_FIELDS)
"""One row for each model and row of the data set: by model in the header's order, then by row."""


def digest(header: Mapping[str, Any], table: pa.Table) -> str:
    """The checksum of a matrix: a SHA-256 in hexadecimal, whatever the file's compression and row groups.

    It goes over the header without ``sha256`` as JSON (keys sorted, no spaces, UTF-8) and a line feed; then,
    for each column in the schema's order, over its name, a line feed, its lengths, and its values. All
    numbers are little-endian. A length is an int64: of a text its bytes, of a list its elements, of a
    number 1; of what is null -1. Values of nulls are left out; truth values are one byte.
    """
    told = {key: value for key, value in header.items() if key != "sha256"}
    text = json.dumps(told, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    sum_ = hashlib.sha256(text.encode() + b"\n")
    for name in SCHEMA.names:
        sum_.update(name.encode() + b"\n")
        for part in _parts(table.column(name)):
            sum_.update(part)
    return sum_.hexdigest()


def _parts(column: Any) -> Iterator[bytes]:
    kind = column.type
    if pa.types.is_list(kind):
        lengths, values = pc.list_value_length(column), pc.list_flatten(column)
        yield _little(lengths.fill_null(-1), "<i8")
        yield _little(values, "<f8")
    elif pa.types.is_string(kind) or pa.types.is_fixed_size_binary(kind):
        texts = column.cast(pa.binary())
        yield _little(pc.binary_length(texts).fill_null(-1), "<i8")
        yield b"".join(texts.drop_null().to_pylist())
    else:
        there = pc.is_valid(column).to_numpy().astype("<i8")
        yield (2 * there - 1).tobytes()
        width = "u1" if pa.types.is_boolean(kind) else f"<{np.dtype(kind.to_pandas_dtype()).str[1:]}"
        yield _little(column.drop_null(), width)


def _little(column: Any, kind: str) -> bytes:
    return bytes(column.to_numpy().astype(kind).tobytes())
