"""The run directory: what a run leaves on disk, and how it is read again (DESIGN, "A run's directory")."""

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

SCHEMA_VERSION = 1
SUMS = "SHA256SUMS"

_strings: pa.DataType = pa.list_(pa.string())
_doubles: pa.DataType = pa.list_(pa.float64())
_integers: pa.DataType = pa.list_(pa.int64())

_REQUEST_COLUMNS: list[tuple[str, pa.DataType]] = [
    ("request_id", pa.string()),
    ("method", pa.string()),
    ("device", pa.string()),
    ("scheduled_at_s", pa.float64()),
    ("sent_at_s", pa.float64()),
    ("done_at_s", pa.float64()),
    ("latency_ms", pa.float64()),
    ("tier", pa.string()),
    ("path", _strings),
    ("confidences", _doubles),
    ("thresholds", _doubles),
    ("window_seqs", _integers),
    ("window_lengths", _integers),
    ("kept", pa.list_(pa.bool_())),
    ("node_answers", _strings),
    ("queue_ms", _doubles),
    ("inference_ms", _doubles),
    ("own_ms", _doubles),
    ("upstream_ms", _doubles),
    ("forward_errors", _strings),
    ("repeats", _integers),
    ("hops", _strings),
    ("hop_prompt_bytes", _integers),
    ("hop_answer_bytes", _integers),
    ("lateness_ms", pa.float64()),
    ("hop_up_ms", _doubles),
    ("hop_down_ms", _doubles),
    ("unexplained_ms", pa.float64()),
    ("lives", _integers),
    ("answer", pa.string()),
    ("reference", pa.string()),
    ("correct", pa.bool_()),
    ("outcome", pa.string()),
]
REQUESTS = pa.schema(_REQUEST_COLUMNS)
"""One row for each request and method; times ``_s`` are since the method's start. Lists have one entry for
each node that the request reached, the device first; a node that only relayed has nulls for what it did not
decide. ``lives`` says how often an event had killed the node's process before: its window began anew.

``hop_…`` lists have one entry for each of ``hops``, which names the WAN links that the request tried, the
device's first: one fewer than ``path``, or as many if the last node sent the request up and the one above
never recorded it. Bytes are the captures': those that crossed, whole or not, repeats left out. Summed over a
method's requests they are a link's ``prompt_bytes`` up and ``answer_bytes`` down, but for its
``unattributed_bytes``.

``latency_ms`` is the sum of ``lateness_ms``, ``queue_ms``, ``inference_ms``, ``own_ms``, ``hop_up_ms``,
``hop_down_ms`` and ``unexplained_ms`` (:mod:`testbed.causes`). A hop's times, connecting included, are null
where its upper node never recorded the request or its answer never came down; ``unexplained_ms`` then
holds that time too. ``upstream_ms`` is a node's whole wait for the one above: its hop up, all that happened
above, and its hop down."""

BYTE_PARTS = (
    "prompt_bytes",
    "answer_bytes",
    "envelope_bytes",
    "instrumentation_bytes",
    "http_header_bytes",
    "packet_header_bytes",
    "tcp_control_bytes",
    "retransmitted_bytes",
    "other_bytes",
)

_LINK_COLUMNS: list[tuple[str, pa.DataType]] = [
    ("link", pa.string()),
    ("direction", pa.string()),
    ("method", pa.string()),
    *(
        (name, pa.int64())
        for name in (
            "frames",
            "frame_bytes",
            "ip_bytes",
            *BYTE_PARTS,
            "unaccounted_bytes",
            "retried_prompt_bytes",
            "unattributed_bytes",
            "queue_dropped_frames",
            "lost_frames",
            "down_lost_frames",
            "flow_frames",
            "flow_bytes",
        )
    ),
]
LINKS = pa.schema(_LINK_COLUMNS)
"""One row for each link, direction and method; ``frames`` and ``frame_bytes`` are the kernel's counts.
``unattributed_bytes``: of ``prompt_bytes`` and ``answer_bytes``, what belongs to no request of the trace.
``lost_frames`` are the way's, with the second copies that it made and lost; ``down_lost_frames`` were lost
while the link was down, apart from those; ``flow_*`` are background flows', of the frames and of
``other_bytes``."""

_TIER_COLUMNS: list[tuple[str, pa.DataType]] = [
    ("node", pa.string()),
    ("tier", pa.string()),
    ("method", pa.string()),
    ("cpu_seconds", pa.float64()),
    ("throttled_s", pa.float64()),
    ("throttled_periods", pa.int64()),
    ("periods", pa.int64()),
    ("anon_bytes", pa.int64()),
    ("inferences", pa.int64()),
    ("inference_ms", pa.float64()),
    ("replaced_inferences", pa.int64()),
    ("kept", pa.int64()),
]
TIERS = pa.schema(_TIER_COLUMNS)
"""One row for each node and method. CPU time and throttling are its control group's over the replay: in
``throttled_periods`` of ``periods`` (100 ms each) it wanted more than its quota, ``throttled_s`` is how long
it waited in all. ``anon_bytes`` is its anonymous memory at the end. What the kernel does not count is null.
The rest is from the node's records: ``inference_ms`` is a sum, ``replaced_inferences`` are those whose answer
a higher tier replaced, ``kept`` those whose answer the policy kept."""

_EVENT_COLUMNS: list[tuple[str, pa.DataType]] = [
    ("method", pa.string()),
    ("number", pa.int64()),
    ("kind", pa.string()),
    ("target", pa.string()),
    ("at_s", pa.float64()),
    ("for_s", pa.float64()),
    ("took_effect_at_s", pa.float64()),
    ("ended_at_s", pa.float64()),
    ("late_ms", pa.float64()),
    ("end_late_ms", pa.float64()),
    ("skipped", pa.bool_()),
    ("error", pa.string()),
    ("lost_frames", pa.int64()),
    ("ready_after_s", pa.float64()),
    ("steps", pa.int64()),
    ("steps_skipped", pa.int64()),
    ("steps_late_p99_ms", pa.float64()),
    ("flow_sent_bytes", pa.int64()),
    ("flow_received_bytes", pa.int64()),
    ("flow_lost_packets", pa.int64()),
    ("flow_retransmits", pa.int64()),
]
EVENTS = pa.schema(_EVENT_COLUMNS)
"""One row for each event and method (:class:`testbed.evidence.EventReport`); no table without events."""


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
        """
        Raises:
            TestbedError: there is no such table, or it is damaged.
        """
        try:
            rows: list[dict[str, Any]] = pq.read_table(self.path / name).to_pylist()
        except (OSError, pa.ArrowException) as error:
            raise TestbedError(f"{self.path / name} cannot be read ({error}); the run is damaged") from error
        return rows

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
