"""Writes an answer matrix: all of it, or nothing."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from testbed.errors import TestbedError
from testbed.scenario.matrix.header import Header
from testbed.scenario.matrix.matrix import Matrix
from testbed.scenario.matrix.table import METADATA_KEY, SCHEMA, digest

_COMPRESSION_LEVEL = 19
"""Of zstd; a matrix is written once."""
_LISTS = ("logits", "token_logprobs")
"""Columns of many floats, which compress better byte by byte."""


def write_matrix(matrix: Matrix, path: Path) -> Header:
    """Write a matrix as a Parquet file that :func:`~testbed.scenario.matrix.read_matrix` reads.

    A file of that name is replaced once the new one is whole, so that whatever ends the program leaves no
    part of one.

    Returns:
        The header as it was written, with its checksum.

    Raises:
        TestbedError: the file cannot be written.
    """
    table = _table(matrix)
    told = matrix.header.model_dump(mode="json")
    told["sha256"] = digest(told, table)
    text = json.dumps(told, ensure_ascii=False, allow_nan=False)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name[:100]}-") as scratch:
            whole = Path(scratch, "matrix")
            with pq.ParquetWriter(
                whole,
                SCHEMA,
                compression="zstd",
                compression_level=_COMPRESSION_LEVEL,
                use_dictionary=[name for name in SCHEMA.names if name not in _LISTS],  # type: ignore[arg-type]
                use_byte_stream_split=[f"{name}.list.element" for name in _LISTS],
                store_schema=False,
            ) as writer:
                writer.write_table(table)
                writer.add_key_value_metadata({METADATA_KEY.decode(): text})
            whole.replace(path)  # its mode is the user's mask's, unlike a temporary file's
    except OSError as error:
        raise TestbedError(
            f"{path} cannot be written ({error.strerror or error}); name another file"
        ) from None
    return Header.model_validate(told)


def _table(matrix: Matrix) -> pa.Table:
    columns: dict[str, list[Any]] = {name: [] for name in SCHEMA.names}
    for name in matrix.header.models:
        model = matrix.models[name]
        columns["model"] += [name] * len(matrix)
        columns["row"] += matrix.rows.tolist()
        columns["prompt_sha256"] += matrix.prompt_sha256
        columns["prompt_bytes"] += matrix.prompt_bytes.tolist()
        columns["reference"] += matrix.references
        columns["answer"] += model.answers
        columns["logits"] += model.logits
        columns["token_logprobs"] += model.token_logprobs
        columns["confidence"] += model.confidence
        columns["prompt_tokens"] += model.prompt_tokens
        columns["completion_tokens"] += model.completion_tokens
        columns["cut_off"] += model.cut_off
        columns["service_ms"] += model.service_ms
    return pa.table(columns, schema=SCHEMA)
