"""Joins the shards of a sweep, which were run on several hosts, into one directory with all points."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from testbed.console import Reporter
from testbed.errors import TestbedError
from testbed.results import seals
from testbed.results.directory import RunDirectory
from testbed.results.fidelity import JUDGED, is_pending
from testbed.study.sweep.directory import SweepDirectory
from testbed.study.sweep.points import Point, Shard
from testbed.study.sweep.table import broken_off, write_table


@dataclass
class Merged:
    """What came of a merge.

    Attributes:
        directory: the sweep with all points.
        damaged: a sentence for each run that was left out, since it is not as it was left.
        absent: shards of which nothing was there.
        missing: points that wait to be run, those of absent shards too.
        early: of these, what ended each that was begun, with its run directory.
        pending: points whose links were not measured yet after them, when they were merged.
    """

    directory: SweepDirectory
    damaged: list[str] = field(default_factory=list)
    absent: list[Shard] = field(default_factory=list)
    missing: list[Point] = field(default_factory=list)
    early: list[str] = field(default_factory=list)
    pending: list[Point] = field(default_factory=list)

    @property
    def sentences(self) -> list[str]:
        """What a user should know of what is not there."""
        shards = [f"shard {shard} is not among them" for shard in self.absent]
        waiting = f"{numbered(self.missing)} not run yet; `testbed sweep` goes on with them in this directory"
        unjudged = (
            f"{numbered(self.pending)} merged while the verdict on latency was pending, which counts as "
            "false; merge again when that shard has ended"
        )
        said = [(self.missing, waiting), (self.pending, unjudged)]
        return [*self.early, *self.damaged, *shards, *(sentence for points, sentence in said if points)]


def merge(shards: Sequence[Path], out: Path, reporter: Reporter) -> Merged:
    """Join shards into the directory of their sweep, with one table over all points.

    Runs are linked where the file system allows it, else copied, and each is held against its checksums
    first. One that is damaged is left out, as if it had not been run. ``out`` may be an earlier merge; a run
    whose verdict on latency was pending there, and was given since, takes its place.

    Raises:
        TestbedError: they are not of one sweep, two runs of a point differ, or ``out`` is something else or
            holds a damaged run.
    """
    parts = [SweepDirectory.open(path) for path in shards]
    _require_one_sweep(parts)
    merged = Merged(SweepDirectory.described(out, parts[0].description | {"shard": None}))
    whole = merged.directory
    points = whole.all_points
    sources = [part for part in parts if part.path.resolve() != whole.path.resolve()]
    with reporter.counting("holding runs against their checksums", len(points)) as count:
        found = {}
        for done, point in enumerate(points, 1):
            found[point.number] = _sound_run(point, [whole, *sources], merged.damaged)
            count(done, len(points))
    for point in points:
        _take(point, found[point.number], whole, sources)
    write_table(whole)
    merged.absent = _absent(parts)
    merged.missing = [point for point in points if not whole.finished(point) and whole.failure(point) is None]
    begun = [part.run_path(point) for point in merged.missing for part in parts]
    merged.early = [f"{run}: {why}" for run in begun if (why := broken_off(run)) is not None]
    merged.pending = [point for point in points if whole.finished(point) and _pending(whole.run_path(point))]
    return merged


def numbered(points: Iterable[Point]) -> str:
    """The points' numbers as people write them: ``points 3 to 7, 9``, and the verb."""
    spans: list[list[int]] = []
    for number in sorted(point.number for point in points):
        if spans and number == spans[-1][1] + 1:
            spans[-1][1] = number
        else:
            spans.append([number, number])
    written = ", ".join(f"{first}" if first == last else f"{first} to {last}" for first, last in spans)
    one = len(spans) == 1 and spans[0][0] == spans[0][1]
    return f"point {written} was" if one else f"points {written} were"


def _require_one_sweep(parts: Sequence[SweepDirectory]) -> None:
    first, *others = [(part.path, _without_shard(part)) for part in parts]
    for path, description in others:
        for key, value in description.items():
            if first[1].get(key) != value:
                raise TestbedError(
                    f"{path} and {first[0]} are not of one sweep (their {key} differs); leave one of them out"
                )


def _without_shard(part: SweepDirectory) -> dict[str, Any]:
    return {key: value for key, value in part.description.items() if key != "shard"}


def _absent(parts: Sequence[SweepDirectory]) -> list[Shard]:
    """Shards that no part is, where all parts are shards of as many."""
    there = [part.shard for part in parts]
    of = {None if shard is None else shard.of for shard in there}
    if len(of) > 1 or None in of:
        return []
    (count,) = of
    assert count is not None
    return [shard for shard in (Shard(number, count) for number in range(1, count + 1)) if shard not in there]


def _sound_run(point: Point, places: Sequence[SweepDirectory], damaged: list[str]) -> Path | None:
    """The point's run, as one of the places has it whole; others go to ``damaged``. The first is the merged.

    Raises:
        TestbedError: two have it whole, and differ; or the first has it damaged.
    """
    sound: Path | None = None
    for place in places:
        path = place.run_path(point)
        if not place.finished(point):
            continue
        if broken := RunDirectory.open(path).broken_seals():
            if place is places[0]:
                raise TestbedError(f"{path}: {broken[0]}; remove that run, or merge into another directory")
            damaged.append(f"{path} is left out: {broken[0]}")
        elif sound is None or _judged_since(path, sound):
            sound = path
        elif seals.sealed(path) != seals.sealed(sound) and not _judged_since(sound, path):
            raise TestbedError(
                f"{path} and {sound} are two runs of point {point.number} ({point.words}); remove one of them"
            )
    return sound


def _judged_since(run: Path, other: Path) -> bool:
    """Whether a run is the other one, whose verdict on latency was pending, and was given since."""
    changed = {name for name, _ in seals.sealed(run).items() ^ seals.sealed(other).items()}
    return changed <= set(JUDGED) and _pending(other) and not _pending(run)


def _pending(run: Path) -> bool:
    return is_pending(RunDirectory(run).read_fidelity())


def _take(point: Point, run: Path | None, whole: SweepDirectory, sources: Sequence[SweepDirectory]) -> None:
    """Put a point's run into the merged directory; where there is none, what is known of its failure."""
    if run == whole.run_path(point):
        return
    if run is None:
        why = next((why for place in (whole, *sources) if (why := place.failure(point)) is not None), None)
        if why is not None:
            whole.fail(point, why)
        return
    scratch = whole.run_path(point).with_name(f".{point.name}")
    shutil.rmtree(scratch, ignore_errors=True)
    shutil.copytree(run, scratch, symlinks=True, copy_function=_link_or_copy)
    scratch.rename(whole.begin(point))


def _link_or_copy(source: str, target: str) -> None:
    """Files of a run are only ever replaced as a whole, so that two directories may share one."""
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError:  # another file system, or one without links
        shutil.copy2(source, target, follow_symlinks=False)
