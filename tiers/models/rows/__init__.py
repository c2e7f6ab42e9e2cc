"""Recorded rows in a file that a tier opens at once, however many they are, and looks prompts up in.

It is an SQLite database, written before a run starts from an answer matrix and mounted read-only. Table
``rows`` has what one model put out for each prompt; ``about`` has one JSON text, the provenance.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
import struct
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from tiers.errors import ConfigError
from tiers.models.base import Output

_TABLES = """
CREATE TABLE rows (
    prompt_sha256 BLOB PRIMARY KEY, answer TEXT NOT NULL, logits BLOB, token_logprobs BLOB, confidence REAL,
    prompt_tokens INTEGER, completion_tokens INTEGER, cut_off INTEGER NOT NULL, service_ms REAL
) WITHOUT ROWID;
CREATE TABLE about (told TEXT NOT NULL);
"""
_ROW = """
SELECT answer, logits, token_logprobs, confidence, prompt_tokens, completion_tokens, cut_off, service_ms
FROM rows WHERE prompt_sha256 = ?
"""


Row = tuple[Output, float | None]
"""What a model put out for a prompt, and how many ms that takes; ``None`` if the scenario says it."""


def write_rows(path: Path, rows: Iterable[tuple[bytes, Row]], about: Mapping[str, Any]) -> None:
    """Write rows by the SHA-256 of their prompts, as they are sent, into a new file that anybody may read."""
    with sqlite3.connect(path) as file:
        file.executescript(_TABLES)
        file.execute("INSERT INTO about VALUES (?)", [json.dumps(about)])
        file.executemany(f"INSERT INTO rows VALUES ({', '.join('?' * 9)})", map(_values, rows))
    file.close()
    path.chmod(0o644)


def _values(keyed: tuple[bytes, Row]) -> tuple[Any, ...]:
    key, (output, service_ms) = keyed
    return (
        key,
        output.answer,
        _packed(output.logits),
        _packed(output.token_logprobs),
        output.confidence,
        output.prompt_tokens,
        output.completion_tokens,
        output.cut_off,
        service_ms,
    )


def _packed(numbers: Sequence[float] | None) -> bytes | None:
    return None if numbers is None else struct.pack(f"<{len(numbers)}d", *numbers)


def _unpacked(packed: bytes | None) -> Sequence[float] | None:
    return None if packed is None else struct.unpack(f"<{len(packed) // 8}d", packed)


class RecordedRows:
    """A file of rows, open for one thread.

    Attributes:
        about: its provenance; ``confidence`` is the name of the one that the model has by default.
        count: how many prompts it has.
    """

    def __init__(self, path: Path) -> None:
        """Open it.

        Raises:
            ConfigError: it is none.
        """
        try:
            # Nobody writes to it, so that it needs no lock and no journal, which a read-only mount forbids.
            self._file = sqlite3.connect(f"file:{quote(str(path))}?mode=ro&immutable=1", uri=True)
            self.about: dict[str, Any] = json.loads(
                self._file.execute("SELECT told FROM about").fetchone()[0]
            )
            self.count = int(self._file.execute("SELECT count(*) FROM rows").fetchone()[0])
        except (sqlite3.Error, ValueError, TypeError) as error:
            raise ConfigError(f"cannot read recorded rows from {path}: {error}") from error

    def of(self, prompt: str) -> Row | None:
        """The row of a prompt as it was sent, if there is one."""
        found = self._file.execute(_ROW, [hashlib.sha256(prompt.encode()).digest()]).fetchone()
        if found is None:
            return None
        answer, logits, logprobs, confidence, read, made, cut_off, service_ms = found
        output = Output(
            answer, _unpacked(logits), _unpacked(logprobs), confidence, read, made, cut_off=bool(cut_off)
        )
        return output, service_ms
