"""What a run is made of on this host: models, recordings, classes and files, with their SHA-256."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from testbed.console import Reporter
from testbed.errors import TestbedError
from testbed.host.checkpoints import from_hub
from testbed.host.embedded.revision import embedded_revision
from testbed.host.facts import REPOSITORY, commit
from testbed.host.fingerprints import (
    Advance,
    Version,
    code_files,
    code_sha256,
    is_known,
    sha256_of,
    sha256_of_all,
    version_of,
)
from testbed.host.ggufs import GGUFS, gguf_file
from testbed.results.evidence import ChangedFile
from testbed.scenario.named import Named, named_files, of_directory
from testbed.scenario.scenario import Scenario
from testbed.scenario.sections.engines import EngineEntry
from testbed.scenario.sections.models import CheckpointEntry, EmbeddedEntry

CODE = "code"
"""In the place of a key: the testbed's own files, which are loaded by the time that a run begins."""
LARGE_BYTES = 1 << 30
"""Of more than that it is said that their SHA-256 are computed, which takes a second or two for each GiB."""


@dataclass(frozen=True)
class Source:
    """A file, or a model's directory, that a key of the scenario names.

    Attributes:
        sha256: of the file; of a directory, that of its files' names and SHA-256 sums
            (:func:`testbed.host.fingerprints.sha256_of_all`).
        revision: of a model: its commit on the hub, or an embedded model's.
        versions: of each file, when the run began to depend on it.
        read_late: the SHA-256 is of later versions.
    """

    field: str
    path: str
    sha256: str
    bytes: int
    files: int
    revision: str | None = None
    versions: Mapping[Path, Version | None] = dataclasses.field(default_factory=dict, repr=False)
    read_late: bool = False

    def to_json(self) -> dict[str, Any]:
        """What the manifest says of it."""
        told = {"field": self.field, "path": self.path, "sha256": self.sha256, "bytes": self.bytes}
        return told | {"files": self.files} | ({"revision": self.revision} if self.revision else {})

    def changed(self) -> ChangedFile | None:
        """What became of it since, if it is not as it was."""
        others = [path for path, version in self.versions.items() if version_of(path) != version]
        for path in others:
            if version_of(path) is None:
                return ChangedFile(self.field, str(path), "was removed")
        if not others or (not self.read_late and self._is_of_the_same_content()):  # touched, and no more
            return None
        return ChangedFile(self.field, str(others[0]), "was changed or replaced")

    def _is_of_the_same_content(self) -> bool:
        files = tuple(self.versions)
        try:
            return self.sha256 == _sha256(Path(self.path), files)
        except TestbedError:
            return False


class Sources:
    """The files of scenarios that share a network, as they were when it was asked for.

    A later run depends on what an earlier one has loaded: what counts is the version that was seen first.
    """

    def __init__(self, scenarios: Sequence[Scenario], reporter: Reporter) -> None:
        self._reporter = reporter
        self._seen: dict[Path, Version | None] = {}
        for scenario in scenarios:
            with suppress(TestbedError, OSError):  # which is raised where it is run
                self._look_at(named_files(scenario))

    def of(self, scenario: Scenario, models: Path | None) -> list[Source]:
        """The testbed itself, and all that the scenario depends on; what was not seen yet is seen now.

        Args:
            models: holds the embedded models' checkpoints, where one is used.

        Raises:
            TestbedError: a file cannot be read.
        """
        found = {named: revision for named, revision in _all(scenario, models) if _is_there(named)}
        self._look_at(found)
        unread = {path for named in found for path in named.files if not is_known(path)}
        size_bytes = sum(path.stat().st_size for path in unread)
        if size_bytes < LARGE_BYTES:
            return [_code(), *(self._source(named, revision) for named, revision in found.items())]
        what = f"computing the SHA-256 of {size_bytes / (1 << 30):.1f} GiB of models and files"
        total = size_bytes >> 20
        read_bytes = 0
        with self._reporter.counting(what, total) as progress:

            def advance(more_bytes: int) -> None:
                nonlocal read_bytes
                read_bytes += more_bytes
                progress(read_bytes >> 20, total)

            return [_code(), *(self._source(named, revision, advance) for named, revision in found.items())]

    def _look_at(self, named: Mapping[Named, object] | Sequence[Named]) -> None:
        for one in named:
            for path in one.files:
                self._seen.setdefault(path, version_of(path))

    def _source(self, named: Named, revision: str | None, advance: Advance = lambda _bytes: None) -> Source:
        versions = {path: self._seen[path] for path in named.files}
        read_late = any(version_of(path) != version for path, version in versions.items())
        return Source(
            named.field,
            str(named.path),
            _sha256(named.path, named.files, advance),
            sum(path.stat().st_size for path in named.files),
            len(named.files),
            revision,
            versions,
            read_late,
        )


def _code() -> Source:
    files, sha256 = code_files(REPOSITORY), code_sha256(REPOSITORY)
    size_bytes = sum(path.stat().st_size for path in files)
    return Source(CODE, str(REPOSITORY), sha256, size_bytes, len(files), commit())


def _sha256(path: Path, files: tuple[Path, ...], advance: Advance = lambda _bytes: None) -> str:
    """Of a file, or of a directory's files."""
    return sha256_of(path, advance) if files == (path,) else sha256_of_all(files, advance)


def _is_there(named: Named) -> bool:
    return all(path.exists() for path in named.files)


def _all(scenario: Scenario, models: Path | None) -> Iterator[tuple[Named, str | None]]:
    """What the scenario names, and what hubs and packages have brought by the names in it; with revisions."""
    for named in named_files(scenario):
        yield named, None
    for tier in scenario.tiers:
        key, model = f"tiers.{tier.name}.model", tier.model
        if isinstance(model, CheckpointEntry) and model.hub is not None:
            folder = from_hub(model.hub)
            yield of_directory(f"{key}.hub", folder), folder.name
        elif isinstance(model, EmbeddedEntry) and models is not None:
            yield of_directory(key, models / model.rung), embedded_revision(model.rung)
        elif isinstance(model, EngineEntry) and model.gguf in GGUFS:
            file = gguf_file(model.gguf)
            yield Named(f"{key}.gguf", file, (file,)), None
