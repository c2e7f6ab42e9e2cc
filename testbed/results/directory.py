"""The run directory: what a run leaves on disk, and how it is read again."""

from __future__ import annotations

import errno
import hashlib
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from testbed.errors import TestbedError
from testbed.results.columns import TABLES
from testbed.scenario.workload.trace_file import Request

SUMS = "SHA256SUMS"


@dataclass(frozen=True)
class RunDirectory:
    """A run's files by name. Writers replace a file as a whole, so a crash leaves the version before."""

    path: Path

    @classmethod
    def check(cls, out: Path | None) -> None:
        """See before long work that :meth:`create` will take ``out``; nothing is made.

        Raises:
            TestbedError: it holds something already, or cannot be made.
        """
        path = (out or Path("results")).absolute()
        try:
            if out is not None and path.exists() and any(path.iterdir()):
                raise TestbedError(f"--out: {path} is not empty; name a new directory")
            nearest = next(one for one in (path, *path.parents) if one.exists())
            if not nearest.is_dir():
                raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
            if not os.access(nearest, os.W_OK | os.X_OK):
                raise PermissionError(errno.EACCES, f"{nearest} is not to be written to")
        except OSError as error:
            raise TestbedError(
                f"--out: {path} cannot be made ({error.strerror}); name another directory"
            ) from error

    @classmethod
    def create(cls, out: Path | None, scenario_name: str) -> RunDirectory:
        """A new directory: ``out``, or ``results/<scenario>-<UTC time>`` here.

        Raises:
            TestbedError: it holds something already, or cannot be made.
        """
        stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
        path = out if out is not None else Path("results") / f"{scenario_name}-{stamp}"
        try:
            path.mkdir(parents=True, exist_ok=True)
            if any(path.iterdir()):
                raise TestbedError(f"--out: {path} is not empty; name a new directory")
            (path / "captures").mkdir()
        except OSError as error:
            raise TestbedError(
                f"--out: {path} cannot be made ({error.strerror}); name another directory"
            ) from error
        return cls(path.resolve())

    @classmethod
    def open(cls, path: Path) -> RunDirectory:
        """An existing run.

        Raises:
            TestbedError: there is none.
        """
        if not (path / "manifest.json").is_file():
            raise TestbedError(f"{path} is no run directory: it has no manifest.json")
        return cls(path)

    def pcap(self, method: str, link: str) -> Path:
        directory = self.path / "captures" / method
        directory.mkdir(parents=True, exist_ok=True)
        return directory / f"{link}.pcap"

    def write_json(self, name: str, value: Any) -> None:
        text = json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
        self._replace(name, text.encode())

    def read_json(self, name: str) -> Any:
        """
        Raises:
            TestbedError: there is no such file, or it is no JSON.
        """
        try:
            return json.loads((self.path / name).read_bytes())
        except OSError as error:
            raise TestbedError(f"{self.path / name} cannot be read ({error.strerror})") from error
        except ValueError as error:
            raise TestbedError(f"{self.path / name} is no JSON ({error}); the run is damaged") from error

    def write_table(self, name: str, rows: Sequence[Mapping[str, Any]], schema: pa.Schema) -> None:
        table = pa.Table.from_pylist([dict(row) for row in rows], schema=schema)
        scratch = self.path / f".{name}"
        pq.write_table(table, scratch, compression="zstd")
        scratch.replace(self.path / name)

    def read_table(self, name: str) -> list[dict[str, Any]]:
        """Its rows; a column that the table of an older run lacks is null.

        Raises:
            TestbedError: there is no such table, or it is damaged.
        """
        try:
            rows: list[dict[str, Any]] = pq.ParquetFile(self.path / name).read().to_pylist()
        except (OSError, pa.ArrowException) as error:
            raise TestbedError(f"{self.path / name} cannot be read ({error}); the run is damaged") from error
        columns = TABLES[name].names if name in TABLES else ()
        return [{**dict.fromkeys(columns), **row} for row in rows]

    def read_trace(self) -> list[Request]:
        """The requests that the run replayed. They are not checked again, so that no data set is needed.

        Raises:
            TestbedError: there is no trace, or it is damaged.
        """
        path = self.path / "trace.jsonl"
        try:
            return [Request(**json.loads(line)) for line in path.read_bytes().splitlines()]
        except OSError as error:
            raise TestbedError(f"{path} cannot be read ({error.strerror})") from error
        except (TypeError, ValueError) as error:
            raise TestbedError(f"{path} is no trace ({error}); the run is damaged") from error

    def seal(self) -> None:
        """Write the SHA-256 of every file, in the format of sha256sum(1)."""
        lines = [f"{_sha256(path)}  {path.relative_to(self.path)}\n" for path in self._files()]
        self._replace(SUMS, "".join(lines).encode())

    def broken_seals(self) -> list[str]:
        """Files that are not as the run left them, in sentences; a run that was never sealed has one."""
        sums = self.path / SUMS
        if not sums.is_file():
            return [f"{SUMS} is missing: the run did not end, or was tampered with"]
        told = {}
        for line in sums.read_text(errors="replace").splitlines():
            digest, _, name = line.partition("  ")
            told[name] = digest
        found = {str(path.relative_to(self.path)): path for path in self._files()}
        wrong = [f"{name} is missing" for name in told if name not in found]
        wrong += [f"{name} is not in {SUMS}" for name in found if name not in told]
        wrong += [
            f"{name} is not as the run left it (its SHA-256 differs)"
            for name, path in found.items()
            if name in told and _sha256(path) != told[name]
        ]
        return sorted(wrong)

    def _files(self) -> Iterable[Path]:
        made_later = {SUMS, "report.html"}
        return sorted(
            path
            for path in self.path.rglob("*")
            if path.is_file() and path.name not in made_later and not path.name.startswith(".")
        )

    def _replace(self, name: str, content: bytes) -> None:
        scratch = self.path / f".{name}"
        scratch.write_bytes(content)
        scratch.replace(self.path / name)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
