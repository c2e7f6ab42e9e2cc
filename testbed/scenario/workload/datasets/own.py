"""A user's own data set: a CSV, JSON Lines or Parquet file with a column of texts and one of references."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from testbed.errors import TestbedError
from testbed.scenario.reading.cells import MAX_FILE_BYTES, shown
from testbed.scenario.reading.table_file import Record, read_table
from testbed.scenario.workload.datasets.base import Dataset, Example

MAX_LABELS = 1_000


@dataclass(frozen=True)
class OwnFile(Dataset):
    """All rows of a file, as its ``test`` split; ``row`` counts its rows from 0, without a CSV's header.

    Attributes:
        file: its path.
        text: the column of the prompt.
        reference: the column of the reference; ``None`` if there is none.
        sha256: of the file, in hexadecimal.
    """

    file: str
    text: str
    reference: str | None
    sha256: str

    def read(self) -> list[Example]:
        if (found := sha256_of(Path(self.file))) != self.sha256:
            raise TestbedError(
                f"{self.file}: has SHA-256 {found}, and the scenario says {self.sha256}; "
                "take the file as it was, or remove sha256"
            )
        examples = []
        for row, (place, (text, *reference)) in enumerate(self._records()):
            prompt = self.cleaned(text or "")
            if not prompt.strip():
                raise TestbedError(f"{place}: {_lack(text, self.text)}; remove the row")
            examples.append(Example(row, prompt, self._right(place, reference[0]) if reference else ""))
        if not examples:
            raise TestbedError(f"{self.file}: holds no row; write one for each prompt")
        return examples

    def _records(self) -> Sequence[Record]:
        return _records(
            self.file, (self.text, self.reference) if self.reference else (self.text,), self.sha256
        )

    def _right(self, place: str, reference: str | None) -> str:
        if reference is None or not reference.strip():
            raise TestbedError(
                f"{place}: {_lack(reference, self.reference or '')}; write it, or remove the row"
            )
        if self.labels and reference not in self.labels:
            raise TestbedError(
                f"{place}: {shown(self.reference or '')} is {shown(reference)}, which is none of the labels "
                f"[{', '.join(self.labels)}]; write one of these"
            )
        return reference

    def distinct_references(self) -> tuple[str, ...]:
        """The references that there are, in the order of numbers if all are whole numbers, else of letters.

        Raises:
            TestbedError: the file cannot be read, or there are more than any classifier has labels.
        """
        found = {record.values[-1] for record in self._records()} if self.reference else set()
        references = {reference for reference in found if reference and reference.strip()}
        if len(references) > MAX_LABELS:
            raise TestbedError(
                f"{self.file}: {shown(self.reference or '')} has {len(references):,} different values, and a "
                f"classification has {MAX_LABELS:,} labels at most; name the column of the labels"
            )
        numbers = all(reference.isascii() and reference.isdecimal() for reference in references)
        return tuple(sorted(references, key=lambda label: (int(label) if numbers else 0, label)))

    def source(self) -> dict[str, Any]:
        columns = {"text": self.text, "reference": self.reference}
        return {"file": self.file, "sha256": self.sha256, **columns}

    def notes(self, examples: Sequence[Example]) -> list[str]:
        first: dict[str, str] = {}
        unlike = sum(
            first.setdefault(example.text, example.reference) != example.reference for example in examples
        )
        repeated = len(examples) - len(first)
        if not repeated:
            return []
        other = f", {unlike:,} of them with another reference" if unlike else ""
        return [
            f"{self.file}: {repeated:,} of its {len(examples):,} rows have the text of an earlier one{other}"
        ]


def _lack(text: str | None, column: str) -> str:
    """What is wrong with a cell that says nothing."""
    if text is None:
        return f"{shown(column)} has no value"
    return f"{shown(column)} is empty" if not text.strip() else f"{shown(column)} is empty once cleaned"


def sha256_of(path: Path) -> str:
    """A file's SHA-256 in hexadecimal.

    Raises:
        TestbedError: it cannot be read, or is larger than a data set may be.
    """
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise TestbedError(f"{path}: is larger than {MAX_FILE_BYTES >> 20} MiB; cut it")
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise TestbedError(f"{path}: cannot be read ({error.strerror}); name a file that can") from None


@cache
def _records(file: str, columns: tuple[str, ...], _sha256: str) -> tuple[Record, ...]:
    """The rows of a file, read once for each content that it has had."""
    return tuple(read_table(Path(file), columns))
