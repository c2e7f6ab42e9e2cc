"""Writes and reads the run directory: all that a run leaves on disk."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from testbed.errors import TestbedError
from testbed.host.files import nearest_existing, require_utf8, write_whole, written_whole
from testbed.results import seals
from testbed.results.columns import SCHEMA_VERSION, TABLES, Row
from testbed.results.shapes import TRACE, parsed, scenario_of, wrong_json, wrong_summary
from testbed.results.table_shapes import wrong_columns, wrong_values
from testbed.scenario.scenario import Scenario
from testbed.scenario.workload.trace_file import Request

MOST_BYTES = 1 << 29
"""Of a file of JSON: the largest that runs leave have the answers to a million requests."""
GZIPPED = ".gz"
"""At the end of the name of a capture that was compressed."""
_LONGEST_NAME_BYTES = 600
"""Of a file below a run directory: ``captures/<method>/.<link>.pcap.gz``, each at most 255."""
LOGS = "logs"
"""The directory with the ends of nodes' and engines' logs, a file for each that printed anything."""
CALIBRATION = "calibration.json"
"""What the tiers said of the calibration split, in a run with methods that are calibrated."""
ANSWERS = "answers.json"
"""What each tier answers to each request, in a run with a method that knows it beforehand."""


@dataclass(frozen=True)
class RunDirectory:
    """A run's files by name. Writers replace a file as a whole, so a crash leaves the version before."""

    path: Path

    @classmethod
    def check(cls, out: Path | None) -> None:
        """Tell before long work whether :meth:`create` can make ``out``; make nothing.

        Raises:
            TestbedError: it holds something already, or cannot be made.
        """
        path = (out or Path("results")).absolute()
        require_utf8(path, "--out")
        with _making(path):
            if len(os.fsencode(path)) + _LONGEST_NAME_BYTES > os.pathconf("/", "PC_PATH_MAX"):
                raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG))
            if out is not None and path.exists():
                _require_empty(path)
            nearest = nearest_existing(path)
            if not nearest.is_dir():
                raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
            if not os.access(nearest, os.W_OK | os.X_OK):
                raise PermissionError(errno.EACCES, f"{nearest} is not to be written to")

    @classmethod
    def create(cls, out: Path | None, scenario_name: str) -> RunDirectory:
        """Make a new directory: ``out``, or ``results/<scenario>-<UTC time>`` here.

        Raises:
            TestbedError: it holds something already, or cannot be made.
        """
        stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
        path = out if out is not None else Path("results") / f"{scenario_name}-{stamp}"
        require_utf8(path.absolute(), "--out")
        with _making(path):
            path.mkdir(parents=True, exist_ok=True)
            _require_empty(path)
            (path / "captures").mkdir()
        return cls(path.resolve())

    @classmethod
    def open(cls, path: Path) -> RunDirectory:
        """Open a run that exists.

        Raises:
            TestbedError: there is none, or a later version of the testbed made it.
        """
        require_utf8(path.absolute(), "RUN")
        try:
            there = (path / "manifest.json").is_file()
        except OSError as error:  # a name that is too long, a directory of somebody else's
            raise TestbedError(f"{path} cannot be looked into ({error.strerror})") from error
        if not there:
            lack = "it has no manifest.json" if path.is_dir() else "there is no such directory"
            raise TestbedError(f"{path} is no run directory: {lack}")
        directory = cls(path)
        directory.schema_version()
        return directory

    @contextmanager
    def understood(self) -> Iterator[None]:
        """Read files in the block, which fails where one of them is not as a run leaves it.

        Raises:
            TestbedError: it failed, and a file is not as the run left it. Otherwise the error is a defect.
        """
        try:
            yield
        except (TestbedError, OSError):
            raise
        except Exception as error:
            if broken := self.broken_seals():
                raise TestbedError(
                    f"{self.path}: {broken[0]}, and it makes no sense ({type(error).__name__}: {error}); "
                    "take an unchanged copy of the run"
                ) from error
            raise

    def schema_version(self) -> int:
        """The version of the directory's format.

        Raises:
            TestbedError: it says none, or a later version of the testbed made it.
        """
        version = self.read_json("manifest.json").get("schema_version")
        if isinstance(version, bool) or not isinstance(version, int) or version < 1:
            raise TestbedError(f"{self.path} is no run directory: its manifest.json has no schema_version")
        if version > SCHEMA_VERSION:
            raise TestbedError(
                f"{self.path}: has schema version {version}, and this testbed reads up to {SCHEMA_VERSION}; "
                "install a later one"
            )
        return version

    def pcap(self, method: str, link: str) -> Path:
        """Where the capture of a link under a method is to be written; its directory is made."""
        directory = self.path / "captures" / method
        directory.mkdir(parents=True, exist_ok=True)
        return directory / f"{link}.pcap"

    def found_capture(self, method: str, link: str) -> Path | None:
        """The capture of a link under a method, whether it was compressed since or not; ``None`` without."""
        plain = self.path / "captures" / method / f"{link}.pcap"
        both = (plain, plain.with_name(f"{plain.name}{GZIPPED}"))
        return next((path for path in both if path.is_file()), None)

    def capture(self, method: str, link: str) -> Path:
        """The same, where there is to be one.

        Raises:
            TestbedError: there is none.
        """
        if found := self.found_capture(method, link):
            return found
        scenario = self.read_json("manifest.json").get("scenario")
        discarded = isinstance(scenario, dict) and scenario.get("captures") == "discard"
        why = "its scenario discards them" if discarded else "they were removed, or it did not come so far"
        raise TestbedError(
            f"{self.path} has no capture of {link} under {method}: {why}; run it again with "
            "--set captures=keep"
        )

    def write_json(self, name: str, value: Any) -> None:
        self.write_text(name, json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n")

    def write_text(self, name: str, text: str) -> None:
        write_whole(self.path / name, text.encode())

    def read_json(self, name: str) -> dict[str, Any]:
        """Read a JSON file that holds an object, whatever is in it.

        Raises:
            TestbedError: there is no such file, or it is no JSON.
        """
        try:
            content = parsed(self._content(name))
        except OSError as error:
            raise TestbedError(f"{self.path / name} cannot be read ({error.strerror})") from error
        except (ValueError, RecursionError) as error:
            raise TestbedError(f"{self.path / name} is no JSON ({error}); the run is damaged") from error
        if not isinstance(content, dict):
            raise TestbedError(f"{self.path / name} holds no JSON object; the run is damaged")
        return content

    def _read_shaped(self, name: str) -> dict[str, Any]:
        """The same, of a shape that readers can rely on (:mod:`testbed.results.shapes`)."""
        content = self.read_json(name)
        self._require_none(name, wrong_json(name, content))
        return content

    def _require_none(self, name: str, wrong: str | None) -> None:
        """Refuse a file of which something is wrong."""
        if wrong is not None:
            raise TestbedError(f"{self.path / name}: {wrong}; the run is damaged, take an unchanged copy")

    def read_manifest(self) -> dict[str, Any]:
        """What was run, on which host, and how that ended.

        Raises:
            TestbedError: the file is missing or damaged, as for all that are read here.
        """
        return self._read_shaped("manifest.json")

    def read_scenario(self) -> Scenario:
        """The scenario that was run."""
        found = scenario_of(self.read_manifest())
        if isinstance(found, Scenario):
            return found
        raise TestbedError(
            f"{self.path / 'manifest.json'}: {found}; the run is damaged, take an unchanged copy"
        )

    def read_summary(self) -> dict[str, Any]:
        """Each method's figures; of no method that ``requests.parquet`` has no row of."""
        summary, scenario = self._read_shaped("summary.json"), self.read_scenario()
        self._require_none("summary.json", wrong_summary(summary, scenario))
        if methods := summary["methods"]:
            there = {row["method"] for row in self.read_table("requests.parquet", ["method"])}
            lacking = next((method for method in methods if method not in there), None)
            wrong = lacking and f"has figures of {lacking}, and requests.parquet no row of it"
            self._require_none("summary.json", wrong)
        return summary

    def read_fidelity(self) -> dict[str, Any]:
        """The verdicts, with reasons and evidence."""
        return self._read_shaped("fidelity.json")

    def read_calibration(self) -> dict[str, Any] | None:
        """What methods were calibrated by; ``None`` in a run without."""
        return self._read_shaped(CALIBRATION) if (self.path / CALIBRATION).is_file() else None

    def read_answers(self) -> dict[str, Any] | None:
        """By tier and request id, the answers that a method knew beforehand; ``None`` in a run without."""
        return self._read_shaped(ANSWERS) if (self.path / ANSWERS).is_file() else None

    def write_table(self, name: str, rows: Sequence[Mapping[str, Any]], schema: pa.Schema) -> None:
        table = pa.Table.from_pylist([dict(row) for row in rows], schema=schema)
        with written_whole(self.path / name) as scratch:
            pq.write_table(table, scratch, compression="zstd")

    def read_table(self, name: str, columns: Sequence[str] | None = None) -> list[dict[str, Any]]:
        """Read a table's rows, or these columns of them; one that the table of an older run lacks is null.

        Names in them are the scenario's, and lists are as long as they must be
        (:mod:`testbed.results.table_shapes`).

        Raises:
            TestbedError: there is no such table, or it is damaged.
        """
        wanted, version = columns or TABLES[name].names, self.schema_version()
        try:
            file = pq.ParquetFile(self._file(name))
            self._require_none(name, wrong_columns(name, file.schema_arrow, wanted, version))
            table = file.read([column for column in wanted if column in file.schema_arrow.names])
            self._require_none(name, wrong_values(name, table, version, self.read_scenario()))
            rows: list[dict[str, Any]] = table.to_pylist()
        except (OSError, ValueError, pa.ArrowException) as error:  # ValueError: text that is no UTF-8
            raise TestbedError(f"{self.path / name} cannot be read ({error}); the run is damaged") from error
        return [{**dict.fromkeys(wanted), **row} for row in rows]

    def columns(self, name: str) -> list[str]:
        """The names of the columns that a table has, known ones or not. Raises as :meth:`read_table`."""
        try:
            return list(pq.read_schema(self._file(name)).names)
        except (OSError, ValueError, pa.ArrowException) as error:
            raise TestbedError(f"{self.path / name} cannot be read ({error}); the run is damaged") from error

    def read_trace(self, rows: Iterable[Row] = ()) -> list[Request]:
        """The requests that the run replayed. They are not checked again, so that no data set is needed.

        Args:
            rows: of ``requests.parquet``, whose requests must be among them.

        Raises:
            TestbedError: there is no trace, or it is damaged.
        """
        path = self.path / TRACE
        try:
            lines = self._content(TRACE).splitlines()
            trace = [self._request(parsed(line), number) for number, line in enumerate(lines, 1)]
        except OSError as error:
            raise TestbedError(f"{path} cannot be read ({error.strerror})") from error
        except (TypeError, ValueError, RecursionError) as error:
            raise TestbedError(f"{path} is no trace ({error}); the run is damaged") from error
        names = {request.id for request in trace}
        lacking = next((row["request_id"] for row in rows if row["request_id"] not in names), None)
        self._require_none(TRACE, lacking and f"has no request {lacking!r}, of which there is a row")
        return trace

    def _request(self, entry: Any, number: int) -> Request:
        wrong = wrong_json(TRACE, entry)
        self._require_none(TRACE, wrong and f"line {number}: {wrong}")
        return Request(**entry)

    def seal(self) -> None:
        """Write the SHA-256 of every file."""
        seals.seal(self.path)

    def reseal(self, *names: str) -> None:
        """Write the SHA-256 of these files anew. Raises as :func:`testbed.results.seals.reseal`."""
        seals.reseal(self.path, names)

    def broken_seals(self, names: Collection[str] | None = None) -> list[str]:
        """What of the files, or of these, is not as the run left it: :func:`testbed.results.seals.broken`."""
        return seals.broken(self.path, names)

    def require_unchanged(self, *names: str) -> None:
        """Refuse to go on if one of these files is not as the run left it.

        Raises:
            TestbedError: which one.
        """
        if broken := self.broken_seals(names):
            raise TestbedError(f"{self.path}: {broken[0]}; take an unchanged copy of the run")

    def _file(self, name: str) -> Path:
        """A file's path, which leads to no pipe or device, where reading would have no end.

        Raises:
            OSError: it does.
        """
        path = self.path / name
        if path.exists() and not path.is_file():
            raise OSError(errno.EINVAL, "it is no regular file", str(path))
        return path

    def _content(self, name: str) -> bytes:
        """What is in a file of text.

        Raises:
            OSError: it is not to be read, or larger than any run's.
        """
        path = self._file(name)
        if path.stat().st_size > MOST_BYTES:
            raise OSError(errno.EFBIG, f"it has more than {MOST_BYTES >> 20} MiB", str(path))
        return path.read_bytes()


def utc_now() -> str:
    """The time as manifests have it: UTC by ISO 8601, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


@contextmanager
def _making(path: Path) -> Iterator[None]:
    """Explain why a directory cannot be made."""
    try:
        yield
    except OSError as error:
        raise TestbedError(
            f"--out: {path} cannot be made ({error.strerror}); name another directory"
        ) from error


def _require_empty(path: Path) -> None:
    if any(path.iterdir()):
        raise TestbedError(f"--out: {path} is not empty; name a new directory")
