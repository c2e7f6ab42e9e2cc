"""A sweep's directory: what is to be run, a run directory for each point, and the table over all of them."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

from testbed.errors import TestbedError
from testbed.host.files import require_utf8, text_of, write_whole
from testbed.results.directory import RunDirectory
from testbed.results.seals import SUMS
from testbed.results.shapes import told
from testbed.scenario.reading.mistakes import mistake
from testbed.scenario.scenario import scenario_file
from testbed.study.sweep.points import MAX_POINTS, Point, Shard, Wanted

SWEEP = "sweep.json"
POINTS = "points"
FORMAT = 2


class _Shape(BaseModel):
    model_config = ConfigDict(strict=True)


class _Point(_Shape):
    number: Annotated[int, Field(ge=1, le=MAX_POINTS)]
    settings: dict[str, str]
    repeat: Annotated[int, Field(ge=0)]
    seed: int


class _Description(_Shape):
    """What ``sweep.json`` must be like, so that whoever reads it can rely on it."""

    scenario: str
    given: list[str]
    methods: list[str] | None
    requests: int | None
    shard: str | None
    points: Annotated[list[_Point], Field(min_length=1)]

    @model_validator(mode="after")
    def _has_each_point_once(self) -> _Description:
        if len({point.number for point in self.points}) < len(self.points):
            raise mistake("has two points of one number")
        try:
            Shard.parse(self.shard or "1/1")
        except TestbedError as error:
            raise mistake(str(error)) from None
        return self


_DESCRIPTION = TypeAdapter(_Description)


@dataclass(frozen=True)
class SweepDirectory:
    """A sweep's files by name."""

    path: Path

    @classmethod
    def open_or_create(
        cls, out: Path | None, wanted: Wanted, points: Sequence[Point], name: str
    ) -> SweepDirectory:
        """The directory of a sweep: a new one, or that of the same sweep, to go on with.

        Args:
            out: the directory; ``results/<scenario>-sweep-<UTC time>`` by default.
            points: all of the sweep, whichever of them its shard has.

        Raises:
            TestbedError: it holds something else, or cannot be made.
        """
        stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
        shard = "" if wanted.shard is None else f"-shard-{wanted.shard.number}-of-{wanted.shard.of}"
        path = out or Path("results") / f"{name}-sweep-{stamp}{shard}"
        return cls.described(path, _description(wanted, points))

    @classmethod
    def described(cls, out: Path, asked: dict[str, Any]) -> SweepDirectory:
        """The same by what its ``sweep.json`` is to say. Raises as :meth:`open_or_create`."""
        path = out.absolute()
        require_utf8(path, "--out")
        sweep = cls(path)
        try:
            if (path / SWEEP).is_file():
                sweep._require_same(asked)
                return sweep
            if path.exists() and any(path.iterdir()):
                raise TestbedError(f"--out: {path} holds something that is no sweep; name another directory")
            (path / POINTS).mkdir(parents=True, exist_ok=True)
            write_whole(path / SWEEP, (json.dumps(asked, indent=1, ensure_ascii=False) + "\n").encode())
        except OSError as error:
            raise TestbedError(f"--out: {path} cannot be made ({error.strerror})") from error
        return sweep

    @classmethod
    def open(cls, path: Path) -> SweepDirectory:
        """Open a sweep that exists.

        Raises:
            TestbedError: there is none, or another version of the testbed made it.
        """
        sweep = cls(path)
        if not (path / SWEEP).is_file():
            raise TestbedError(f"{path} is no sweep's directory; it has no {SWEEP}")
        if sweep.description.get("format") != FORMAT:
            raise TestbedError(
                f"{path}: was made by another version of the testbed; read it with that version"
            )
        return sweep

    @property
    def description(self) -> dict[str, Any]:
        """What is to be run: ``sweep.json``.

        Raises:
            TestbedError: it is damaged.
        """
        try:
            found = json.loads((self.path / SWEEP).read_text(encoding="utf-8"))
            if not isinstance(found, dict):
                raise ValueError("no mapping")
            if found.get("format") == FORMAT:
                _DESCRIPTION.validate_python(found, strict=True)
        except ValidationError as error:
            raise TestbedError(
                f"{self.path / SWEEP}: is no description of a sweep ({told(error, found)})"
            ) from error
        except (OSError, ValueError, RecursionError) as error:
            raise TestbedError(f"{self.path / SWEEP}: is no description of a sweep ({error})") from error
        return found

    @property
    def points(self) -> list[Point]:
        """Its points, in their order; of a shard, those that are its own."""
        shard, points = self.shard, self.all_points
        return points if shard is None else shard.part(points)

    @property
    def all_points(self) -> list[Point]:
        """The points of the whole sweep, in their order."""
        return [
            Point(**{name: entry[name] for name in _Point.model_fields})
            for entry in self.description["points"]
        ]

    @property
    def shard(self) -> Shard | None:
        """Which part of its sweep it is; ``None`` if it is all of it."""
        written = self.description.get("shard")
        return None if written is None else Shard.parse(str(written))

    def run_path(self, point: Point) -> Path:
        """Where the run directory of a point is, or is to be."""
        return self.path / POINTS / point.name

    def finished(self, point: Point) -> bool:
        """Whether a point was run to its end, and sealed: a run that was killed before has no verdicts."""
        if not (self.run_path(point) / SUMS).is_file():
            return False
        try:
            manifest = RunDirectory(self.run_path(point)).read_json("manifest.json")
        except TestbedError:  # damaged
            return False
        return manifest.get("status") == "finished"

    def begin(self, point: Point) -> Path:
        """Make way for a point: what an earlier attempt left of it goes."""
        shutil.rmtree(self.run_path(point), ignore_errors=True)
        self._failure(point).unlink(missing_ok=True)
        return self.run_path(point)

    def fail(self, point: Point, sentence: str) -> None:
        """Note why a point could not be run."""
        write_whole(self._failure(point), (sentence + "\n").encode())

    def failure(self, point: Point) -> str | None:
        """Why a point could not be run, if it could not."""
        path = self._failure(point)
        return text_of(path).strip() if path.is_file() else None

    def _failure(self, point: Point) -> Path:
        return self.path / POINTS / f"{point.name}.failed"

    def _require_same(self, asked: dict[str, Any]) -> None:
        there = self.description
        for key, value in asked.items():
            if there.get(key) != value:
                raise TestbedError(
                    f"--out: {self.path} is another sweep (its {key} differs); name another directory, or "
                    "give the same scenario, values and seeds to go on with it"
                )


def is_sweep(path: Path) -> bool:
    """Whether a directory is that of a sweep."""
    try:
        return (path / SWEEP).is_file()
    except OSError:  # a name that is too long, a directory of somebody else's
        return False


def _description(wanted: Wanted, points: Sequence[Point]) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "scenario": wanted.scenario.name,
        "scenario_sha256": hashlib.sha256(scenario_file(wanted.scenario).read_bytes()).hexdigest(),
        "given": list(wanted.given),
        "methods": None if wanted.methods is None else list(wanted.methods),
        "requests": wanted.requests,
        "shard": None if wanted.shard is None else str(wanted.shard),
        "points": [
            {
                "number": point.number,
                "settings": dict(point.settings),
                "repeat": point.repeat,
                "seed": point.seed,
            }
            for point in points
        ],
    }
