"""What a run was made of: the table of its files, by the keys that name them, with their SHA-256."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from rich.table import Table
from rich.text import Text

from testbed.report.cells import table
from testbed.results.columns import Row

_SHOWN = 16
"""Digits of a SHA-256 in the table; the manifest and the audit have all."""


def sources_tables(manifest: Row) -> list[Table]:
    """Of each file, model and data set which one it was; none if the run names none, or does not tell."""
    made = table("What the run was made of", ["key", "file or model", "SHA-256", "revision"])
    for file in manifest.get("files", ()):
        _add(made, file["field"], Path(file["path"]).name, file["sha256"], file.get("revision"))
    for name, sha256, revision in _datasets(manifest):
        _add(made, "task.dataset", name, sha256, revision)
    made.caption = "SHA-256: its first 16 digits; of a model's directory that of its files' names and sums"
    return [made] if made.row_count else []


def _add(made: Table, field: str, name: str, sha256: str, revision: str | None) -> None:
    made.add_row(*map(Text, (field, name, sha256[:_SHOWN], (revision or "-")[:40])))


def source_lines(manifest: Row) -> Iterator[str]:
    """The same in lines, with whole sums and paths."""
    for file in manifest.get("files", ()):
        yield _line(file["field"], file["path"], file["sha256"], file.get("revision"))
    for name, sha256, revision in _datasets(manifest):
        yield _line("task.dataset", name, sha256, revision)


def _line(field: str, name: str, sha256: str, revision: str | None) -> str:
    return f"{field}: {name}, SHA-256 {sha256}" + (f", revision {revision}" if revision else "")


def _datasets(manifest: Row) -> Iterator[tuple[str, str, str | None]]:
    for dataset in manifest.get("datasets", ()):
        if sha256 := dataset["source"].get("sha256"):
            yield dataset["name"], sha256, dataset["source"].get("revision")
