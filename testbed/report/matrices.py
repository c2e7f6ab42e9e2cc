"""What an answer matrix holds, as a table and sentences."""

from __future__ import annotations

from collections.abc import Mapping

from rich.markup import escape
from rich.table import Table

from testbed.scenario.matrix import Header, Matrix, ModelRecord

_REVISION = 19
"""Characters of a revision that are shown."""


def matrix_table(title: str, matrix: Matrix) -> Table:
    """A row for each model: what it is, how it was asked, how often it was right, its times and its flips."""
    table = Table(title=escape(title), title_justify="left")
    for column in ("model", "what", "revision", "asked", "right", "ms alone (p50, p95)", "flips"):
        table.add_column(column, justify="left" if column in ("model", "what", "revision") else "right")
    for name, model in matrix.header.models.items():
        right = None
        if matrix.header.task.labels:
            pairs = zip(matrix.models[name].answers, matrix.references, strict=True)
            right = sum(answer == reference for answer, reference in pairs) / len(matrix)
        table.add_row(
            escape(name),
            escape(model.model if model.model.startswith(model.kind) else f"{model.kind} {model.model}"),
            (model.revision or "-")[:_REVISION],
            f"by {model.batch}" + (f" on {model.device}" if model.device else ""),
            "-" if right is None else f"{right:.3f}",
            _times(model),
            _flips(model),
        )
    return table


def _times(model: ModelRecord) -> str:
    times = model.service_ms
    return "-" if times is None else f"{times.mean:.1f} ({times.p50:.1f}, {times.p95:.1f})"


def _flips(model: ModelRecord) -> str:
    flips = model.flips
    return "-" if flips is None else f"{flips.answers} of {flips.samples}, {flips.confidence:.1g}"


def matrix_sentence(header: Header) -> str:
    """Task, data set, cleaning and checksum in one line."""
    of, cleaned = (
        header.dataset,
        {"paper": "cleaned as the paper does", "none": "as they are"}[header.cleaning],
    )
    return (
        f"{of.rows} rows of {of.name}, {of.split} ({header.task.kind}); prompts {cleaned}; "
        f"sha256 {header.sha256[:16]}…"
    )


def provenance(header: Header) -> list[str]:
    """Hardware and libraries, in a line for each model."""
    return [
        f"{name}: {_listed(model.hardware) or 'hardware unknown'}; {_listed(model.libraries) or 'an engine'}"
        for name, model in header.models.items()
    ]


def _listed(pairs: Mapping[str, str]) -> str:
    return ", ".join(f"{key} {value}" for key, value in pairs.items())
