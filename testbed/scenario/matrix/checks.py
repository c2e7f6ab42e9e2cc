"""What must hold of an answer matrix's rows. Each check raises one sentence that names the file."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from testbed.errors import TestbedError
from testbed.scenario.matrix.header import Header
from testbed.scenario.matrix.matrix import Matrix

ROUNDING = 1e-6
"""By which a logarithm of a probability, in single precision, may be above 0."""
_MOST = {
    "row": 2**63 - 1,
    "prompt_bytes": 2**31 - 1,
    "confidence": 1,
    "prompt_tokens": 2**31 - 1,
    "completion_tokens": 2**31 - 1,
    "service_ms": 1e7,
}
"""Upper bounds of columns whose values are 0 or more."""
_SHOWN = 3
_OF_A_PROMPT = ("prompt_sha256", "prompt_bytes", "reference")


def check_numbers(path: Path, header: Header, table: pa.Table) -> None:
    """Numbers are finite and within bounds, and each answer has what a confidence is computed from.

    Raises:
        TestbedError: naming the first row where it is not so.
    """
    for name in ("logits", "token_logprobs"):
        column = table.column(name)
        parents, values = pc.list_parent_indices(column).to_numpy(), pc.list_flatten(column).to_numpy()
        most = ROUNDING if name == "token_logprobs" else np.inf
        for at in np.flatnonzero(~np.isfinite(values) | (values > most))[:1]:
            _refuse(path, table, parents[at], f"{name} of {values[at]}")
    for name, most in _MOST.items():
        column = table.column(name)
        there, values = _there(column), column.drop_null().to_numpy()
        for at in np.flatnonzero(~((values >= 0) & (values <= most)))[:1]:  # NaN is neither
            _refuse(path, table, np.flatnonzero(there)[at], f"a {name} of {values[at]}")
    sources = (_there(table.column(name)) for name in ("logits", "token_logprobs", "confidence"))
    for at in np.flatnonzero(~np.logical_or.reduce(list(sources)))[:1]:
        _refuse(path, table, at, "neither logits nor token_logprobs nor a confidence")
    counts = pc.list_value_length(table.column("logits")).fill_null(-1).to_numpy()
    labels = len(header.task.labels)
    for at in np.flatnonzero((counts >= 0) & (counts != labels if labels else counts == 0))[:1]:
        _refuse(path, table, at, f"{counts[at]} logits for {labels or 'its'} labels")


def _there(column: Any) -> NDArray[np.bool_]:
    """Whether each value of a column is one, not null."""
    there: NDArray[np.bool_] = pc.is_valid(column).to_numpy()
    return there


def _refuse(path: Path, table: pa.Table, at: int, what: str) -> None:
    model, row = (table.column(name)[int(at)].as_py() for name in ("model", "row"))
    raise TestbedError(f"{path}: model {model} has {what} at row {row}; record it again")


def grid(path: Path, header: Header, table: pa.Table) -> pa.Table:
    """The table by model, in the header's order, and row: every model has every row once.

    Models that answered other rows than each other are refused: what compares them would compare other
    prompts. Record them in a file each.

    Raises:
        TestbedError: a model that the header does not name, a row that is there twice or that a model lacks,
            or a row whose prompt or reference is not the same for all models.
    """
    names = list(header.models)
    numbers = pc.index_in(table.column("model"), value_set=pa.array(names, pa.string()))
    for at in np.flatnonzero(~_there(numbers))[:1]:
        name = table.column("model")[int(at)].as_py()
        raise TestbedError(f"{path}: its header says nothing of its model {name!r}; record it again")
    models, rows = numbers.to_numpy().astype(np.int64), table.column("row").to_numpy()
    order = np.lexsort((rows, models))
    models, rows = models[order], rows[order]
    twice = np.flatnonzero((models[1:] == models[:-1]) & (rows[1:] == rows[:-1]))
    if len(twice):
        name, row = names[models[twice[0]]], rows[twice[0]]
        raise TestbedError(f"{path}: model {name} has row {row} more than once; record it again")
    every = np.unique(rows)
    for number, name in enumerate(names):
        if len(lacking := np.setdiff1d(every, rows[models == number])):
            shown = ", ".join(map(str, lacking[:_SHOWN])) + (", …" if len(lacking) > _SHOWN else "")
            raise TestbedError(
                f"{path}: model {name} lacks {len(lacking)} of the {len(every)} rows that others have "
                f"({shown}); record all models over the same rows, or each in a file of its own"
            )
    table = table.take(order).combine_chunks()
    count = len(every)
    for name in _OF_A_PROMPT:
        column = table.column(name).to_pylist()
        for number in range(1, len(names)):
            own = column[number * count : (number + 1) * count]
            unlike = next((at for at in range(count) if own[at] != column[at]), None)
            if unlike is not None:
                raise TestbedError(
                    f"{path}: models {names[0]} and {names[number]} have another {name} for row "
                    f"{every[unlike]}; record them together"
                )
    return table


def check_header(path: Path, matrix: Matrix) -> None:
    """The header's data set is that of the rows.

    Raises:
        TestbedError: it has another number of rows, or other prompts.
    """
    dataset = matrix.header.dataset
    if dataset.rows != len(matrix):
        raise TestbedError(
            f"{path}: its header says {dataset.rows} rows, and it has {len(matrix)}; record it again"
        )
    if hashlib.sha256(b"".join(matrix.prompt_sha256)).hexdigest() != dataset.sha256:
        raise TestbedError(f"{path}: its header's dataset.sha256 is not of its prompts; record it again")
